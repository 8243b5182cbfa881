"""Questions about tasks in MongoDB: single records, listings, counts."""

from __future__ import annotations

from pymongo import ASCENDING, DESCENDING

from services.backends.documents import Document
from services.backends.mongodb.database import Database
from services.backends.mongodb.jobs import fetch_job
from services.backends.mongodb.models import read_model
from services.backends.mongodb.positions import behind
from services.backends.mongodb.records import (
    WHOLES,
    WITHOUT_MODEL,
    read_task_record,
)
from services.backends.mongodb.states import TaskStates
from services.backends.sort_keys import read_sort_key
from services.backends.sqlite.task_rows import bic_column, task_not_found
from services.core.errors import DataLoss, NotFound
from services.core.models import FittedModel
from services.core.pages import Page, PageRequest
from services.core.tasks import Task, TaskCounts, TaskFilter, TaskKey, TaskOrder

__all__ = ["MongoTaskListings"]

_BY_KEY = [("experiment", ASCENDING), ("k", ASCENDING), ("covariance", ASCENDING)]
# null comes below every number, and so last.
_BY_BIC = [("bic", DESCENDING), *_BY_KEY]


class MongoTaskListings:
    """The questions of `services.core.ports.TaskStore`."""

    def __init__(self, database: Database, states: TaskStates) -> None:
        """Read tasks from this database, whose states `states` remembers."""
        self._database = database
        self._states = states

    def get_task(self, key: TaskKey) -> Task:
        """See the port."""
        with self._database.calls() as collections:
            record = collections.tasks.find_one({"_id": key.id}, WITHOUT_MODEL)
        if record is None:
            raise task_not_found(key)
        return read_task_record(record)

    def get_model(self, key: TaskKey) -> FittedModel:
        """See the port."""
        seen = None
        with self._database.calls() as collections:
            while True:
                record = collections.tasks.find_one({"_id": key.id}, {"model": True})
                if record is None:
                    raise task_not_found(key)
                named = record["model"]
                if named is None:
                    raise NotFound(
                        f"Task {key.short_id} of job {key.job_id} has no model.",
                        "MODEL_NOT_FOUND",
                        {"task": f"jobs/{key.job_id}/tasks/{key.short_id}"},
                    )
                if named == seen:
                    raise DataLoss(
                        f"The model of task {key.short_id} of job {key.job_id} is not all there. "
                        "Retry the task to fit it again.",
                        "MODEL_DAMAGED",
                    )
                data = read_model(collections, key, named)
                if data is not None:
                    return FittedModel.from_bytes(data)
                # A retry removed it while it was read: then the task now names another one or none.
                seen = named

    def list_tasks(
        self, job_id: str, task_filter: TaskFilter, order: TaskOrder, page: PageRequest
    ) -> Page[Task]:
        """See the port. Tasks without a score, or with NaN for one, come last by BIC."""
        by_bic = order is TaskOrder.BIC_DESCENDING
        position = _behind_bic(page) if by_bic else _behind_key(page)
        wanted = {"job_id": job_id, **WHOLES, **_conditions(task_filter), **position}
        with self._database.calls() as collections:
            fetch_job(collections, job_id)
            records = list(
                collections.tasks.find(
                    wanted, WITHOUT_MODEL, sort=_BY_BIC if by_bic else _BY_KEY, limit=page.size + 1
                )
            )
        items = tuple(map(read_task_record, records[: page.size]))
        if len(records) <= page.size:
            return Page(items)
        return Page(items, page.token_after(_sort_key(items[-1], by_bic)))

    def all_tasks(self, job_id: str) -> tuple[Task, ...]:
        """See the port."""
        with self._database.calls() as collections:
            records = collections.tasks.find({"job_id": job_id, **WHOLES}, WITHOUT_MODEL, sort=_BY_KEY)
            return tuple(map(read_task_record, records))

    def count_tasks(self, job_id: str) -> TaskCounts:
        """See the port."""
        with self._database.calls() as collections:
            return self._states.counts(collections, job_id)


def _conditions(task_filter: TaskFilter) -> Document:
    conditions = Document()
    if task_filter.states is not None:
        conditions["state"] = {"$in": [state.value for state in task_filter.states]}
    if task_filter.covariances is not None:
        conditions["covariance"] = {"$in": [covariance.value for covariance in task_filter.covariances]}
    if task_filter.k is not None:
        conditions["k"] = task_filter.k
    if task_filter.experiment is not None:
        conditions["experiment"] = task_filter.experiment
    return conditions


def _sort_key(task: Task, by_bic: bool) -> tuple[str | int | float, ...]:
    key = (task.key.experiment, task.key.k, task.key.covariance.value)
    if not by_bic:
        return key
    bic = bic_column(task.result)
    return (1, 0.0, *key) if bic is None else (0, bic, *key)


def _behind_key(page: PageRequest) -> Document:
    after = read_sort_key(page, int, int, str)
    return {} if after is None else _after_key(*after)


def _behind_bic(page: PageRequest) -> Document:
    after = read_sort_key(page, int, float, int, int, str)
    if after is None:
        return {}
    unscored, bic, *key = after
    if unscored:
        return {"bic": None, **_after_key(*key)}
    return {"$or": [{"bic": None}, {"bic": {"$lt": bic}}, {"bic": bic, **_after_key(*key)}]}


def _after_key(*key: str | int | float) -> Document:
    return behind(*((name, way, value) for (name, way), value in zip(_BY_KEY, key, strict=True)))
