"""A short storm, the same at every run: no task is lost, doubled or wrong, and nothing is left running."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.rehearsal import Rehearsal
from tests.chaos.schedule import Fault, plan_round
from tests.chaos.topology import Size
from tests.chaos.workload import Workload
from tests.servers.server import ServerFailed, ServerMissing

SEED = 12632
# Closer together than in `make chaos`, so that all kinds fit into half a minute.
GAP_SECONDS = (1.0, 3.0)
FAULTS = {
    Fault.KILL_WORKER,
    Fault.TERM_WORKER,
    Fault.KILL_SCHEDULER,
    Fault.TERM_SCHEDULER,
    Fault.KILL_GATEWAY,
    Fault.TERM_GATEWAY,
    Fault.RESTART_BROKER,
    Fault.WIPE_BROKER,
    Fault.STOP_STORE,
    Fault.S3_ERRORS,
    Fault.S3_LATENCY,
    Fault.CUT_BROKER,
}


@pytest.mark.timeout(420)  # ends within a minute and a half; its own deadlines come first
def test_no_task_is_lost_doubled_or_wrong_whatever_dies(tmp_path: Path) -> None:
    strikes = plan_round(SEED, FAULTS, GAP_SECONDS)
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
    assert {fault for _, fault in outcome.struck} == FAULTS
    assert outcome.reconnections > 0
    assert "lost=0 doubled=0 wrong=0" in outcome.line()
    assert outcome.tasks >= 600
