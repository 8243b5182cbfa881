"""Progress without a terminal: a line at once, then now and then, and one at the end."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator

from kmeans.v1 import job_pb2, job_service_pb2
from rich.console import Console

from services.cli.progress import follow


def steps(*dones: int, total: int = 100) -> Iterator[job_service_pb2.WatchJobResponse]:
    for done in dones:
        counts = job_pb2.TaskCounts(done=done, pending=total - done, total=total)
        yield job_service_pb2.WatchJobResponse(job=job_pb2.Job(name="jobs/1", task_counts=counts))


def test_lines_come_every_few_seconds_and_at_the_end() -> None:
    console = Console(file=io.StringIO(), width=80)
    seconds = itertools.count(0.0, 1.0)
    last = follow(steps(0, 10, 20, 30, 40, 50, 60, 100), console, clock=lambda: next(seconds))
    assert last.task_counts.done == 100
    printed = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert printed[0] == "jobs/1: 0 of 100 tasks"
    assert printed[-1] == "jobs/1: 100 of 100 tasks"
    assert 2 < len(printed) < 8


def test_quiet_prints_nothing() -> None:
    console = Console(file=io.StringIO(), width=80)
    follow(steps(0, 100), console, quiet=True)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_a_terminal_gets_a_bar() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    assert follow(steps(0, 50, 100), console).task_counts.done == 100
    assert "100/100" in console.file.getvalue()  # type: ignore[attr-defined]
