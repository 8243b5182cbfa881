"""Interrupted at any moment and started again: no job is lost, no finished task runs twice."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from services.backends.open import open_store
from services.core.jobs import Job, JobFilter, JobState
from services.core.pages import PageRequest
from services.core.tasks import Task, TaskState
from tests.e2e.conftest import EXAMPLES, Program, await_that

# Long enough (several seconds) to be interrupted in the middle, whatever the machine.
LONG = ("--max-k", "8", "--experiments", "6", "--n-init", "80", "--workers", "2")
FINISHED = {TaskState.DONE, TaskState.DEGENERATE}


def stored(home: Path) -> tuple[tuple[Job, ...], dict[str, Task]]:
    if not (home / "jobs.sqlite").exists():
        return (), {}
    store = open_store(f"sqlite://{home / 'jobs.sqlite'}")
    try:
        jobs = store.list_jobs(JobFilter(), PageRequest()).items
        return jobs, {task.key.id: task for job in jobs for task in store.all_tasks(job.id)}
    finally:
        store.close()


def finished(home: Path) -> dict[str, Task]:
    return {task_id: task for task_id, task in stored(home)[1].items() if task.state in FINISHED}


@pytest.fixture(scope="module")
def undisturbed_scores(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    found = Program(tmp_path_factory.mktemp("undisturbed")).json("fit", EXAMPLES / "soil_field.csv", *LONG)
    scores = found["scores"]
    assert isinstance(scores, list)
    return scores


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("wanted", [1, 60])
def test_fit_goes_on_where_it_was_interrupted(
    program: Program,
    soil_field: Path,
    undisturbed_scores: list[dict[str, Any]],
    number: signal.Signals,
    wanted: int,
) -> None:
    process = program.start("fit", soil_field, *LONG)
    await_that(lambda: len(finished(program.home)) >= wanted, f"{wanted} finished tasks")
    process.send_signal(number)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == (-number if number is signal.SIGKILL else 128 + number)
    assert "Traceback" not in complaint
    if number is not signal.SIGKILL:
        assert "run the same command again" in complaint
    before = finished(program.home)
    jobs, tasks = stored(program.home)
    assert len(jobs) == 1
    assert len(tasks) == 8 * 6 * 6 > len(before) >= wanted
    assert jobs[0].state is JobState.RUNNING

    again = program.json("fit", soil_field, *LONG)

    jobs, tasks = stored(program.home)
    assert [job.state for job in jobs] == [JobState.SUCCEEDED]
    assert again["job"] == f"jobs/{jobs[0].id}"
    assert {task.state for task in tasks.values()} <= FINISHED
    for task_id, task in before.items():
        assert tasks[task_id] == task, "a finished task was run again"
    assert again["scores"] == undisturbed_scores


def test_up_takes_up_the_job_it_had_accepted(program: Program, soil_field: Path) -> None:
    first = program.start("up", "--address", "127.0.0.1:0")
    address = program.address()
    uploaded = program("upload", soil_field, "--target", address)
    assert uploaded.returncode == 0, uploaded.stderr
    dataset = uploaded.stdout.split()[0]
    submitted = program("submit", dataset, *LONG[:-2], "--target", address)
    assert submitted.returncode == 0, submitted.stderr
    job = submitted.stdout.strip()
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)

    (program.home / "service.json").unlink()
    program.start("up", "--address", "127.0.0.1:0")
    address = program.address()
    watched = program("watch", job, "--target", address)
    assert watched.returncode == 0, watched.stderr
    assert "succeeded" in watched.stdout
    listed = program("jobs", "--target", address)
    assert listed.stdout.count("jobs/") == 1
    reported = program("report", job, "--target", address)
    assert "Best: K = " in reported.stdout


def test_a_second_fit_on_the_same_home_is_served_too(program: Program, soil_field: Path) -> None:
    first = program.start("fit", soil_field, *LONG[:-2])
    program.address()
    second = program.json("fit", soil_field, "--max-k", "2", "--experiments", "1", "--seed", "9")
    assert second["n_tasks"] == 12
    out, complaint = first.communicate(timeout=90)
    assert first.returncode == 0, complaint
    assert "Best: K = " in out


def test_whoever_waits_takes_the_home_over(program: Program, soil_field: Path) -> None:
    """The first command ends, or is killed, while a second one is served by it."""
    owner = program.start("fit", soil_field, *LONG)
    program.address()
    attached = program.start("fit", soil_field, *LONG, "--seed", "3", "--json")
    await_that(lambda: len(stored(program.home)[0]) == 2, "the second job to be accepted")
    owner.send_signal(signal.SIGKILL)
    out, complaint = attached.communicate(timeout=90)
    assert attached.returncode == 0, complaint
    assert json.loads(out)["n_tasks"] == 8 * 6 * 6
    assert program.json("fit", soil_field, *LONG)["n_tasks"] == 8 * 6 * 6
