"""Questions about tasks in MongoDB: single records, listings, counts."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from pymongo import ASCENDING

from services.backends.documents import Document
from services.backends.mongodb.blocks import block_id
from services.backends.mongodb.claims import leases_of
from services.backends.mongodb.database import Collections, Database
from services.backends.mongodb.jobs import fetch_job
from services.backends.mongodb.models import read_model
from services.backends.mongodb.records import block_tasks, read_state, read_task, read_task_key
from services.backends.mongodb.states import TaskStates
from services.backends.sort_keys import read_sort_key
from services.backends.sqlite.task_rows import bic_column, task_not_found
from services.core.errors import DataLoss, NotFound
from services.core.models import FittedModel
from services.core.pages import Page, PageRequest
from services.core.tasks import Task, TaskCounts, TaskFilter, TaskKey, TaskOrder, TaskState

__all__ = ["MongoTaskListings"]

_BY_KEY = [("experiment", ASCENDING), ("k", ASCENDING)]
# A page of fifty tasks is in one or two.
_BLOCKS_AT_ONCE = 20


class MongoTaskListings:
    """The questions of `services.core.ports.TaskStore`."""

    def __init__(self, database: Database, states: TaskStates) -> None:
        """Read tasks from this database, whose states `states` remembers."""
        self._database = database
        self._states = states

    def get_task(self, key: TaskKey) -> Task:
        """See the port."""
        with self._database.calls() as collections:
            record = _record(collections, key)
            leases = {}
            if record["state"] == TaskState.RUNNING.value:
                leases = leases_of(collections, {"attempt_id": record["attempt_id"], "tasks": key.id})
        return read_task(record, leases.get(key.id))

    def get_model(self, key: TaskKey) -> FittedModel:
        """See the port."""
        seen = None
        with self._database.calls() as collections:
            while True:
                named = _record(collections, key)["model"]
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
        with self._database.calls() as collections:
            fetch_job(collections, job_id)
            found = (_by_bic if by_bic else _by_key)(collections, job_id, task_filter, page)
            items = _read(collections, job_id, found[: page.size])
        if len(found) <= page.size:
            return Page(items)
        return Page(items, page.token_after(_sort_key(items[-1], by_bic)))

    def all_tasks(self, job_id: str) -> tuple[Task, ...]:
        """See the port."""
        with self._database.calls() as collections:
            blocks = collections.blocks.find({"job_id": job_id, "of_parts": False}, sort=_BY_KEY)
            return _read(collections, job_id, [record for block in blocks for _, record in _in_order(block)])

    def count_tasks(self, job_id: str) -> TaskCounts:
        """See the port."""
        with self._database.calls() as collections:
            return self._states.counts(collections, job_id)


def _record(collections: Collections, key: TaskKey) -> Document:
    block = collections.blocks.find_one({"_id": block_id(key)})
    for record in () if block is None else block_tasks(block):
        if record.get("id") == key.id:
            return record
    raise task_not_found(key)


def _read(collections: Collections, job_id: str, records: Sequence[Document]) -> tuple[Task, ...]:
    leases = {}
    if any(record["state"] == TaskState.RUNNING.value for record in records):
        leases = leases_of(collections, {"job_id": job_id})
    return tuple(read_task(record, leases.get(record["id"])) for record in records)


def _by_key(
    collections: Collections, job_id: str, task_filter: TaskFilter, page: PageRequest
) -> list[Document]:
    """The records of the page and one more, if there is one; no block is read beyond it."""
    after = read_sort_key(page, int, int, str)
    wanted = _blocks_with(job_id, task_filter)
    if after is not None and task_filter.experiment is None:
        wanted["experiment"] = {"$gte": after[0]}
    with collections.blocks.find(wanted, sort=_BY_KEY, batch_size=_BLOCKS_AT_ONCE) as blocks:
        behind = (
            record
            for block in blocks
            for key, record in _in_order(block)
            if _admits(task_filter, key, record) and (after is None or _key_place(key) > after)
        )
        return list(itertools.islice(behind, page.size + 1))


def _by_bic(
    collections: Collections, job_id: str, task_filter: TaskFilter, page: PageRequest
) -> list[Document]:
    """The records of the page and one more, if there is one."""
    after = _bic_after(page)
    places = {}
    for block in collections.blocks.find(_blocks_with(job_id, task_filter)):
        for key, record in _in_order(block):
            place = _bic_place(key, record)
            if _admits(task_filter, key, record) and (after is None or place > after):
                places[place] = record
    return [places[place] for place in heapq.nsmallest(page.size + 1, places)]


def _blocks_with(job_id: str, task_filter: TaskFilter) -> Document:
    wanted: Document = {"job_id": job_id, "of_parts": False}
    if task_filter.experiment is not None:
        wanted["experiment"] = task_filter.experiment
    return wanted


def _in_order(block: Mapping[str, Any]) -> list[tuple[TaskKey, Document]]:
    """The tasks of a block with their keys, by key; blocks themselves come in the order of their keys."""
    return sorted(((read_task_key(record), record) for record in block_tasks(block)), key=itemgetter(0))


def _admits(task_filter: TaskFilter, key: TaskKey, record: Mapping[str, Any]) -> bool:
    return (
        (task_filter.states is None or read_state(record) in task_filter.states)
        and (task_filter.covariances is None or key.covariance in task_filter.covariances)
        and (task_filter.k is None or key.k == task_filter.k)
        and (task_filter.experiment is None or key.experiment == task_filter.experiment)
    )


def _key_place(key: TaskKey) -> tuple[str | int | float, ...]:
    return key.experiment, key.k, key.covariance.value


def _bic_place(key: TaskKey, record: Mapping[str, Any]) -> tuple[str | int | float, ...]:
    """Smaller for what comes earlier."""
    result = record["result"]
    bic = None if result is None else result["bic"]
    if bic is None or math.isnan(bic):
        return 1, 0.0, *_key_place(key)
    return 0, -bic, *_key_place(key)


def _bic_after(page: PageRequest) -> tuple[str | int | float, ...] | None:
    after = read_sort_key(page, int, float, int, int, str)
    if after is None:
        return None
    unscored, bic, *key = after
    return (1, 0.0, *key) if unscored else (0, -float(bic), *key)


def _sort_key(task: Task, by_bic: bool) -> tuple[str | int | float, ...]:
    key = _key_place(task.key)
    if not by_bic:
        return key
    bic = bic_column(task.result)
    return (1, 0.0, *key) if bic is None else (0, bic, *key)
