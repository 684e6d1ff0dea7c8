"""A checklist that names tests which are not there proves nothing."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
STATUS = TESTS.parent / "docs" / "contract-status.md"


def test_every_test_that_the_checklist_names_is_there() -> None:
    text = STATUS.read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)?test_\w+\.py)::(\w+)`", text)
    assert len(named) == text.count("::") > 50
    missing = [
        f"{path}::{test}"
        for path, test in named
        if not re.search(rf"^(?:async )?def {test}\(", (TESTS / path).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert missing == []


def test_every_row_names_a_test_or_says_why_not() -> None:
    rows = [line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    bare = [row for row in rows if "::" not in row and "no test:" not in row and not row.endswith("| test |")]
    assert bare == []
