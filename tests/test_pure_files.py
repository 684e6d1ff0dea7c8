"""A file that says it is pure must be checked for it: one import of trio, and its tests need an event loop."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONTRACT = "What decides is pure"


def promises_purity() -> set[str]:
    """The modules whose docstring says that they are pure."""
    found = set()
    for path in (ROOT / "streamwarm").rglob("*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        if re.search(r"\bpure\b", docstring, re.IGNORECASE):
            module = path.relative_to(ROOT).with_suffix("")
            found.add(".".join(module.parts).removesuffix(".__init__"))
    return found


def held_to_purity() -> set[str]:
    """The modules and packages that the contract in pyproject.toml checks."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (modules,) = (set(one["source_modules"]) for one in contracts if one["name"].startswith(CONTRACT))
    return modules


def test_every_file_that_says_it_is_pure_is_checked_to_import_no_io_library() -> None:
    held = held_to_purity()

    def is_held(module: str) -> bool:
        return any(module == one or module.startswith(f"{one}.") for one in held)

    promised = promises_purity()
    assert len(promised) > 30, "the search for the word finds too little"
    assert sorted(module for module in promised if not is_held(module)) == []
