"""The only table of state changes. In every store, a change that is not in it is an error."""

from __future__ import annotations

from streamwarm.model import State

CHANGES: frozenset[tuple[State, State]] = frozenset(
    {
        (State.QUEUED, State.RUNNING),  # a worker claimed it
        (State.QUEUED, State.CANCELLED),
        (State.QUEUED, State.DONE),  # a comparison found that its record still holds
        (State.QUEUED, State.FAILED),  # a comparison found that its object is gone
        (State.RUNNING, State.DONE),
        (State.RUNNING, State.FAILED),
        (State.RUNNING, State.UNKNOWN),  # every byte was sent, the answer was lost, and the policy is `hold`
        (State.RUNNING, State.WAITING),  # another attempt will follow
        (State.RUNNING, State.QUEUED),  # the attempt was released (shutdown), or its worker was lost
        (State.RUNNING, State.CANCELLED),
        (State.WAITING, State.QUEUED),  # its retry is due
        (State.WAITING, State.CANCELLED),
        (State.FAILED, State.QUEUED),  # a user asked for a retry
        (State.UNKNOWN, State.QUEUED),
        (State.UNKNOWN, State.CANCELLED),  # a user decided not to send it again
        (State.CANCELLED, State.QUEUED),
        (State.DONE, State.QUEUED),  # its warm record was forgotten, and the same id was pushed again
    }
)

LIVE = frozenset({State.QUEUED, State.RUNNING, State.WAITING, State.UNKNOWN})
"""States in which a job owns its media key: a second push of the same media returns it. `unknown` is among them: a
user has to decide about a held job, and a bot that pushes again must not decide for them."""

CANCELLABLE = frozenset(state for state, after in CHANGES if after is State.CANCELLED)
RETRYABLE = frozenset({State.FAILED, State.UNKNOWN, State.CANCELLED})


class IllegalChange(AssertionError):
    """A change of state that is not in the table: a bug in streamwarm, never a user's fault."""


def check_change(before: State, after: State) -> None:
    """Raise `IllegalChange` unless the table has `before` → `after`."""
    if (before, after) not in CHANGES:
        raise IllegalChange(f"a job cannot go from {before} to {after}")
