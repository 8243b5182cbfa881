"""Real workers come with a burst of jobs and go after it, some in the middle of their work: nothing is lost.

The short form of `make rehearse-scaling`: one burst, and time passes three times as fast again.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.workload import Workload
from tests.scaling.rehearsal import Plan, rehearse
from tests.servers.fixtures import do_without
from tests.servers.server import ServerFailed, ServerMissing


@pytest.mark.timeout(300)
def test_workers_follow_the_queue_from_none_to_none(tmp_path: Path) -> None:
    plan = Plan(Workload.of_tasks(1, 60, 200), bursts=1, jobs=1, most_workers=3, faster=45.0)
    try:
        outcome = rehearse(tmp_path, plan)
    except ServerMissing as error:
        do_without("a server", error)
    except ServerFailed as error:
        do_without("a server", error, is_mistake=True)
    print(outcome.line())
    assert outcome.complaints == []
    assert (outcome.lost, outcome.doubled, outcome.wrong) == (0, 0, 0)
    assert outcome.tasks > plan.workload.n_tasks
    assert outcome.busy >= 1, "every worker was idle when it was let go"
    assert outcome.samples[-1].workers == 0
