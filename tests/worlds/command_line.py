"""`streamwarm …` in this process, in a thread: what a process of its own would do, without its start-up time."""

from __future__ import annotations

import json
from typing import Any

import trio
from attrs import frozen
from click.testing import CliRunner

from streamwarm.cli import command_line


@frozen
class Ended:
    """How a command ended and what it printed; `err` is standard error."""

    code: int
    out: str
    err: str

    def json(self) -> list[Any]:
        """One value a line."""
        return [json.loads(line) for line in self.out.splitlines()]


async def cli(*arguments: str, stdin: str = "") -> Ended:
    """The command to its end, with none of the environment's settings."""
    runner = CliRunner(env={"STREAMWARM_CONFIG": None, "STREAMWARM_URL": None, "STREAMWARM_TOKEN": None})
    with trio.fail_after(60):
        result = await trio.to_thread.run_sync(
            lambda: runner.invoke(command_line, arguments, input=stdin, prog_name="streamwarm")
        )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)
