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
from services.backends.missing import task_not_found
from services.backends.mongodb.blocks import block_id, first_k
from services.backends.mongodb.claims import Hold, leases_of
from services.backends.mongodb.database import Collections, Database
from services.backends.mongodb.jobs import fetch_job
from services.backends.mongodb.models import read_model
from services.backends.mongodb.records import block_tasks, read_task, read_task_key
from services.backends.mongodb.states import TaskStates
from services.backends.sort_keys import read_sort_key
from services.backends.sound import reading
from services.core.errors import DataLoss, NotFound
from services.core.models import FittedModel
from services.core.pages import Page, PageRequest
from services.core.tasks import Task, TaskCounts, TaskFilter, TaskKey, TaskOrder, TaskState

__all__ = ["MongoTaskListings"]

_BY_KEY = [("experiment", ASCENDING), ("k", ASCENDING)]
_Place = tuple[str | int | float, ...]
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
            return _read(collections, [record])[0]

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
                with reading(f"model of task {key.id}"):
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
            if by_bic:
                found, last = _by_bic(collections, job_id, task_filter, page)
            else:
                found, last = _by_key(collections, job_id, task_filter, page)
            items = _read(collections, found)
        return Page(items) if last is None else Page(items, page.token_after(last))

    def all_tasks(self, job_id: str) -> tuple[Task, ...]:
        """See the port."""
        with self._database.calls() as collections:
            blocks = collections.blocks.find({"job_id": job_id, "of_parts": False}, sort=_BY_KEY)
            return _read(collections, [record for block in blocks for _, record in _in_order(block)])

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


def _read(collections: Collections, records: Sequence[Document]) -> tuple[Task, ...]:
    attempts = {record["attempt_id"] for record in records if record["state"] == TaskState.RUNNING.value} - {
        ""
    }
    leases = leases_of(collections, {"attempt_id": {"$in": sorted(attempts)}}) if attempts else {}
    return tuple(
        read_task(record, leases.get(Hold(record["attempt_id"], record["id"]))) for record in records
    )


def _by_key(
    collections: Collections, job_id: str, task_filter: TaskFilter, page: PageRequest
) -> tuple[list[Document], _Place | None]:
    """The records of the page, and where it ends if it is not the last; no block is read beyond it."""
    after = read_sort_key(page, int, int, str)
    wanted = _blocks_with(job_id, task_filter)
    if after is not None and task_filter.experiment is None:
        wanted["experiment"] = {"$gte": after[0]}
    with collections.blocks.find(wanted, sort=_BY_KEY, batch_size=_BLOCKS_AT_ONCE) as blocks:
        behind = (
            (key, record)
            for block in blocks
            for key, record in _in_order(block)
            if _admits(task_filter, key, record) and (after is None or _key_place(key) > after)
        )
        found = list(itertools.islice(behind, page.size + 1))
    records = [record for _, record in found[: page.size]]
    return records, None if len(found) <= page.size else _key_place(found[page.size - 1][0])


def _by_bic(
    collections: Collections, job_id: str, task_filter: TaskFilter, page: PageRequest
) -> tuple[list[Document], _Place | None]:
    """The records of the page, and where it ends if it is not the last."""
    after = read_sort_key(page, int, float, int, int, str)
    # What decides of all tasks first, then the page's own: the results of a large job are megabytes.
    blocks = collections.blocks.find(
        _blocks_with(job_id, task_filter),
        {"tasks.id": True, "tasks.state": True, "tasks.result.bic": True},
        sort=_BY_KEY,
    )
    places = {
        key: _bic_place(key, record)
        for block in blocks
        for key, record in _in_order(block, "state")
        if _admits(task_filter, key, record)
    }
    behind = (key for key in places if after is None or _descending(places[key]) > _descending(after))
    found = heapq.nsmallest(page.size + 1, behind, key=lambda key: _descending(places[key]))
    shown = found[: page.size]
    records = {
        record["id"]: record
        for block in collections.blocks.find({"_id": {"$in": sorted({*map(block_id, shown)})}})
        for record in block_tasks(block)
    }
    # All there: a job's tasks go at once with it.
    page_records = [records[key.id] for key in shown if key.id in records]
    return page_records, None if len(found) <= page.size else places[shown[-1]]


def _blocks_with(job_id: str, task_filter: TaskFilter) -> Document:
    wanted: Document = {"job_id": job_id, "of_parts": False}
    if task_filter.experiment is not None:
        wanted["experiment"] = task_filter.experiment
    if task_filter.k is not None:
        wanted["k"] = first_k(task_filter.k)
    return wanted


def _in_order(block: Mapping[str, Any], *fields: str) -> list[tuple[TaskKey, Document]]:
    """The tasks of a block with their keys, by key; blocks themselves come in the order of their keys."""
    return sorted(
        ((read_task_key(record), record) for record in block_tasks(block, *fields)), key=itemgetter(0)
    )


def _admits(task_filter: TaskFilter, key: TaskKey, record: Mapping[str, Any]) -> bool:
    return (
        (task_filter.states is None or record["state"] in task_filter.states)
        and (task_filter.covariances is None or key.covariance in task_filter.covariances)
        and (task_filter.k is None or key.k == task_filter.k)
        and (task_filter.experiment is None or key.experiment == task_filter.experiment)
    )


def _key_place(key: TaskKey) -> _Place:
    return key.experiment, key.k, key.covariance.value


def _bic_place(key: TaskKey, record: Mapping[str, Any]) -> _Place:
    """What a page token carries: whether it has no score, the score, the key."""
    with reading(f"task {key.id}"):
        result = record.get("result")
        bic = math.nan if result is None else float(result["bic"])
    return (1, 0.0, *_key_place(key)) if math.isnan(bic) else (0, bic, *_key_place(key))


def _descending(place: _Place) -> _Place:
    """Smaller for what comes earlier: the highest score first, those without a score last."""
    unscored, bic, *key = place
    return unscored, -float(bic), *key
