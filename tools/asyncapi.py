"""Writes docs/asyncapi.yaml from the code that checks what clients send; `--check` only compares.

uv run --group dev python tools/asyncapi.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from streamwarm.accept.describe.asyncapi import asyncapi_document

TARGET = Path(__file__).parent.parent / "docs" / "asyncapi.yaml"


class _Plain(yaml.SafeDumper):
    """Without anchors: a value that stands in several places is written out in each."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def render() -> str:
    head = "# Written by tools/asyncapi.py; change streamwarm/accept/wire/table.py or accept/describe/ instead.\n"
    return head + yaml.dump(asyncapi_document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    if "--check" in sys.argv:
        if TARGET.read_text(encoding="utf-8") != render():
            sys.exit("docs/asyncapi.yaml is out of date; run: python tools/asyncapi.py")
    else:
        TARGET.write_text(render(), encoding="utf-8")
