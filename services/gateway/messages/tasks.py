"""Tasks, their scores and their clusters."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from kmeans.v1 import task_pb2
from numpy.typing import NDArray

from services.core.covariance import Covariance
from services.core.models import FittedModel
from services.core.tasks import Task, TaskResult
from services.gateway.messages.enums import COVARIANCES, TASK_STATES
from services.gateway.names import task_name

__all__ = ["cluster_messages", "result_message", "task_message"]


def task_message(task: Task, clusters: Iterable[task_pb2.Cluster] = ()) -> task_pb2.Task:
    """A task; listings leave its clusters out."""
    return task_pb2.Task(
        name=task_name(task.key),
        experiment=task.key.experiment,
        k=task.key.k,
        covariance=COVARIANCES.name(task.key.covariance),
        state=TASK_STATES.name(task.state),
        result=None if task.result is None else result_message(task.result),
        error=task.error,
        attempt_count=task.attempts,
        start_time=task.started_at,
        end_time=task.ended_at,
        compute_seconds=task.seconds,
        revision=task.revision,
        clusters=clusters,
    )


def result_message(result: TaskResult) -> task_pb2.TaskResult:
    """The scores of a fit."""
    return task_pb2.TaskResult(
        log_likelihood=result.log_likelihood,
        bic=result.bic,
        aic=result.aic,
        n_parameters=result.n_parameters,
        n_iter=result.n_iter,
        converged=result.converged,
        regularized=result.regularized,
        counts=result.counts,
        start=result.start,
        diagnosis=result.diagnosis,
    )


def cluster_messages(result: TaskResult, model: FittedModel) -> list[task_pb2.Cluster]:
    """The K clusters of a fit in the original units of its columns."""
    centers = model.centers * model.scale + model.offset
    deviations = np.sqrt(_variances(model)) * model.scale
    return [
        task_pb2.Cluster(
            label=label,
            count=count,
            weight=float(model.weights[label]),
            center=centers[label].tolist(),
            standard_deviation=deviations[label].tolist(),
        )
        for label, count in enumerate(result.counts)
    ]


def _variances(model: FittedModel) -> NDArray[np.float64]:
    """Diagonals of the K covariances in the space of the fit, (K, d)."""
    shape = model.centers.shape
    parameters = model.parameters
    match model.covariance:
        case Covariance.FULL_UNTIED | Covariance.FULL_TIED:
            diagonal = np.diagonal(parameters, axis1=-2, axis2=-1)
        case Covariance.DIAG_UNTIED | Covariance.DIAG_TIED | Covariance.SPHER_TIED:
            diagonal = parameters
        case Covariance.SPHER_UNTIED:
            diagonal = parameters[:, np.newaxis]
    return np.broadcast_to(diagonal, shape)
