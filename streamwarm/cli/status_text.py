"""Formats the reply of `stats` as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from streamwarm.cli.pauses import all_paused
from streamwarm.cli.times import format_time

_UNITS = ("B", "kB", "MB", "GB", "TB")


def status_lines(stats: Mapping[str, Any]) -> list[str]:
    """The whole reply: one line per queue, stream, destination, and so on."""
    lines = [*pause_lines(stats), queue_line(stats), workers_line(stats)]
    lines += [_stream_line(stream) for stream in stats["workers"]["streams"]]
    for name, view in sorted(stats["destinations"].items()):
        lines += [destination_line(name, view), *limit_lines(view)]
    lines += [f"{name}: {_figures(stats[name])}" for name in ("pool", "cache") if stats.get(name)]
    return lines


def queue_line(stats: Mapping[str, Any]) -> str:
    queue = dict(stats["queue"])
    oldest_s = queue.pop("oldest_s", 0)
    counts = ", ".join(f"{count} {state}" for state, count in queue.items() if count) or "empty"
    waiting = f"; the oldest waits for {duration_text(oldest_s)}" if queue.get("queued") else ""
    return f"queue: {counts}{waiting}"


def workers_line(stats: Mapping[str, Any]) -> str:
    workers = stats["workers"]
    return f"workers: {workers['busy']} of {workers['size']} busy (peak {workers['busy_peak']})"


def pause_lines(stats: Mapping[str, Any]) -> list[str]:
    """What stops everything: a line if the whole service is paused, and one if the bucket is."""
    return [f"PAUSED: {one.text}" for one in all_paused(stats) if one.destination is None]


def destination_line(name: str, view: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in view["queue"].items() if count) or "no jobs"
    return f"{name} ({view['type']}): {counts}{_paused(view.get('paused'))}"


def limit_lines(view: Mapping[str, Any]) -> list[str]:
    """A destination's rate, what of it is paused (a kind, a chat, a kind in a chat), and a hint that would help."""
    said = {pause["reason"] for pause in (view.get("paused"), *(view.get("paused_kinds") or {}).values()) if pause}
    lines = [f"  no chat takes {kind} {_until(pause)}" for kind, pause in (view.get("paused_kinds") or {}).items()]
    if limits := view.get("limits"):
        chats = f", {limits['chats']} chats" if limits["chats"] > 1 else ""
        waits = f"; about {duration_text(view['eta_s'])} for what waits" if view.get("eta_s") else ""
        lines.append(f"  at most {limits['messages_per_minute']:g} messages a minute{chats}{waits}")
    for chat in view.get("chats", ()):
        moved = f" (now {chat['moved_to']})" if "moved_to" in chat else ""
        if moved or chat["paused"]:
            lines.append(f"  chat {chat['chat']}{moved}{_paused(chat['paused'], said)}")
        for kind, pause in (chat.get("refused") or {}).items():
            lines.append(f"  chat {chat['chat']} refuses {kind} {_until(pause, said)}")
    return [*lines, f"  {view['hint']}"] if view.get("hint") else lines


def bytes_text(count: float) -> str:
    """A size in decimal units, such as `1.5 MB`."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"


def duration_text(seconds: float) -> str:
    """A duration in its two largest units: `45s`, `3m20s`, `2h05m`, `3d04h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def _stream_line(stream: Mapping[str, Any]) -> str:
    of = f" of {bytes_text(stream['total'])}" if stream["total"] else ""
    return (
        f"  worker {stream['worker']}: {stream['r2_key']} to {stream['destination']}: "
        f"{bytes_text(stream['bytes_out'])}{of}, {bytes_text(stream['bytes_per_s'])}/s, attempt {stream['attempt']}"
    )


def _paused(pause: Mapping[str, Any] | None, said: Collection[str] = ()) -> str:
    return f"; paused {_until(pause, said)}" if pause else ""


def _until(pause: Mapping[str, Any], said: Collection[str] = ()) -> str:
    """When a pause ends, and why it is one, unless a line above has `said` that."""
    why = "" if pause["reason"] in said else f" ({pause['reason']})"
    return f"until {format_time(pause['until'])}{why}"


def _figures(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
