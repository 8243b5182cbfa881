"""Models as files: JSON after the published schema `protos/kmeans/v1/model.schema.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.datasets import Dataset
from services.core.jobs import Job
from services.core.models import FittedModel
from services.core.tasks import Task, TaskResult, TaskState
from services.gateway.names import dataset_name, job_name, task_name

__all__ = ["FORMAT", "VERSION", "write_model"]

FORMAT = "kmeans-service/model"
VERSION = 1


def write_model(
    dataset: Dataset, job: Job, task: Task, result: TaskResult, model: FittedModel, chunk_bytes: int
) -> Iterator[bytes]:
    """Yield the file in chunks; only the last is smaller than `chunk_bytes`.

    Numbers are written in the shortest form that reads back as the same float64. The covariances are
    expanded and written one by one: those of 50 clusters in 256 columns make 130 MB of text, and 26 MB in
    memory for as long as the client takes, even where the model itself is a single number.
    """
    buffer = bytearray()
    for piece in _pieces(dataset, job, task, result, model):
        buffer += piece.encode()
        while len(buffer) >= chunk_bytes:
            yield bytes(buffer[:chunk_bytes])
            del buffer[:chunk_bytes]
    yield bytes(buffer)


def _pieces(dataset: Dataset, job: Job, task: Task, result: TaskResult, model: FittedModel) -> Iterator[str]:
    head = {
        "format": FORMAT,
        "version": VERSION,
        "job": job_name(job.id),
        "task": task_name(task.key),
        "dataset": {
            "name": dataset_name(dataset.id),
            "display_name": dataset.display_name,
            "sha256": dataset.sha256,
            "row_count": dataset.row_count,
        },
        "columns": model.columns,
        "n": job.row_count,
        "skipped_row_count": job.skipped_row_count,
        "k": task.key.k,
        "covariance": model.covariance,
        "assignment": model.assignment,
        "seed": job.spec.seed,
        "experiment": task.key.experiment,
        "start": result.start,
        "scores": {
            "log_likelihood": _number(result.log_likelihood),
            "bic": _number(result.bic),
            "aic": _number(result.aic),
            "n_parameters": result.n_parameters,
            "n_iter": result.n_iter,
            "converged": result.converged,
            "regularized": result.regularized,
            "degenerate": task.state is TaskState.DEGENERATE,
            "diagnosis": result.diagnosis,
        },
        "counts": result.counts,
        "weights": model.weights.tolist(),
        "scaling": {
            "scaled": job.spec.scale,
            "offset": model.offset.tolist(),
            "scale": model.scale.tolist(),
        },
    }
    yield from ("{\n", ",\n".join(f"{_text(key)}: {_text(value)}" for key, value in head.items()))
    clusters = range(task.key.k)
    yield from _matrices("centers", model.original_centers())
    yield from _matrices("covariances", map(model.original_covariance_of, clusters))
    yield ',\n"fitted": {\n"space": "(x - scaling.offset) / scaling.scale"'
    yield from _matrices("centers", model.centers)
    yield from _matrices("covariances", map(model.covariance_of, clusters))
    yield "\n}\n}\n"


def _matrices(name: str, values: Iterable[NDArray[np.float64]]) -> Iterator[str]:
    yield f",\n{_text(name)}: ["
    for index, value in enumerate(values):
        yield f"{',' if index else ''}\n{_text(value.tolist())}"
    yield "\n]"


def _number(value: float) -> float | None:
    """JSON has no word for what is not finite; a degenerate fit may have such a score."""
    return value if math.isfinite(value) else None


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
