"""Text that must not show in logs and tracebacks. Pure."""

from __future__ import annotations

MASK = "*******"


class SecretStr(str):
    """A `str` whose `repr` is masked unless it is empty.

    It protects against a settings object in a log or a traceback. It does not protect against `str()`, `print` or an
    f-string: those give the text, because requests need it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK) if self else "''"
