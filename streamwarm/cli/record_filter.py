"""The options that select records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from streamwarm.cli.common import F
from streamwarm.model import Kind, MediaWarning, SourceState


def filter_options(command: F) -> F:
    """Add `--destination`, `--kind`, `--prefix`, `--state` and `--warning`."""
    for option in (
        click.option("--warning", type=_words(MediaWarning), help="Only records with this warning."),
        click.option(
            "--state", "-s", "source_state", type=_words(SourceState), help="As last compared with the bucket."
        ),
        click.option("--prefix", help="Only keys that begin with this."),
        click.option("--kind", "-k", type=_words(Kind), help="Only this kind."),
        click.option("--destination", "-d", help="Only this destination."),
    ):
        command = option(command)
    return command


def record_filter(options: Mapping[str, Any]) -> dict[str, Any]:
    """The params of `records` for what was given."""
    return {name: value for name, value in options.items() if value}


def _words(words: Any) -> click.Choice[str]:
    return click.Choice([word.value for word in words])
