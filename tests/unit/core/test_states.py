from __future__ import annotations

import pytest

from services.core.covariance import Covariance
from services.core.jobs import JobState, state_when_all_ended
from services.core.tasks import TaskCounts, TaskKey, TaskState


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({}, None),
        ({TaskState.DONE: 3}, JobState.SUCCEEDED),
        ({TaskState.DONE: 2, TaskState.DEGENERATE: 1}, JobState.SUCCEEDED),
        ({TaskState.DEGENERATE: 1}, JobState.SUCCEEDED),
        ({TaskState.DONE: 2, TaskState.ERROR: 1}, JobState.FAILED),
        ({TaskState.ERROR: 1, TaskState.PENDING: 1}, None),
        ({TaskState.ERROR: 1, TaskState.RUNNING: 1}, None),
        ({TaskState.DONE: 2, TaskState.CANCELLED: 1}, JobState.CANCELLED),
        ({TaskState.ERROR: 2, TaskState.CANCELLED: 1}, JobState.FAILED),
    ],
)
def test_job_closes_in_the_state_that_its_tasks_give(
    counts: dict[TaskState, int], state: JobState | None
) -> None:
    assert state_when_all_ended(TaskCounts(counts)) is state


def test_terminal_states() -> None:
    assert [state for state in TaskState if not state.is_terminal] == [TaskState.PENDING, TaskState.RUNNING]
    assert [state for state in JobState if not state.is_terminal] == [JobState.PENDING, JobState.RUNNING]


def test_counts() -> None:
    counts = TaskCounts({TaskState.PENDING: 2, TaskState.RUNNING: 1, TaskState.DONE: 4})
    assert (counts.total, counts.unfinished, counts[TaskState.ERROR]) == (7, 3, 0)


@pytest.mark.parametrize("covariance", list(Covariance))
def test_task_names_read_back(covariance: Covariance) -> None:
    key = TaskKey("abc", 3, 12, covariance)
    assert TaskKey.parse(key.id) == key
    assert TaskKey.parse_short("abc", key.short_id) == key


@pytest.mark.parametrize("name", ["", "1-2", "1-2-round", "x-2-full-tied", "1/2/full-tied"])
def test_names_that_are_no_task_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        TaskKey.parse_short("abc", name)
