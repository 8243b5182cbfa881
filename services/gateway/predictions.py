"""Predictions: rows that come in a stream, labelled under a task's model message by message."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from kmeans.v1 import job_service_pb2
from numpy.typing import NDArray

import ckernel
from services.core.errors import FieldViolation
from services.core.models import FittedModel
from services.core.outliers import DEFAULT_OUTLIER_PROBABILITY, largest_square
from services.core.ports import Store
from services.core.tasks import Task
from services.core.validation import refuse, wrong_columns
from services.gateway.access import Access
from services.gateway.errors import invalid_field
from services.gateway.memory import Memory, model_bytes
from services.gateway.models import fitted, kernel_model
from services.gateway.names import parse_task

__all__ = ["MAX_VALUES", "Predictions"]

# 3 MiB of a message, whose answer then fits into one of 4 MiB as well.
MAX_VALUES = 393_216


class Predictions:
    """Answers streams of rows, in the memory of one message."""

    def __init__(self, store: Store, memory: Memory) -> None:
        """Models come from the store; all of them are in `memory`."""
        self._store = store
        self._memory = memory
        self._access = Access(store)

    def answers(
        self,
        owner: str,
        requests: Iterator[job_service_pb2.PredictRequest],
        check: Callable[[], None],
    ) -> Iterator[job_service_pb2.PredictResponse]:
        """One answer per message of rows, in their order; the header is read before the first.

        Args:
            owner: who asks.
            requests: the header, then rows.
            check: called while it waits for its turn; ends the waiting by raising.

        Raises:
            InvalidInput: a message is not what is due, or holds values that cannot be labelled.
            NotFound: the owner has no such task.
            FailedPrecondition: it has no model (`TASK_NOT_FITTED`).
            LimitExceeded: its model has no room beside those at work (`TOO_MUCH_IN_MEMORY`).
        """
        header = _header(next(requests, None))
        key = parse_task(header.task, "header.task")
        job, task = self._access.job(owner, key.job_id), self._access.task(owner, key)
        # The model, and what the kernel makes of it.
        with self._memory.hold(owner, 2 * model_bytes(job.spec, key), check):
            rows = self._open(task, header)
            for request in requests:
                if request.WhichOneof("part") != "rows":
                    raise invalid_field(
                        "rows",
                        "Every message of a prediction after the header must carry rows.",
                        "ROWS_MISSING",
                    )
                yield rows.answer(request.rows.values)

    def _open(self, task: Task, header: job_service_pb2.PredictHeader) -> _Rows:
        probability = (
            header.outlier_probability
            if header.HasField("outlier_probability")
            else DEFAULT_OUTLIER_PROBABILITY
        )
        _, model = fitted(self._store, task)
        columns = tuple(header.columns) or model.columns
        _check_columns(columns, model.columns)
        return _Rows(model, columns, largest_square(probability, len(model.columns)))


def _header(first: job_service_pb2.PredictRequest | None) -> job_service_pb2.PredictHeader:
    if first is None or first.WhichOneof("part") != "header":
        raise invalid_field(
            "header", "The first message of a prediction must be its header.", "HEADER_MISSING"
        )
    return first.header


class _Rows:
    """Labels message after message, and counts the rows for what it refuses."""

    def __init__(self, model: FittedModel, columns: Sequence[str], largest: float) -> None:
        self._model = model
        self._kernel = kernel_model(model)
        self._columns = columns
        self._order = [columns.index(name) for name in model.columns]
        self._largest = largest
        self._seen = 0

    def answer(self, values: Sequence[float]) -> job_service_pb2.PredictResponse:
        d = len(self._columns)
        if len(values) > MAX_VALUES:
            raise invalid_field(
                "rows.values",
                f"A message holds {len(values)} values; at most {MAX_VALUES} can be. Send more messages.",
            )
        if len(values) % d:
            raise invalid_field(
                "rows.values",
                f"A message holds {len(values)} values, which is no number of whole rows of {d} columns "
                f"({', '.join(self._columns[:20])}).",
            )
        rows = np.fromiter(values, dtype=np.float64, count=len(values)).reshape(-1, d)[:, self._order]
        # Where a row is too far out to be scaled, it is refused below.
        with np.errstate(over="ignore"):
            scaled = self._model.into_fit(rows)
        missing = np.isnan(rows)
        self._check_reach(rows, scaled, missing)
        complete = ~missing.any(axis=1)
        labels = np.full(len(rows), -1, dtype=np.int32)
        squares = np.full(len(rows), np.nan)
        labels[complete], squares[complete] = ckernel.assign_with_distances(scaled[complete], self._kernel)
        self._seen += len(rows)
        return job_service_pb2.PredictResponse(
            labels=labels.tolist(),
            squared_distances=squares.tolist(),
            outliers=(squares > self._largest).tolist(),
        )

    def _check_reach(
        self, rows: NDArray[np.float64], scaled: NDArray[np.float64], missing: NDArray[np.bool_]
    ) -> None:
        """InvalidInput for the first row with a value that is infinite or too far out to be squared."""
        wrong = np.argwhere(~missing & ~(np.abs(scaled) <= ckernel.MAX_MAGNITUDE))
        if not len(wrong):
            return
        row, column = wrong[0].tolist()
        field = f"rows.values[{row * len(self._order) + self._order[column]}]"
        raise invalid_field(
            field,
            f"{field}, in row {self._seen + row} of the stream (from 0) and column "
            f"'{self._model.columns[column]}', is {rows[row, column]}. Send finite numbers of "
            "a size like the model's, and NaN where one is missing.",
        )


def _check_columns(columns: Sequence[str], wanted: Sequence[str]) -> None:
    """InvalidInput unless these are the model's columns, each once, in any order."""
    given = set(columns)
    wrong = wrong_columns("header.columns", columns[: len(wanted) + 1], wanted)
    missing = (
        FieldViolation("header.columns", f"Column '{name}' of the model is missing.")
        for name in wanted
        if name not in given
    )
    refuse([*itertools.islice(itertools.chain(wrong, missing), 1)])
