"""`python -m tests.chaos`: the service on real servers under a seeded storm of faults.

Prints one line, and exits 0 when every task ended once with the bits of the undisturbed run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from services.cli.logs import configure_logs
from tests.chaos.rehearsal import Outcome, Rehearsal
from tests.chaos.schedule import plan_strikes
from tests.chaos.workload import Workload
from tests.servers.server import ServerFailed, ServerMissing

_SHOWN = 20


def main() -> int:
    """Run once; 0 all is well, 1 something is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the schedule, the table and the job")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long faults go on striking")
    parser.add_argument("--tasks", type=int, default=600, help="tasks of each job, at least")
    parser.add_argument("--starts", type=int, default=200, help="starts per task: how long a job is")
    parser.add_argument("--keep", action="store_true", help="keep logs and data also when all is well")
    arguments = parser.parse_args()
    configure_logs("error", "text")
    folder = Path(tempfile.mkdtemp(prefix="kmeans-chaos-"))
    workload = Workload.of_tasks(arguments.seed, arguments.tasks, arguments.starts)
    strikes = plan_strikes(arguments.seed, arguments.seconds)
    try:
        outcome = Rehearsal(folder, workload, strikes, seed=arguments.seed).run()
    except (ServerMissing, ServerFailed) as error:
        print(f"{error}\nLogs: {folder}", file=sys.stderr)
        return 1
    except BaseException:
        print(f"Logs: {folder}", file=sys.stderr)
        raise
    _explain(outcome)
    is_good = not outcome.complaints
    if is_good and not arguments.keep:
        shutil.rmtree(folder)
    else:
        print(f"Logs: {folder}", file=sys.stderr)
    print(outcome.line())
    return 0 if is_good else 1


def _explain(outcome: Outcome) -> None:
    print(
        f"claims: {outcome.claims} for {outcome.tasks} tasks; "
        f"watchers came back {outcome.reconnections} times; "
        f"faults between jobs: {outcome.idle}",
        file=sys.stderr,
    )
    for complaint in outcome.complaints[:_SHOWN]:
        print(complaint, file=sys.stderr)
    if len(outcome.complaints) > _SHOWN:
        print(f"… and {len(outcome.complaints) - _SHOWN} more", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
