"""The tasks of one job as this process knows them: what there is to count, and what waits to be published."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime

from services.backends.mongodb.records import Standing
from services.core.tasks import TaskCounts, TaskKey, TaskState

__all__ = ["JobTasks", "Publication"]


@dataclass(frozen=True, slots=True)
class Publication:
    """What was given to the queue at once.

    Attributes:
        revision: of the job, when it was noted. Tasks that were set back at a later one are not meant.
    """

    at: datetime
    revision: int
    task_ids: tuple[str, ...]


class JobTasks:
    """Every task and part of a job with all that changed up to `revision`, and perhaps some later changes."""

    def __init__(self) -> None:
        """Know none yet."""
        self.revision = 0
        self._standings: dict[str, Standing] = {}
        self._by_state: Counter[TaskState] = Counter()
        self._n_running = 0
        self._suspects: set[str] = set()
        # Ids of all that is run, by key, and how many of them at the front do not wait for certain.
        self._order: list[str] = []
        self._n_passed = 0

    def __len__(self) -> int:
        """About how much it holds; never 0."""
        return 1 + len(self._standings)

    def update(self, standings: Mapping[str, Standing], revision: int) -> None:
        """Take in what was read after the job had this revision; in any order, and again."""
        known = len(self._order)
        # Of a job's tasks most stand alike: what they share is held once.
        shared: dict[Standing, Standing] = {}
        for task_id, standing in standings.items():
            standing = shared.setdefault(standing, standing)
            before = self._standings.get(task_id)
            if before is not None:
                if before.revision >= standing.revision:
                    continue
                self._count(task_id, before, -1)
            elif standing.is_runnable:
                self._order.append(task_id)
            self._count(task_id, standing, 1)
            self._standings[task_id] = standing
            if standing.state is TaskState.PENDING:
                self._n_passed = 0
        if len(self._order) > known:
            self._order.sort(key=_place)
        self.revision = max(self.revision, revision)

    def counts(self) -> TaskCounts:
        """Whole tasks by state."""
        return TaskCounts(dict(+self._by_state))

    def suspects(self) -> tuple[TaskKey, ...]:
        """What waits after it was lost at least once, by key."""
        return tuple(sorted(map(TaskKey.parse, self._suspects)))

    def count_outstanding(self, publications: Iterable[Publication], since: datetime) -> int:
        """What runs, or waits and was published at or after this time."""
        times = self._published(publications)
        return self._n_running + sum(at >= since for at in times.values())

    def unpublished(
        self, publications: Iterable[Publication], before: datetime, limit: int
    ) -> tuple[TaskKey, ...]:
        """What waits and was never published, or last before this time; by key, at most `limit`."""
        times = self._published(publications)
        found = (each for each in self._waiting() if each not in times or times[each] < before)
        return tuple(map(TaskKey.parse, itertools.islice(found, limit)))

    def is_over(self, publication: Publication, published_anew: Set[str] = frozenset()) -> bool:
        """Whether it tells nothing any more: all of it has ended, was set back, or is published anew."""
        return not any(
            self._standings[task_id].waiting_from <= publication.revision
            for task_id in publication.task_ids
            if task_id not in published_anew
            and task_id in self._standings
            and not self._standings[task_id].state.is_terminal
        )

    def _published(self, publications: Iterable[Publication]) -> dict[str, datetime]:
        """When each of those that wait was published last, if it was since it began to wait."""
        times: dict[str, datetime] = {}
        for publication in publications:
            for task_id in publication.task_ids:
                standing = self._standings.get(task_id)
                if (
                    standing is not None
                    and _waits(standing)
                    and standing.waiting_from <= publication.revision
                    and (task_id not in times or times[task_id] < publication.at)
                ):
                    times[task_id] = publication.at
        return times

    def _waiting(self) -> Iterator[str]:
        order, standings = self._order, self._standings
        while self._n_passed < len(order) and not _waits(standings[order[self._n_passed]]):
            self._n_passed += 1
        return (each for each in itertools.islice(order, self._n_passed, None) if _waits(standings[each]))

    def _count(self, task_id: str, standing: Standing, by: int) -> None:
        if standing.is_whole:
            self._by_state[standing.state] += by
        if not standing.is_runnable:
            return
        if standing.state is TaskState.RUNNING:
            self._n_running += by
        if standing.state is TaskState.PENDING and standing.was_lost:
            (self._suspects.add if by > 0 else self._suspects.discard)(task_id)


def _waits(standing: Standing) -> bool:
    return standing.is_runnable and standing.state is TaskState.PENDING


def _place(task_id: str) -> tuple[int, int, str, int]:
    # The order of keys, which compare field by field and so more slowly.
    key = TaskKey.parse(task_id)
    return key.experiment, key.k, key.covariance.value, key.part.first_start
