"""Encoded models in MongoDB, apart from the tasks, whose records are read often and stay small.

Most are small: those of the tasks that are finished at once share a document, a pack, which is written with
their results. One of 50 full covariances in 256 columns has 26 MB: what is large is kept in chunks. They are
written before the task says that it is DONE, under an id that only this writing has; the task then names that
id in the same statement that makes it DONE. What no task names is nobody's model: it is removed by who wrote
it, or, when that process died, together with the task's next change.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson.binary import Binary
from pymongo import UpdateOne

from services.backends.documents import Document
from services.backends.mongodb.database import Collections, Transaction
from services.core.tasks import TaskKey

__all__ = [
    "CHUNK_BYTES",
    "PACKED_BYTES",
    "is_packed",
    "move_model",
    "read_model",
    "remove_chunks",
    "remove_models",
    "remove_writing",
    "write_chunks",
    "write_pack",
]

PACKED_BYTES = 16 << 10  # of a model; a bundle of 256 tasks then fits one document

CHUNK_BYTES = 8 << 20  # MongoDB refuses documents above 16 MiB
# One message to the server has at most this many bytes, so that it never has to be large.
_BATCH_BYTES = 24 << 20


def is_packed(data: bytes) -> bool:
    """Whether a model goes into a pack."""
    return len(data) <= PACKED_BYTES


def write_pack(
    transaction: Transaction, job_id: str, models: Mapping[TaskKey, bytes]
) -> dict[TaskKey, Document]:
    """Write small models of one job together; return the `model` that each task has to name."""
    if not models:
        return {}
    pack = f"{job_id}/{secrets.token_hex(12)}"
    transaction.collections.models.insert_one(
        {
            "_id": pack,
            "job_id": job_id,
            "models": {key.id: Binary(data) for key, data in models.items()},
        },
        session=transaction.session,
    )
    return {key: {"pack": pack, "name": key.id, "size_bytes": len(data)} for key, data in models.items()}


def write_chunks(
    collections: Collections, encoded: Mapping[TaskKey, bytes]
) -> tuple[str, dict[TaskKey, Document]]:
    """Write them all in chunks; return the id of this writing, and the `model` that each task has to name."""
    writing = secrets.token_hex(12)
    for batch in _batches(encoded, writing):
        collections.models.insert_many(batch, ordered=False)
    return writing, {
        key: {"id": writing, "size_bytes": len(data), "n_chunks": -(-len(data) // CHUNK_BYTES)}
        for key, data in encoded.items()
    }


def read_model(collections: Collections, key: TaskKey, named: Mapping[str, Any]) -> bytes | None:
    """The bytes that a task names as its `model`, or None when they are not all there."""
    if "pack" in named:
        pack = collections.models.find_one({"_id": named["pack"]}, {f"models.{named['name']}": True})
        packed = None if pack is None else pack.get("models", {}).get(named["name"])
        return None if packed is None or len(packed) != named["size_bytes"] else bytes(packed)
    chunks = collections.models.find(
        {"job_id": key.job_id, "task_id": key.id, "model_id": named["id"]}, {"number": True, "bytes": True}
    )
    by_number = {chunk["number"]: bytes(chunk["bytes"]) for chunk in chunks}
    data = b"".join(by_number.get(number, b"") for number in range(named["n_chunks"]))
    return data if len(data) == named["size_bytes"] else None


def remove_models(transaction: Transaction, models: Mapping[TaskKey, Mapping[str, Any] | None]) -> None:
    """Remove what these tasks of one job name as their models, and whatever chunks there are of them.

    Only inside the transaction that changes the tasks.
    """
    packs: dict[str, Document] = {}
    for named in models.values():
        # What is damaged names nothing that could be removed; a fit puts it right.
        if named is not None and {"pack", "name"} <= named.keys():
            packs.setdefault(named["pack"], {})[f"models.{named['name']}"] = ""
    if packs:
        collection, session = transaction.collections.models, transaction.session
        collection.bulk_write(
            [UpdateOne({"_id": pack}, {"$unset": names}) for pack, names in packs.items()],
            ordered=False,
            session=session,
        )
        collection.delete_many({"_id": {"$in": list(packs)}, "models": {}}, session=session)
    remove_chunks(transaction, tuple(models))


def remove_chunks(transaction: Transaction, keys: Sequence[TaskKey], *, but: str = "") -> None:
    """Remove all chunks of these tasks of one job, except those of the writing `but`.

    Only inside the transaction that changes the tasks: it removes what it can see, which leaves out
    what a later attempt writes meanwhile.
    """
    if keys:
        transaction.collections.models.delete_many(
            {
                "job_id": keys[0].job_id,
                "task_id": {"$in": [key.id for key in keys]},
                "model_id": {"$ne": but},
            },
            session=transaction.session,
        )


def move_model(transaction: Transaction, part: TaskKey, named: Mapping[str, Any]) -> None:
    """Make the model of a part that of its task, which has to name it from now on."""
    if "pack" in named:
        return
    transaction.collections.models.update_many(
        {"job_id": part.job_id, "task_id": part.id, "model_id": named["id"]},
        {"$set": {"task_id": part.whole.id}},
        session=transaction.session,
    )


def remove_writing(collections: Collections, keys: Sequence[TaskKey], writing: str) -> None:
    """Remove what this writing left for tasks that were not ours after all."""
    collections.models.delete_many(
        {"job_id": keys[0].job_id, "task_id": {"$in": [key.id for key in keys]}, "model_id": writing}
    )


def _batches(encoded: Mapping[TaskKey, bytes], writing: str) -> Iterator[list[Document]]:
    batch, size_bytes = list[Document](), 0
    for key, data in encoded.items():
        for number, start in enumerate(range(0, len(data), CHUNK_BYTES)):
            chunk = data[start : start + CHUNK_BYTES]
            if batch and size_bytes + len(chunk) > _BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
            batch.append(
                {
                    "_id": f"{key.id}/{writing}/{number}",
                    "job_id": key.job_id,
                    "task_id": key.id,
                    "model_id": writing,
                    "number": number,
                    "bytes": Binary(chunk),
                }
            )
            size_bytes += len(chunk)
    if batch:
        yield batch
