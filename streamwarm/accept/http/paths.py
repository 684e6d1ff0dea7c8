"""A request's parameters: those in its path, still percent-encoded, and those of its query."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from streamwarm.accept.http.message import Request
from streamwarm.accept.wire.fields import FieldError


def path_param(request: Request, name: str) -> str:
    """A parameter of the path, percent-decoded once. Raises `FieldError` if it is not UTF-8, as every name is."""
    try:
        return unquote_to_bytes(request.path_params[name]).decode()
    except UnicodeDecodeError:
        raise FieldError(f"{name} in the path must be percent-encoded UTF-8") from None


def query_params(request: Request, *, numbers: Sequence[str] = ()) -> dict[str, object]:
    """The query's parameters by name; those in `numbers` as numbers, if they are. Raises `FieldError` for one that is
    given twice."""
    params: dict[str, object] = {}
    for name, text in request.query_params:
        if name in params:
            raise FieldError(f"{name} is given twice")
        is_number = name in numbers and text.isascii() and text.isdigit() and len(text) < 20
        params[name] = int(text) if is_number else text
    return params
