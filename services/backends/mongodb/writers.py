"""Writers: which sessions change the store, so that what a dead process left open can be ended.

A process that is killed between two statements of a transaction leaves it open: a connection that breaks
ends nothing, since a session may go on over another one. What the transaction has touched, the job's record
first of all, stays locked for `transactionLifetimeLimitSeconds`, a minute unless the operator says
otherwise, and nobody can change that job meanwhile.

So every process writes down the sessions of its transactions, and who finds a job locked for much longer
than a change takes ends those of all others. For one that lives this is a conflict like any other: its
transaction begins anew.
"""

from __future__ import annotations

import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import structlog
from bson.binary import Binary, UuidRepresentation
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

__all__ = ["WRITER_SECONDS", "Writers"]

# Records are forgotten by the server after this long; a session in use is noted again well before.
WRITER_SECONDS = 24 * 3600
_NOTE_SECONDS = WRITER_SECONDS / 4

_log = structlog.get_logger("mongodb")


class Writers:
    """The sessions of all processes that share a database, in a collection of their own."""

    def __init__(self, collection: Collection[dict[str, Any]]) -> None:
        """Note the sessions of this process under a name of its own."""
        self._collection = collection
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._noted: dict[bytes, float] = {}

    def note(self, session: ClientSession) -> None:
        """Write down a session before its transaction begins: once, as the driver uses them again."""
        session_id: Binary = session.session_id["id"]
        now = time.monotonic()
        with self._lock:
            noted_at = self._noted.get(session_id)
        if noted_at is not None and now - noted_at < _NOTE_SECONDS:
            return
        self._collection.update_one(
            {"_id": session_id},
            {"$set": {"owner": self._owner, "noted_at": datetime.now(UTC)}},
            upsert=True,
        )
        with self._lock:
            self._noted[session_id] = now

    def end_others(self) -> int:
        """Abort the open transactions of all other processes; return how many sessions they have.

        Without the right to do so it is logged, and the server's own limit ends them in its time.
        """
        others = self._collection.find({"owner": {"$ne": self._owner}}, {"_id": True})
        sessions = [{"id": _binary(other["_id"])} for other in others]
        if not sessions:
            return 0
        try:
            self._collection.database.client.admin.command("killSessions", sessions)
        except OperationFailure as error:
            _log.warning("abandoned changes not ended; the server ends them in its time", code=error.code)
            return 0
        _log.warning("a change of a job was abandoned; open changes were ended", sessions=len(sessions))
        return len(sessions)


def _binary(session_id: Any) -> Binary:
    if isinstance(session_id, uuid.UUID):
        return Binary.from_uuid(session_id, UuidRepresentation.STANDARD)
    return Binary(session_id, 4)
