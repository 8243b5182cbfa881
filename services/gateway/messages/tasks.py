"""Tasks, their scores and their clusters."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from kmeans.v1 import task_pb2

from services.core.models import FittedModel
from services.core.tasks import Task, TaskResult
from services.gateway.messages.enums import COVARIANCES, TASK_STATES
from services.gateway.names import task_name

__all__ = ["MAX_COVARIANCE_VALUES", "cluster_messages", "result_message", "task_message"]

# 3.2 MB of the 4 MiB of a message, with room for the centers and deviations of 256 columns.
MAX_COVARIANCE_VALUES = 400_000


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
    """The K clusters of a fit in the original units of its columns.

    Covariances are left out where those of all clusters would not fit into one message.
    """
    centers, covariances = model.original_centers(), model.original_covariances()
    # Not from those: a square of a tiny unit underflows before its root does.
    deviations = np.sqrt(np.diagonal(model.covariances, axis1=1, axis2=2)) * model.scale
    has_room = covariances.size <= MAX_COVARIANCE_VALUES
    return [
        task_pb2.Cluster(
            label=label,
            count=count,
            weight=float(model.weights[label]),
            center=centers[label].tolist(),
            standard_deviation=deviations[label].tolist(),
            covariance=covariances[label].ravel().tolist() if has_room else (),
        )
        for label, count in enumerate(result.counts)
    ]
