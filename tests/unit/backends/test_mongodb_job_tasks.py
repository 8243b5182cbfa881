"""The tasks of a job as they are read piece by piece."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.backends.mongodb.job_tasks import JobTasks, Publication
from services.backends.mongodb.records import Standing
from services.core.covariance import Covariance
from services.core.tasks import TaskKey, TaskState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# Whose order by number is not that of their ids.
KEYS = tuple(TaskKey("job", 0, k, Covariance.FULL_TIED) for k in (2, 9, 10, 11))


def standing(revision: int, state: TaskState = TaskState.PENDING, waiting_from: int = 1) -> Standing:
    return Standing(revision, state, True, True, False, waiting_from)


def started() -> JobTasks:
    tasks = JobTasks()
    tasks.update({key.id: standing(1) for key in reversed(KEYS)}, 1)
    return tasks


def publication(*keys: TaskKey, at: datetime = NOW, revision: int = 1) -> Publication:
    return Publication(at, revision, tuple(key.id for key in keys))


def test_what_waits_comes_by_key_whatever_was_read_first() -> None:
    tasks = started()
    assert tasks.unpublished((), NOW, 10) == KEYS
    assert tasks.unpublished((), NOW, 3) == KEYS[:3]
    assert tasks.unpublished((publication(*KEYS[:2]),), NOW, 1) == KEYS[2:3]


def test_of_two_readers_the_slower_one_undoes_nothing() -> None:
    tasks = started()
    tasks.update({KEYS[0].id: standing(3, TaskState.DONE)}, 3)
    tasks.update({KEYS[0].id: standing(2, TaskState.RUNNING), KEYS[1].id: standing(2, TaskState.RUNNING)}, 2)
    assert tasks.revision == 3
    assert tasks.counts().by_state == {TaskState.DONE: 1, TaskState.RUNNING: 1, TaskState.PENDING: 2}
    assert tasks.unpublished((), NOW, 10) == KEYS[2:]


def test_what_waits_again_is_found_before_what_never_ran() -> None:
    tasks = started()
    tasks.update({key.id: standing(2, TaskState.RUNNING) for key in KEYS[:2]}, 2)
    assert tasks.unpublished((), NOW, 10) == KEYS[2:]
    tasks.update({KEYS[0].id: standing(3, waiting_from=3)}, 3)
    assert tasks.unpublished((), NOW, 10) == (KEYS[0], *KEYS[2:])


def test_what_was_published_before_it_was_lost_counts_no_more() -> None:
    tasks = started()
    published = (publication(*KEYS[:2]),)
    tasks.update({KEYS[0].id: standing(3, waiting_from=3)}, 3)
    assert tasks.count_outstanding(published, NOW) == 1
    assert tasks.unpublished(published, NOW, 1) == KEYS[:1]
    published += (publication(KEYS[0], revision=3),)
    assert tasks.count_outstanding(published, NOW) == 2
    assert tasks.unpublished(published, NOW, 1) == KEYS[2:3]


def test_the_last_time_it_was_published_counts() -> None:
    later = NOW + timedelta(seconds=1)
    published = (publication(*KEYS[:2], at=later), publication(*KEYS[:3]))
    tasks = started()
    assert tasks.count_outstanding(published, later) == 2
    assert tasks.unpublished(published, later, 10) == KEYS[2:]


def test_a_publication_is_over_when_nothing_of_it_can_come_back() -> None:
    tasks = started()
    published = publication(*KEYS[:2])
    tasks.update({KEYS[0].id: standing(2, TaskState.DONE), KEYS[1].id: standing(2, TaskState.RUNNING)}, 2)
    assert not tasks.is_over(published), "what runs may be handed back"
    tasks.update({KEYS[1].id: standing(3, waiting_from=3)}, 3)
    assert tasks.is_over(published), "what was lost is published anew"
    assert not tasks.is_over(publication(KEYS[1], revision=3))
