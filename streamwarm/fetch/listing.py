"""Walks the pages of a bucket's listing. It holds no connection between two objects."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from attrs import define, field

from streamwarm.fetch.answers import ListPage, bucket_refused
from streamwarm.fetch.source import ListedObject


@define(eq=False)
class Listing:
    """Iterates over the pages of a listing. A class, so that stopping early leaves no generator behind."""

    _fetch_page: Callable[[str | None], Awaitable[ListPage]]
    _objects: deque[ListedObject] = field(factory=deque, init=False)
    _token: str | None = field(default=None, init=False)
    _finished: bool = field(default=False, init=False)
    _pages: int = field(default=0, init=False)
    _remembered: str | None = field(default=None, init=False)

    def __aiter__(self) -> AsyncIterator[ListedObject]:
        return self

    async def __anext__(self) -> ListedObject:
        while not self._objects:
            if self._finished:
                raise StopAsyncIteration
            page = await self._fetch_page(self._token)
            self._refuse_to_go_in_circles(page.next_token)
            self._objects.extend(page.objects)
            self._token, self._finished = page.next_token, page.next_token is None
        return self._objects.popleft()

    def _refuse_to_go_in_circles(self, token: str | None) -> None:
        """Brent's algorithm: one token is remembered, a later one at every power of two, so a circle of any length is
        found within three rounds and no set of tokens grows with the bucket."""
        self._pages += 1
        if token is not None and token == self._remembered:
            raise bucket_refused("the bucket's listing repeats its pages; check that r2.endpoint_url is an S3 API")
        if self._pages & (self._pages - 1) == 0:
            self._remembered = token
