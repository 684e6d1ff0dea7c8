"""What a user loses without these: a terminal that shows what is there, and not what a key's name tells it to show."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.cli.common import exits, fail, print_json, print_line
from streamwarm.errors import StoreUnavailable
from streamwarm.printable import printable, printable_json, printable_lines

anything = st.text(st.characters())
CONTROLS = "\x1b[31m\x9b2J\u202eevil\u2066\u200f\u2028\x7f\r\n"


@given(anything)
def test_nothing_unprintable_is_printed(text: str) -> None:
    assert printable(text).isprintable()
    assert all(line.isprintable() for line in printable_lines(text).replace("\t", "").split("\n"))


@given(st.text(st.characters(categories=["L", "N", "P", "S"])) | st.just("Größe: 5 € – né 😀 日本"))
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    if text.isprintable():
        assert printable(text) == printable_lines(text) == text


@given(st.recursive(anything, lambda inner: st.lists(inner) | st.dictionaries(anything, inner)))
def test_json_means_the_same_and_hides_nothing(value: object) -> None:
    written = printable_json(json.dumps(value, ensure_ascii=False))
    assert written.isprintable()
    assert json.loads(written) == json.loads(json.dumps(value))


@pytest.mark.parametrize("shown", ["line", "json", "failure"])
def test_no_command_passes_a_control_sequence_on(shown: str) -> None:
    @click.command()
    def command() -> None:
        if shown == "line":
            print_line(f"key {CONTROLS}")
        elif shown == "json":
            print_json({"key": CONTROLS})
        else:
            fail(f"the service refused: {CONTROLS}", 1)

    output = CliRunner().invoke(command).output
    assert output.removesuffix("\n").isprintable()
    assert "evil" in output


@pytest.mark.parametrize("error", [StoreUnavailable, RuntimeError], ids=["of-the-store", "unexpected"])
def test_no_error_of_a_command_shows_a_secret_of_its_settings_or_a_control_sequence(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamwarm.cli.common import read_settings

    password = "p@ss/w:rd-canary"
    monkeypatch.setenv("STREAMWARM_STORE_URL", f"postgresql://sw:{password}@host/db")

    @click.command()
    @exits
    def command() -> None:
        read_settings(None)
        raise error(f"could not translate host name {password} {CONTROLS}")

    result = CliRunner().invoke(command)
    assert result.exit_code == (3 if error is StoreUnavailable else 1)
    assert "could not translate host name" in result.output
    assert "canary" not in result.output
    assert all(line.isprintable() for line in result.output.split("\n"))
