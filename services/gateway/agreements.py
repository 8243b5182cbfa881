"""Agreements of a job's experiments: computed when asked for, one at a time, and kept for a while."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from services.core.agreement import (
    Agreement,
    ExperimentAgreement,
    adjusted_rand_index,
    choose_compared,
    count_pairs,
)
from services.core.jobs import Job
from services.core.ports import ObjectStore, Store
from services.core.reporting import best_by_experiment, build_report
from services.core.tasks import TaskKey
from services.gateway.kept import Kept
from services.gateway.models import Labeller, read_model
from services.gateway.reports import require_best
from services.gateway.stored_tables import open_table
from services.tables import read_complete_rows

__all__ = ["Agreements"]

_MAX_KEPT = 64


class Agreements:
    """Compares the labels of each experiment's best task with those of the best overall."""

    def __init__(self, store: Store, objects: ObjectStore) -> None:
        """Models come from the store, rows from the object store."""
        self._store = store
        self._objects = objects
        self._kept: Kept[tuple[str, int, int], Agreement] = Kept(_MAX_KEPT)

    def of(self, job: Job, min_members: int, check: Callable[[], None]) -> Agreement:
        """The agreement of a job's experiments as the job is now.

        One is computed at a time, in the memory of 100,000 rows at most and of two models; the last
        ones are kept by (job, revision, min_members).

        Args:
            job: read before now: its revision says which answers are still true.
            check: called again and again; ends the work by raising.

        Raises:
            FailedPrecondition: no fit qualifies (`NO_FIT_QUALIFIES`), or a task was set back to run again
                meanwhile (`TASK_NOT_FITTED`).
            DataLoss: the stored table or a model is damaged or missing.
        """
        return self._kept.get(
            (job.id, job.revision, min_members), lambda: self._compute(job, min_members, check), check
        )

    def _compute(self, job: Job, min_members: int, check: Callable[[], None]) -> Agreement:
        tasks = self._store.all_tasks(job.id)
        best = require_best(job, build_report(job, tasks, min_members))
        values, sampled = self._compared_rows(job, check)
        best_labels = self._labels(best.key, values, check)
        experiments = []
        for task in best_by_experiment(tasks, min_members).values():
            labels = best_labels if task.key == best.key else self._labels(task.key, values, check)
            index = adjusted_rand_index(count_pairs(best_labels, labels))
            experiments.append(ExperimentAgreement(task, index))
        return Agreement(best, tuple(experiments), len(values), sampled)

    def _labels(
        self, key: TaskKey, values: NDArray[np.float64], check: Callable[[], None]
    ) -> NDArray[np.int32]:
        return Labeller(read_model(self._store, key)).labels(values, check)

    def _compared_rows(self, job: Job, check: Callable[[], None]) -> tuple[NDArray[np.float64], bool]:
        """The complete rows (m, d) that are compared, in original units, and whether they are a sample."""
        n = job.row_count
        places = choose_compared(n)
        values = np.empty((n if places is None else len(places), len(job.spec.columns)))
        filled = seen = 0
        with open_table(self._objects, job.spec.dataset_id) as source:
            for part in read_complete_rows(source, job.spec.columns):
                check()
                rows = part.values
                if places is not None:
                    low, high = np.searchsorted(places, (seen, seen + len(rows)))
                    seen += len(rows)
                    rows = rows[places[low:high] - (seen - len(rows))]
                values[filled : filled + len(rows)] = rows
                filled += len(rows)
        return values[:filled], places is not None
