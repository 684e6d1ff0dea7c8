"""What whoever carries this on loses without it: files that are read in one sitting and functions that fit a screen."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE_LINES = 300
FUNCTION_LINES = 45


def python_files() -> list[Path]:
    return [path for folder in ("streamwarm", "tests", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_no_file_is_longer_than_can_be_read_in_one_sitting() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in python_files()}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    """Of the service's functions the head counts too. A test's head is its fixtures and its cases."""
    functions = {
        f"{path.relative_to(ROOT)}::{node.name}": (node.end_lineno or 0) - _first_line(path, node) + 1
        for path in python_files()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in functions.items() if lines > FUNCTION_LINES} == {}


def _first_line(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return node.lineno if path.is_relative_to(ROOT / "streamwarm") else node.body[0].lineno
