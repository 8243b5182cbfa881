"""`python -m tests.scaling simulate|rehearse`: the autoscaling of the workers, computed or carried out."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.scaling.manifest import shipped_policy
from tests.scaling.report import table
from tests.servers.server import ServerFailed, ServerMissing


def main() -> int:
    """Run one command; 1 when the rehearsal finds something wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.scaling", description=__doc__)
    parser.add_argument("command", choices=["simulate", "rehearse"])
    parser.add_argument("--tasks", type=int, default=300, help="of each job of a burst, at least")
    parser.add_argument("--starts", type=int, default=80, help="per task: how long a job is")
    arguments = parser.parse_args()
    if arguments.command == "simulate":
        print(table(shipped_policy()), end="")
        return 0
    return _rehearse(arguments.tasks, arguments.starts)


def _rehearse(tasks: int, starts: int) -> int:
    # Here and not above: the simulation needs no kernel and no servers.
    from services.cli.logs import configure_logs
    from tests.chaos.workload import Workload
    from tests.scaling.plot import PLOT, draw
    from tests.scaling.rehearsal import Plan, rehearse

    configure_logs("error", "text")
    folder = Path(tempfile.mkdtemp(prefix="kmeans-scaling-"))
    try:
        outcome = rehearse(folder, Plan(Workload.of_tasks(1, tasks, starts)))
    except (ServerMissing, ServerFailed, TimeoutError) as error:
        print(f"{error}\nLogs: {folder}", file=sys.stderr)
        return 1
    print(outcome.line())
    if outcome.complaints:
        print("\n".join(outcome.complaints), f"Logs: {folder}", sep="\n", file=sys.stderr)
        return 1
    draw(outcome.samples)
    print(f"Drawn: {PLOT}", file=sys.stderr)
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
