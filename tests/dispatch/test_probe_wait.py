"""What a user waits for in vain without it: a bucket that is well again is asked within a minute, and soon at first."""

from __future__ import annotations

import pytest

from streamwarm.dispatch.source_health import PROBE_S, probe_wait_s


@pytest.mark.parametrize("refused", [True, False])
def test_a_paused_bucket_is_probed_at_least_once_a_minute(refused: bool) -> None:
    waits = [probe_wait_s(failures, refused=refused) for failures in range(1, 40)]
    assert all(0 < wait <= PROBE_S for wait in waits)
    assert waits == sorted(waits)
    assert waits[0] == (PROBE_S if refused else 1.0)
