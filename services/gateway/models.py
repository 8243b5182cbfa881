"""Models of tasks: read from the store, and put to use by the kernel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import ckernel
from services.core.errors import FailedPrecondition, NotFound
from services.core.models import FittedModel
from services.core.ports import Store
from services.core.tasks import Task, TaskKey, TaskResult
from services.gateway.names import task_name

__all__ = ["Labeller", "fitted", "kernel_model", "read_model"]

# Rows scaled at once: a block stays in the cache, and memory does not grow with the rows. Of large models
# fewer, so that a call which nobody waits for ends within a second or so: a row takes about K d^2 steps.
_BLOCK_ROWS = 1 << 14
_BLOCK_STEPS = 1 << 30


def read_model(store: Store, key: TaskKey) -> FittedModel:
    """The model of a task.

    Raises:
        FailedPrecondition: it has none (`TASK_NOT_FITTED`).
        DataLoss: it is damaged.
    """
    try:
        return store.get_model(key)
    except NotFound as error:
        raise _not_fitted(key) from error


def fitted(store: Store, task: Task) -> tuple[TaskResult, FittedModel]:
    """The scores and the model of a task; raises as `read_model`."""
    model = read_model(store, task.key)
    if task.result is None:
        raise _not_fitted(task.key)
    return task.result, model


def kernel_model(stored: FittedModel) -> ckernel.Model:
    """A stored model as the kernel takes it, for rows in the space of the fit."""
    return ckernel.Model(
        covariance=stored.covariance.value,
        assignment=stored.assignment.value,
        weights=stored.weights,
        centers=stored.centers,
        parameters=stored.parameters,
    )


class Labeller:
    """Labels rows in original units under one model.

    They are scaled by the model's own offset and scale, as the rows it was fitted to were, and a row's label
    depends on that row alone: so these rows get the labels that were scored, in whatever portions they come.
    """

    def __init__(self, stored: FittedModel) -> None:
        """Label under this model."""
        self._stored = stored
        self._model = kernel_model(stored)

    def labels(
        self, values: NDArray[np.float64], check: Callable[[], None] = lambda: None
    ) -> NDArray[np.int32]:
        """Labels (m,) of complete rows (m, d); `check` is called between blocks and ends it by raising."""
        labels = np.empty(len(values), dtype=np.int32)
        k, d = self._stored.centers.shape
        block_rows = max(1, min(_BLOCK_ROWS, _BLOCK_STEPS // (k * d * d)))
        for start in range(0, len(values), block_rows):
            check()
            block = slice(start, start + block_rows)
            labels[block] = ckernel.assign(self._stored.into_fit(values[block]), self._model)
        return labels


def _not_fitted(key: TaskKey) -> FailedPrecondition:
    name = task_name(key)
    return FailedPrecondition(
        f"Task '{name}' has no model: it has not been fitted, or failed.", "TASK_NOT_FITTED", {"task": name}
    )
