"""`python -m bench.service [PART …]`: the service on real servers, each part of it a process of its own.

Parts: `default` (a default job beside the embedded service), `capacity` (tasks per second of trivial fits),
`queued` (100,000 tasks in the queue), `rolling` (20 restarts of workers). Without any, all of them. Servers
are private to the run unless KMEANS_TEST_(RABBITMQ|MONGODB|S3)_URL name others.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from bench.service import capacity, default_job, queued, rolling
from bench.service.deployment import Deployment
from bench.service.table import Row, render
from services.cli.logs import configure_logs
from services.cli.signals import Interrupted, raise_on_signals
from tests.servers.server import ServerFailed, ServerMissing


def main() -> int:
    """Print a table for each part; 0 when it ran, whatever the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.service", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="default, capacity, queued or rolling")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks that `queued` queues")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long `queued` works on them")
    parser.add_argument("--starts", type=int, default=2000, help="per task of `rolling`: how long its job is")
    arguments = parser.parse_args()
    parts: dict[str, tuple[str, Callable[[Deployment], list[Row]]]] = {
        "default": ("A default job", default_job.measure),
        "capacity": ("Overhead capacity: trivial fits", capacity.measure),
        "rolling": ("Rolling restarts", lambda found: rolling.measure(found, arguments.starts)),
        "queued": ("Queued tasks", lambda found: queued.measure(found, arguments.tasks, arguments.seconds)),
    }
    unknown = sorted(set(arguments.parts) - parts.keys())
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(parts)}")
    # So that an interrupted run, too, ends its servers and forgets their data.
    raise_on_signals()
    configure_logs("error", "text")
    try:
        with Deployment.on_servers() as deployment:
            deployment.start(workers=1, slots=1)
            print(f"Store: {deployment.store_server}. Broker: RabbitMQ. Objects: SeaweedFS.", flush=True)
            for name, (title, measure) in parts.items():
                if not arguments.parts or name in arguments.parts:
                    began = time.monotonic()
                    rows = measure(deployment)
                    print(render(f"\n{title} ({time.monotonic() - began:.0f} s)", rows), flush=True)
    except (ServerMissing, ServerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except Interrupted as signalled:
        return signalled.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
