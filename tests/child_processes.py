"""Processes of their own that tell a test what they did, line by line, and begin together when it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from services.core.ports import Store
from services.core.tasks import TaskState

__all__ = ["assert_all_or_nothing", "child", "output", "start"]

ROOT = Path(__file__).parents[1]


@contextmanager
def child(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python with these arguments; it has ended, one way or another, on the way out."""
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def start(processes: list[subprocess.Popen[str]]) -> None:
    """Let them begin together, when all are ready."""
    for process in processes:
        assert output(process).readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def assert_all_or_nothing(store: Store, told: Iterable[str]) -> None:
    """Of each change of a killed writer the store has all or nothing, and all of what the writer told."""
    for line in told:
        what, job_id = line.split()
        job, counts = store.get_job(job_id), store.count_tasks(job_id)
        assert counts.total in (0, 20)
        assert counts[TaskState.DONE] in (0, 20)
        if what in {"started", "finished", "closed"}:
            assert counts.total == 20
        if what in {"finished", "closed"}:
            assert counts[TaskState.DONE] == 20
            assert all(store.get_model(task.key) for task in store.all_tasks(job_id))
        if what == "closed":
            assert job.state == "succeeded"
