"""Finds the handler of a path. Pure.

Paths are matched as they were sent, still percent-encoded, and nothing is normalised: each path must reach exactly the
object of that name (fault 32).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from attrs import field, frozen

Handler = TypeVar("Handler")

_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")
"""`{name}` is one segment of a path. `{name:path}` is all that follows, slashes included."""


@frozen
class Route(Generic[Handler]):
    """A path's handlers by method. GET's answers HEAD too."""

    path: str
    handlers: Mapping[str, Handler]
    methods: frozenset[str] = field(init=False)
    _pattern: re.Pattern[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        head = {"HEAD"} if "GET" in self.handlers else set()
        object.__setattr__(self, "methods", frozenset(self.handlers) | head)
        object.__setattr__(self, "_pattern", re.compile("".join(_pattern_parts(self.path)), re.DOTALL))

    def match(self, path: str) -> Mapping[str, str] | None:
        """The path's parameters, still percent-encoded; None if the path is not this route's."""
        found = self._pattern.fullmatch(path)
        return None if found is None else found.groupdict()

    def handler(self, method: str) -> Handler | None:
        return self.handlers.get("GET" if method == "HEAD" else method)


def _pattern_parts(path: str) -> Iterator[str]:
    at = 0
    for found in _PARAMETER.finditer(path):
        yield re.escape(path[at : found.start()])
        yield f"(?P<{found[1]}>{'.*' if found[2] else '[^/]+'})"
        at = found.end()
    yield re.escape(path[at:])


@frozen
class Router(Generic[Handler]):
    """If several routes match a path, the first one that has the method wins. A route without parameters wins over all
    others."""

    routes: Sequence[Route[Handler]]
    _fixed: Mapping[str, Route[Handler]] = field(init=False)
    _others: Sequence[Route[Handler]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        fixed = {route.path: route for route in self.routes if not _PARAMETER.search(route.path)}
        object.__setattr__(self, "_fixed", fixed)
        object.__setattr__(self, "_others", [route for route in self.routes if route.path not in fixed])

    def find(self, path: str, method: str) -> tuple[Route[Handler], Mapping[str, str]] | None:
        """The route of `path` and its parameters; None if there is none. If no route of the path has the method, it is
        the first one."""
        route = self._fixed.get(path)
        if route is not None:
            return route, {}
        matching = ((route, route.match(path)) for route in self._others)
        found = [(route, parameters) for route, parameters in matching if parameters is not None]
        return next((one for one in found if one[0].handler(method) is not None), found[0] if found else None)
