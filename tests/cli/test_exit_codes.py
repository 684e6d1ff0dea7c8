"""What a script that runs a command loses if these fail: an exit code that tells an interruption from an outage."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarm.cli.client import Unreachable
from streamwarm.cli.common import INTERRUPTED, UNREACHABLE, exits, was_interrupted
from tests.worlds.command_line import cli

GONE = Unreachable("the service went away")
CTRL_C = BaseExceptionGroup("a nursery", [KeyboardInterrupt()])


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (KeyboardInterrupt(), INTERRUPTED),
        (CTRL_C, INTERRUPTED),
        # Ctrl-C may end the connection before it ends the command.
        (BaseExceptionGroup("a nursery", [GONE, CTRL_C]), INTERRUPTED),
        (BaseExceptionGroup("a nursery", [ExceptionGroup("another", [GONE]), CTRL_C]), INTERRUPTED),
        (ExceptionGroup("a nursery", [GONE]), UNREACHABLE),
        (GONE, UNREACHABLE),
    ],
)
def test_an_interruption_is_told_as_one_whatever_it_brought_about(raised: BaseException, code: int) -> None:
    @exits
    def command() -> None:
        raise raised

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == code
    assert was_interrupted(raised) is (code == INTERRUPTED)


async def test_a_client_needs_no_secret_of_a_destination(tmp_path: Path) -> None:
    """The file of the bot's token belongs to the service's user. Someone else may still ask for the status."""
    config = tmp_path / "streamwarm.toml"
    config.write_text(
        f"[destinations.b]\ntype = 'telegram'\ntoken_file = '{tmp_path}/not-readable'\nchats = [-100]\n"
        "[serve]\nhttp = '127.0.0.1:1'\n"
    )
    ended = await cli("status", "--config", str(config))
    assert ended.code == UNREACHABLE, ended.err
