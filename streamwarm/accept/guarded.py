"""What both sets of use cases refuse alike: a store that does not answer, and a destination that is not configured."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from streamwarm.accept.wire.fields import shown
from streamwarm.accept.wire.refusals import CallRefusedError, Reason
from streamwarm.errors import StoreUnavailable, UnreadableRow
from streamwarm.watch.observations import Observer, StoreTrouble


@contextmanager
def store_guarded(observe: Observer, method: str) -> Iterator[None]:
    """Turn `StoreUnavailable` and `UnreadableRow` into refusals. The former's message goes only to the log: it may
    name files and hosts."""
    try:
        yield
    except UnreadableRow as error:
        raise CallRefusedError(Reason.UNREADABLE, f"{method}: {error}") from error
    except StoreUnavailable as error:
        observe(StoreTrouble(f"accept.{method}", str(error)))
        raise CallRefusedError(
            Reason.STORE_UNAVAILABLE,
            f"{method}: the store is unavailable; try again shortly (repeating the call is safe)",
        ) from error


def no_destination(name: str, configured: Collection[str]) -> CallRefusedError:
    known = ", ".join(sorted(configured)) or "none"
    return CallRefusedError(Reason.NOT_FOUND, f"no destination is called {shown(name)}; configured: {known}")
