"""Labels: recomputed from (model, data) by the kernel, never stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from kmeans.v1 import job_service_pb2
from numpy.typing import NDArray

from services.core.jobs import Job
from services.core.ports import ObjectStore, Store
from services.core.tasks import TaskKey
from services.gateway.errors import invalid_field
from services.gateway.models import Labeller, read_model
from services.gateway.names import task_name
from services.gateway.reads import Reads
from services.gateway.stored_tables import open_table
from services.tables import read_complete_rows, write_labelled

__all__ = ["MAX_CHOSEN_ROWS", "MAX_RUN_LABELS", "Labels", "read_rows"]

MAX_RUN_LABELS = 200_000
MAX_CHOSEN_ROWS = 250_000
_CHUNK_BYTES = 1 << 20


class Labels:
    """Labels rows of a job's dataset under the model of one of its tasks."""

    def __init__(self, store: Store, objects: ObjectStore, reads: Reads) -> None:
        """Models come from the store, rows from the object store, and `reads` says whose turn it is."""
        self._store = store
        self._objects = objects
        self._reads = reads

    def runs(
        self,
        job: Job,
        key: TaskKey,
        check: Callable[[], None],
        chosen: NDArray[np.int64] | None = None,
    ) -> Iterator[job_service_pb2.StreamLabelsResponse]:
        """The labels of all rows in order, or of the chosen ones, in runs of at most MAX_RUN_LABELS.

        Args:
            job: whose rows.
            key: whose model.
            check: called again and again; ends the work by raising.
            chosen: data rows as `read_rows` gives them; None for all.

        Raises:
            InvalidInput: the table has no such row.
            FailedPrecondition: the task has no model (`TASK_NOT_FITTED`).
            DataLoss: the stored table or model is damaged or missing.
        """
        labels = self._label_rows(job, key, chosen, check)
        name = task_name(key)
        for first_row in range(0, len(labels), MAX_RUN_LABELS):
            yield job_service_pb2.StreamLabelsResponse(
                task=name,
                first_row=first_row,
                labels=labels[first_row : first_row + MAX_RUN_LABELS].tolist(),
            )

    def table(
        self, job: Job, key: TaskKey, check: Callable[[], None]
    ) -> Iterator[job_service_pb2.ExportLabelsResponse]:
        """The dataset's rows with their labels, as a CSV file in chunks; `check` as in `runs`.

        Raises:
            FailedPrecondition: the task has no model (`TASK_NOT_FITTED`).
            DataLoss: the stored table or model is damaged or missing.
        """
        labels = self._label_rows(job, key, None, check)
        with open_table(self._objects, job.spec.dataset_id) as source:
            for chunk in write_labelled(source, labels, _CHUNK_BYTES, turn=self._reads.turns(check)):
                yield job_service_pb2.ExportLabelsResponse(chunk=chunk)

    def _label_rows(
        self, job: Job, key: TaskKey, chosen: NDArray[np.int64] | None, check: Callable[[], None]
    ) -> NDArray[np.int8]:
        """Labels (row_count,) or (len(chosen),) int8, -1 where a chosen column is missing."""
        row_count = job.row_count + job.skipped_row_count
        if chosen is not None and chosen[-1] >= row_count:
            index = int(np.searchsorted(chosen, row_count))
            raise invalid_field(
                f"rows[{index}]",
                f"rows[{index}] is {chosen[index]}; the table has rows 0 to {row_count - 1}.",
            )
        stored = read_model(self._store, key)
        labeller = Labeller(stored)
        # There are at most MAX_K labels, and perhaps 100 million rows.
        labels = np.full(row_count if chosen is None else len(chosen), -1, dtype=np.int8)
        with open_table(self._objects, job.spec.dataset_id) as source:
            turn = self._reads.turns(check)
            for part in read_complete_rows(source, stored.columns, chosen, turn=turn):
                places = part.rows if chosen is None else np.searchsorted(chosen, part.rows)
                labels[places] = labeller.labels(part.values, check)
                # Not kept while the next one waits for its turn.
                del part
        return labels


def read_rows(rows: Sequence[int]) -> NDArray[np.int64] | None:
    """The chosen rows of a request, (m,) ascending from 0; None when none are named, for all of them.

    Raises:
        InvalidInput: there are more than MAX_CHOSEN_ROWS, one is negative, or they do not ascend.
    """
    if not rows:
        return None
    if len(rows) > MAX_CHOSEN_ROWS:
        raise invalid_field("rows", f"{len(rows)} rows are named; at most {MAX_CHOSEN_ROWS} can be.")
    chosen = np.fromiter(rows, dtype=np.int64, count=len(rows))
    if chosen[0] < 0:
        raise invalid_field("rows[0]", f"rows[0] is {chosen[0]}; rows are counted from 0.")
    wrong = np.flatnonzero(chosen[1:] <= chosen[:-1])
    if wrong.size:
        index = int(wrong[0]) + 1
        raise invalid_field(
            f"rows[{index}]",
            f"rows[{index}] is {chosen[index]}, after {chosen[index - 1]}: name rows in ascending order and "
            "each once.",
        )
    return chosen
