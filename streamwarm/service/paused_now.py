"""Every pause in force as the labels of `streamwarm_paused`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import in_force
from streamwarm.service.limit_views import refused_kinds


def paused_now(limits: Limits, bucket: str, now: float) -> Iterator[tuple[str, str, str]]:
    """Scope, name, and by whom, of each pause in force. `now` is by the clock of the limits.

    Names: none for the service, the bucket's for the source, `bot` for a destination, `bot/voice` for a kind that none
    of its chats takes, `bot/-1001` for a chat, and `bot/-1001:voice` for a chat that refuses that kind alone.
    """
    if (pause := limits.service_pause(now)) is not None:
        yield "service", "", pause.by.value
    if (pause := limits.source_pause) is not None:
        yield "source", bucket, pause.by.value
    for name, pause in limits.active(now).items():
        yield "destination", name, pause.by.value
    for name in sorted(limits.rates):
        state = limits.state(name)
        for kind, pause in state.paused_kinds(now).items():
            yield "kind", f"{name}/{kind.value}", pause.by.value
        for lane in state.lanes.values():
            if (pause := in_force(lane.pause, now)) is not None:
                yield "chat", f"{name}/{lane.name}", pause.by.value
            for kind, pause in refused_kinds(lane, now).items():
                yield "chat", f"{name}/{lane.name}:{kind.value}", pause.by.value
