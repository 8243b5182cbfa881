"""Progress on stderr: a live bar on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from kmeans.v1 import job_pb2, job_service_pb2
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["follow"]

_PLAIN_LINE_SECONDS = 5.0


def follow(
    steps: Iterable[job_service_pb2.WatchJobResponse],
    console: Console,
    *,
    quiet: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> job_pb2.Job:
    """Show the steps of a watch until it ends; return the last one."""
    jobs = (step.job for step in steps)
    shown: Iterable[job_pb2.Job]
    if quiet:
        shown = jobs
    elif console.is_terminal:
        shown = _live(jobs, console)
    else:
        shown = _plain(jobs, console, clock)
    return deque(shown, maxlen=1).pop()


def _ended(job: job_pb2.Job) -> int:
    counts = job.task_counts
    return counts.done + counts.degenerate + counts.error + counts.cancelled


def _trouble(job: job_pb2.Job) -> str:
    counts = job.task_counts
    parts = [f"{counts.error} failed"] if counts.error else []
    parts += [f"{counts.degenerate} degenerate"] if counts.degenerate else []
    return ", ".join(parts)


def _live(jobs: Iterable[job_pb2.Job], console: Console) -> Iterable[job_pb2.Job]:
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[trouble]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with progress:
        bar = progress.add_task("planning", total=None, trouble="")
        for job in jobs:
            total = job.task_counts.total or None
            progress.update(
                bar,
                description="fitting" if total else "planning",
                total=total,
                completed=_ended(job),
                trouble=_trouble(job),
            )
            yield job


def _plain(
    jobs: Iterable[job_pb2.Job], console: Console, clock: Callable[[], float]
) -> Iterable[job_pb2.Job]:
    printed_at = clock() - _PLAIN_LINE_SECONDS
    printed = -1
    for job in jobs:
        ended, total = _ended(job), job.task_counts.total
        is_last = bool(total) and ended == total
        if total and ended != printed and (is_last or clock() - printed_at >= _PLAIN_LINE_SECONDS):
            trouble = _trouble(job)
            console.print(
                f"{job.name}: {ended:,} of {total:,} tasks{f' ({trouble})' if trouble else ''}",
                highlight=False,
                markup=False,
            )
            printed_at, printed = clock(), ended
        yield job
