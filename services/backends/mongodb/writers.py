"""Writers: which sessions change the store, so that what a dead process left open can be ended.

A process that is killed between two statements of a transaction leaves it open: a connection that breaks
ends nothing, since a session may go on over another one. What the transaction has touched, the job's record
first of all, stays locked for `transactionLifetimeLimitSeconds`, a minute unless the operator says
otherwise, and nobody can change that job meanwhile.

So every process writes down the sessions of its transactions, and shows a sign of life while one of them is
open for long. Who finds a job locked for much longer than a change takes looks at these signs twice, and
ends the changes of those that showed none in between. No clock of one machine is compared with another's,
and a change that is merely long, as the start of a job of a hundred thousand tasks, is waited for. So is
everybody where the job moves on meanwhile: then nothing holds it, others were only faster.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import structlog
from bson.binary import Binary, UuidRepresentation
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError

__all__ = ["WRITER_SECONDS", "Suspicion", "Writers"]

# Records are forgotten by the server after this long; a session in use is noted again well before.
WRITER_SECONDS = 24 * 3600
_NOTE_SECONDS = WRITER_SECONDS / 4
# The driver uses a session again unless it was idle for half an hour, so that those of a day add up.
_MOST_NOTED = 1000
# A change takes milliseconds: who is at one for longer shows this often that it lives.
_SIGN_SECONDS = 0.5
# Who waits for a change this long looks for signs of life, and again after the second span.
_UNEASY_SECONDS = 1.0
_WATCH_SECONDS = 2.5

_log = structlog.get_logger("mongodb")


class Writers:
    """The sessions of all processes that share a database, in a collection of their own."""

    def __init__(self, collection: Collection[dict[str, Any]]) -> None:
        """Note the sessions of this process under a name of its own."""
        self._collection = collection
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._noted: dict[bytes, float] = {}
        self._open: dict[int, float] = {}
        self._numbers = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def changing(self, session: ClientSession) -> Iterator[None]:
        """While a transaction of this session is open: it is written down, and shows that it lives."""
        self.note(session)
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._open[number] = time.monotonic()
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._show, name="mongodb-writer", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._open[number]

    def close(self) -> None:
        """Show no more signs; idempotent."""
        self._closed.set()

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
            if len(self._noted) > _MOST_NOTED:
                self._noted = {each: at for each, at in self._noted.items() if now - at < _NOTE_SECONDS}

    def show_sign(self) -> None:
        """Show the others that this process lives."""
        self._collection.update_one(
            {"_id": self._owner},
            {"$inc": {"signs": 1}, "$set": {"noted_at": datetime.now(UTC)}},
            upsert=True,
        )

    def signs(self) -> Mapping[str, int]:
        """How many signs of life every process has shown; those that never had to are not in it."""
        return {each["_id"]: each["signs"] for each in self._collection.find({"signs": {"$gt": 0}})}

    def end_silent(self, before: Mapping[str, int]) -> int:
        """Abort what is open of others that have shown no sign since these; return how many sessions.

        Without the right to do so it is logged, and the server's own limit ends them in its time.
        """
        alive = [owner for owner, signs in self.signs().items() if signs != before.get(owner, 0)]
        others = self._collection.find(
            {"owner": {"$exists": True, "$nin": [self._owner, *alive]}}, {"_id": True}
        )
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

    def _show(self) -> None:
        while not self._closed.wait(_SIGN_SECONDS):
            with self._lock:
                oldest = min(self._open.values(), default=None)
            if oldest is None or time.monotonic() - oldest < _SIGN_SECONDS:
                continue
            try:
                self.show_sign()
            except PyMongoError as error:
                # Whoever ends the change for want of it only makes it begin anew.
                _log.debug("sign of life not written", error=type(error).__name__)


class Suspicion:
    """One waiter's doubt whether the change that it waits for is still somebody's."""

    def __init__(self, writers: Writers, progress: Callable[[], object]) -> None:
        """It begins to wait now.

        Args:
            progress: tells how far that has come which the waiter wants to change.
        """
        self._writers = writers
        self._progress = progress
        self._seen: object = None
        self._before: Mapping[str, int] | None = None
        self._next_look = time.monotonic() + _UNEASY_SECONDS

    def look(self) -> None:
        """Called at every attempt: after a while notes the signs of life, later ends who gave none since."""
        now = time.monotonic()
        if now < self._next_look:
            return
        if self._before is None:
            self._seen = self._progress()
            self._before = self._writers.signs()
            self._next_look = now + _WATCH_SECONDS
            return
        if self._progress() == self._seen:
            self._writers.end_silent(self._before)
        self._before = None
        self._next_look = now + _UNEASY_SECONDS


def _binary(session_id: Any) -> Binary:
    if isinstance(session_id, uuid.UUID):
        return Binary.from_uuid(session_id, UuidRepresentation.STANDARD)
    return Binary(session_id, 4)
