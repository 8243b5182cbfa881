"""A short storm, the same at every run: no task is lost, doubled or wrong, and nothing is left running."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.rehearsal import Rehearsal
from tests.chaos.schedule import Fault, plan_strikes
from tests.chaos.topology import Size
from tests.chaos.workload import Workload
from tests.servers.server import ServerFailed, ServerMissing

# A seed whose first 25 seconds have the faults below; the rest is up to `make chaos`.
SEED = 12632
SECONDS = 25.0
WANTED = {
    Fault.KILL_WORKER,
    Fault.TERM_WORKER,
    Fault.KILL_SCHEDULER,
    Fault.KILL_GATEWAY,
    Fault.WIPE_BROKER,
    Fault.STOP_STORE,
    Fault.CUT_BROKER,
}


@pytest.mark.timeout(420)  # ends within a minute and a half; its own deadlines come first
def test_no_task_is_lost_doubled_or_wrong_whatever_dies(tmp_path: Path) -> None:
    strikes = plan_strikes(SEED, SECONDS)
    assert {strike.fault for strike in strikes} >= WANTED
    workload = Workload.of_tasks(SEED, 600, n_init=25)
    rehearsal = Rehearsal(tmp_path, workload, strikes, seed=SEED, size=Size(workers=2))
    try:
        outcome = rehearsal.run()
    except (ServerMissing, ServerFailed) as error:
        complaint = f"needs private servers: {str(error).splitlines()[0]}"
        if os.environ.get("CI"):
            pytest.fail(complaint)
        pytest.skip(complaint)
    print(outcome.line())
    assert outcome.complaints == []
    assert outcome.line().startswith(f"faults={len(strikes)} ")
    assert "lost=0 doubled=0 wrong=0" in outcome.line()
    assert outcome.tasks >= 600
