"""What happens to the world by itself, on time: outages, replaced objects, crashes, freezes, leaps of time."""

from __future__ import annotations

import trio

from tests.simulation.bucket import R2
from tests.simulation.host import Host
from tests.simulation.plan import CHATS, FAULTS_END_S, FOR_GOOD_S, SORTS, Fault, FaultKind, Sort
from tests.simulation.telegram import CLOSED_WORDS, UNKNOWN_WORDS
from tests.simulation.whole import PEERS, TOKENS, Whole

CALM_S = 5.0
"""How long after the last fault and the last action calm is declared, in seconds: what waits may still strike."""

BUSY_WITHIN_S = 5.0
"""How long a crash or a freeze waits for an attempt to begin, in seconds: an idle host has little to lose."""

PASSES = 60
"""Passes of the event loop in which an attempt is under way: a crash or a freeze comes at any of them."""


async def have_faults(whole: Whole) -> None:
    """Let everything happen that the plan has, then end all of it and forbid the rest."""
    timed = whole.faults.timed((Sort.HOST, Sort.WORLD))
    lasting = [fault for fault in whole.plan.faults if fault.at_s < FAULTS_END_S and fault.amount != FOR_GOOD_S]
    ends = [fault.at_s + max(0.0, fault.amount) for fault in lasting]
    last_s = max([*ends, *(action.at_s for action in whole.plan.actions), 0.0])
    with trio.move_on_at(min(last_s + CALM_S, FAULTS_END_S)):
        async with trio.open_nursery() as nature:
            for fault in timed:
                nature.start_soon(_strike, whole, fault)
            await trio.sleep_forever()
    _end_all(whole)
    await whole.use_bots()


async def _strike(whole: Whole, fault: Fault) -> None:
    await trio.sleep_until(fault.at_s)
    host = whole.hosts[fault.of % len(whole.hosts)]
    if fault.kind in {FaultKind.CRASH, FaultKind.FREEZE}:
        with trio.move_on_after(BUSY_WITHIN_S):
            await host.busy()
        for _ in range(int(fault.at_s * 1e6) % PASSES):
            await trio.lowlevel.checkpoint()
    if fault.kind is FaultKind.CRASH and host.endpoints is None:
        return
    whole.faults.strike(fault)
    await (_happen_to_host(whole, host, fault) if SORTS[fault.kind] is Sort.HOST else _happen(whole, fault))


async def _happen_to_host(whole: Whole, host: Host, fault: Fault) -> None:
    match fault.kind:
        case FaultKind.CRASH:
            host.die()
        case FaultKind.FREEZE:
            host.freeze()
            await trio.sleep(fault.amount)
            host.unfreeze()
        case FaultKind.CLOCK_STEP:
            _set_clock(whole, host, host.clock_offset_s + fault.amount)
        case FaultKind.STORE_DOWN:
            host.store_is_down = True
            await trio.sleep(fault.amount)
            host.store_is_down = False


async def _happen(whole: Whole, fault: Fault) -> None:
    match fault.kind:
        case FaultKind.SUSPENDED:
            whole.clock.jump(fault.amount)
        case FaultKind.REPLACED | FaultKind.REVERTED | FaultKind.DELETED | FaultKind.REMADE:
            await _change(whole.r2, whole.plan.objects[fault.of % len(whole.plan.objects)].key, fault)
        case FaultKind.ANOTHER_BOT:
            await _have_another_bot(whole, fault.amount)
        case FaultKind.CLIENT_CUT:
            stream = whole.people[fault.of % len(whole.people)].stream
            if stream is not None:
                stream.close()
        case _:
            await _last(whole, fault)


async def _change(r2: R2, key: str, fault: Fault) -> None:
    """Have the bucket put another version of an object, or none for a while."""
    match fault.kind:
        case FaultKind.REPLACED:
            r2.replace(key)
        case FaultKind.REVERTED:
            r2.revert(key)
        case _:
            r2.delete(key)
            try:
                await trio.sleep(fault.amount)
            finally:
                if fault.amount < FOR_GOOD_S:
                    (r2.restore if fault.kind is FaultKind.DELETED else r2.replace)(key)


async def _have_another_bot(whole: Whole, for_s: float) -> None:
    whole.other_bots += 1
    await whole.use_bots()
    await trio.sleep(for_s)
    whole.other_bots -= 1
    await whole.use_bots()


async def _last(whole: Whole, fault: Fault) -> None:
    """Put a peer into the state of this fault for as long as the fault says."""
    name, peer = list(TOKENS)[fault.of % len(TOKENS)], list(PEERS)[fault.of % len(PEERS)]
    chats = [str(chat) for chats in CHATS.values() for chat in chats]
    chat = chats[fault.of % len(chats)]
    match fault.kind:
        case FaultKind.R2_DOWN:
            whole.r2.is_down = True
        case FaultKind.KEY_ROTATED:
            whole.r2.is_rotated = True
        case FaultKind.BOT_REVOKED:
            whole.telegram.revoked.add(name)
        case FaultKind.CHAT_REFUSES:
            whole.telegram.refusing[chat] = UNKNOWN_WORDS
        case FaultKind.CHAT_CLOSED:
            whole.telegram.refusing[chat] = CLOSED_WORDS
        case FaultKind.UNREACHABLE:
            whole.network.unreachable.add(peer)
    await trio.sleep(fault.amount)
    match fault.kind:
        case FaultKind.R2_DOWN:
            whole.r2.is_down = False
        case FaultKind.KEY_ROTATED:
            whole.r2.is_rotated = False
        case FaultKind.BOT_REVOKED:
            whole.telegram.revoked.discard(name)
        case FaultKind.CHAT_REFUSES | FaultKind.CHAT_CLOSED:
            whole.telegram.refusing.pop(chat, None)
        case FaultKind.UNREACHABLE:
            whole.network.unreachable.discard(peer)


def _set_clock(whole: Whole, host: Host, offset_s: float) -> None:
    whole.telegram.leaps.append((trio.current_time(), max(0.0, offset_s - host.clock_offset_s)))
    host.clock_offset_s = offset_s


def _end_all(whole: Whole) -> None:
    whole.faults.clear()
    whole.r2.is_down = whole.r2.is_rotated = False
    whole.other_bots = 0
    whole.telegram.revoked.clear()
    whole.telegram.refusing.clear()
    whole.network.unreachable.clear()
    for host in whole.hosts:
        host.unfreeze()
        host.store_is_down = False
        _set_clock(whole, host, 0.0)
    whole.calm_at_s = trio.current_time()
    whole.note("fault", "no more from here on")
