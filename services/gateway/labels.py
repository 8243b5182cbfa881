"""Labels: recomputed from (model, data) by one pass of the kernel, never stored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from kmeans.v1 import job_service_pb2
from numpy.typing import NDArray

import ckernel
from services.core.errors import FailedPrecondition, NotFound
from services.core.jobs import Job
from services.core.ports import ObjectStore, Store
from services.core.reporting import build_report
from services.core.tasks import TaskKey
from services.gateway.names import job_name, task_name
from services.gateway.stored_tables import open_table
from services.tables import load_matrix, write_labelled

__all__ = ["MAX_RUN_LABELS", "Labels"]

MAX_RUN_LABELS = 200_000
_CHUNK_BYTES = 1 << 20


class Labels:
    """Labels every row of a job's dataset under the model of one of its tasks."""

    def __init__(self, store: Store, objects: ObjectStore) -> None:
        """Models come from the store, rows from the object store."""
        self._store = store
        self._objects = objects

    def best_task(self, job: Job, min_members: int) -> TaskKey:
        """The task that the job's report recommends.

        Raises:
            FailedPrecondition: no fit qualifies, yet or at all (`NO_FIT_QUALIFIES`).
        """
        report = build_report(job, self._store.all_tasks(job.id), min_members)
        if report.best is None:
            name = job_name(job.id)
            advice = report.left_out.advice if job.state.is_terminal else "Wait until it has ended."
            raise FailedPrecondition(
                f"'{name}' has no best task. {report.left_out.sentence} {advice}".rstrip(),
                "NO_FIT_QUALIFIES",
                {"job": name},
            )
        return report.best.key

    def runs(self, job: Job, key: TaskKey) -> Iterator[job_service_pb2.StreamLabelsResponse]:
        """The labels of all rows in order, in runs of at most MAX_RUN_LABELS.

        Raises:
            FailedPrecondition: the task has no model (`TASK_NOT_FITTED`).
            DataLoss: the stored table or model is damaged or missing.
        """
        labels = self._label_rows(job, key)
        name = task_name(key)
        for first_row in range(0, len(labels), MAX_RUN_LABELS):
            yield job_service_pb2.StreamLabelsResponse(
                task=name,
                first_row=first_row,
                labels=labels[first_row : first_row + MAX_RUN_LABELS].tolist(),
            )

    def table(self, job: Job, key: TaskKey) -> Iterator[job_service_pb2.ExportLabelsResponse]:
        """The dataset's rows with their labels, as a CSV file in chunks.

        Raises:
            FailedPrecondition: the task has no model (`TASK_NOT_FITTED`).
            DataLoss: the stored table or model is damaged or missing.
        """
        labels = self._label_rows(job, key)
        with open_table(self._objects, job.spec.dataset_id) as source:
            for chunk in write_labelled(source, labels, _CHUNK_BYTES):
                yield job_service_pb2.ExportLabelsResponse(chunk=chunk)

    def _label_rows(self, job: Job, key: TaskKey) -> NDArray[np.int32]:
        """Labels (row_count,) int32, -1 where a chosen column is missing."""
        try:
            stored = self._store.get_model(key)
        except NotFound as error:
            name = task_name(key)
            raise FailedPrecondition(
                f"Task '{name}' has no model: it has not been fitted, or failed.",
                "TASK_NOT_FITTED",
                {"task": name},
            ) from error
        # Loaded exactly as the worker loaded it, scaling included: so these are the labels it scored.
        with open_table(self._objects, job.spec.dataset_id) as source:
            matrix = load_matrix(source, stored.columns, scale=job.spec.scale)
        model = ckernel.Model(
            covariance=stored.covariance.value,
            assignment=stored.assignment.value,
            weights=stored.weights,
            centers=stored.centers,
            parameters=stored.parameters,
        )
        labels = np.full(matrix.row_count, -1, dtype=np.int32)
        labels[matrix.rows] = ckernel.assign(matrix.values, model)
        return labels
