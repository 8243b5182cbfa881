"""Blocks: tasks of one job that share a document.

What a change costs a server is documents and statements, not the tasks in them. A record for each task would
be three writes of each, with their indexes; here a bundle of fifty tasks is claimed, and finished, with one
or two updates. Nothing is lost by it, as changes of one job get out of each other's way anyway, over its
revision (`database`): whoever has that may read blocks and write what follows from them.

A block holds the tasks of one experiment for ten numbers of clusters, sixty at most; the parts of a task have
a block of their own. So the block of a task is known from its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pymongo import UpdateOne

from services.backends.documents import Document
from services.backends.mongodb.claims import drop_claimed
from services.backends.mongodb.database import Transaction
from services.backends.mongodb.records import block_tasks, task_record
from services.core.tasks import TaskKey, TaskState

__all__ = ["JobBlocks", "block_id", "first_k"]

_KS_OF_BLOCK = 10


def block_id(key: TaskKey) -> str:
    """`job/experiment/number` of a task; the id of its task of a part."""
    if key.is_part:
        return key.whole.id
    return f"{key.job_id}/{key.experiment}/{(key.k - 1) // _KS_OF_BLOCK}"


def first_k(k: int) -> int:
    """The lowest number of clusters in the block that holds this one."""
    return (k - 1) // _KS_OF_BLOCK * _KS_OF_BLOCK + 1


class JobBlocks:
    """The tasks of one job in a transaction: as they are, and as it will leave them.

    What is read are the records, so that a change is seen at once by who reads again.
    """

    def __init__(self, transaction: Transaction, job_id: str) -> None:
        """Nothing is read yet."""
        self._transaction = transaction
        self._job_id = job_id
        self._read: set[str] = set()
        self._is_read = False
        self._order: dict[str, list[str]] = {}
        self._records: dict[str, Document] = {}
        self._changed: dict[str, set[str]] = {}
        self._let_go: dict[str, list[str]] = {}

    def tasks(self, keys: Iterable[TaskKey]) -> dict[TaskKey, Document]:
        """The records of those that exist, each once, in the order given."""
        keys = dict.fromkeys(keys)
        missing = {block_id(key) for key in keys} - self._read
        if missing and not self._is_read:
            self._load({"_id": {"$in": sorted(missing)}})
            self._read |= missing
        return {key: self._records[key.id] for key in keys if key.id in self._records}

    def every_task(self) -> dict[TaskKey, Document]:
        """All records of the job, parts included, by key."""
        if not self._is_read:
            self._load({"job_id": self._job_id})
            self._is_read = True
        keys = sorted(map(TaskKey.parse, self._records))
        return {key: self._records[key.id] for key in keys}

    def parts(self, task: TaskKey) -> dict[TaskKey, Document]:
        """The records of a task's parts, by key."""
        block = task.whole.id
        if block not in self._read and not self._is_read:
            self._load({"_id": block})
            self._read.add(block)
        keys = map(TaskKey.parse, self._order.get(block, ()))
        return {key: self._records[key.id] for key in sorted(keys)}

    def change(self, key: TaskKey, fields: Mapping[str, Any]) -> None:
        """Set fields of a record that was read; written by `write`."""
        record = self._records[key.id]
        was_run = record["state"] == TaskState.RUNNING.value and not record["n_parts"]
        if was_run and fields.get("state", record["state"]) != record["state"]:
            self._let_go.setdefault(record["attempt_id"], []).append(key.id)
        record.update(fields)
        self._changed.setdefault(block_id(key), set()).add(key.id)

    def write(self, revision: int) -> None:
        """Write what was changed, at this revision of the job; what no longer runs leaves its claim."""
        statements = []
        for block, ids in self._changed.items():
            for id_ in ids:
                self._records[id_]["revision"] = revision
            order = self._order[block]
            if len(ids) > len(order) / 2:
                fields: Document = {"tasks": [self._records[id_] for id_ in order]}
            else:
                fields = {f"tasks.{at}": self._records[id_] for at, id_ in enumerate(order) if id_ in ids}
            statements.append(UpdateOne({"_id": block}, {"$set": {**fields, "revision": revision}}))
        if statements:
            self._transaction.collections.blocks.bulk_write(
                statements, ordered=False, session=self._transaction.session
            )
        self._changed.clear()
        drop_claimed(self._transaction, self._let_go)
        self._let_go.clear()

    def add(self, tasks: Mapping[TaskKey, int], revision: int) -> None:
        """Insert tasks that are not there, each with the number of its parts."""
        blocks: dict[str, list[Document]] = {}
        keys: dict[str, TaskKey] = {}
        for key, n_parts in sorted(tasks.items()):
            block = block_id(key)
            keys.setdefault(block, key)
            blocks.setdefault(block, []).append(task_record(key, n_parts, revision))
        collections, session = self._transaction.collections, self._transaction.session
        found = collections.blocks.find({"_id": {"$in": sorted(blocks)}}, {"_id": True}, session=session)
        for there in [block["_id"] for block in found]:
            collections.blocks.update_one(
                {"_id": there},
                {"$push": {"tasks": {"$each": blocks.pop(there)}}, "$set": {"revision": revision}},
                session=session,
            )
        if blocks:
            collections.blocks.insert_many(
                [_block(block, keys[block], records, revision) for block, records in blocks.items()],
                ordered=False,
                session=session,
            )

    def _load(self, wanted: Document) -> None:
        found = self._transaction.collections.blocks.find(wanted, session=self._transaction.session)
        for block in found:
            records = block_tasks(block)
            self._order[block["_id"]] = [record["id"] for record in records]
            for record in records:
                # One that was read before stays: it may have been changed here since.
                self._records.setdefault(record["id"], record)


def _block(block: str, first: TaskKey, records: list[Document], revision: int) -> Document:
    return {
        "_id": block,
        "job_id": first.job_id,
        "experiment": first.experiment,
        "k": first.k if first.is_part else first_k(first.k),
        "of_parts": first.is_part,
        "revision": revision,
        "tasks": records,
    }
