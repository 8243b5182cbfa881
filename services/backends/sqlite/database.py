"""Connections to one SQLite file: a writer behind a lock, and a few readers.

In WAL mode readers never wait for the writer, and SQLite has one writer at a time anyway: a lock in this
process hands over at once, where SQLite's own busy handler would sleep and poll.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.backends.sqlite.failures import closed_store, translate
from services.backends.sqlite.schema import prepare_schema
from services.backends.sqlite.wakeups import Wakeups
from services.core.deadline import at_most, seconds_left
from services.core.errors import StoreUnavailable

__all__ = ["Database", "Row", "Transaction"]

Row = tuple[Any, ...]

_READERS = 4
_OPEN_PAUSE_SECONDS = 0.02


class Transaction:
    """Statements that are kept together or not at all, and the jobs they changed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Wrap a connection on which a transaction has begun."""
        self._connection = connection
        self._revisions: dict[str, int] = {}
        self.changed_jobs: set[str] = set()

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(sql, parameters)

    def execute_many(self, sql: str, rows: list[Row]) -> None:
        """Run one statement for each row of parameters."""
        self._connection.executemany(sql, rows)

    def one(self, sql: str, parameters: tuple[Any, ...] = ()) -> Row | None:
        """The first row, or None."""
        row: Row | None = self._connection.execute(sql, parameters).fetchone()
        return row

    def all(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        """Every row."""
        return self._connection.execute(sql, parameters).fetchall()

    def next_revision(self, job_id: str) -> int:
        """Raise the job's revision, once however often it is asked, and return it."""
        if job_id not in self._revisions:
            row = self.one(
                "UPDATE jobs SET revision = revision + 1 WHERE id = ? RETURNING revision", (job_id,)
            )
            if row is None:
                raise LookupError(f"no job {job_id}")
            self._revisions[job_id] = row[0]
            self.changed_jobs.add(job_id)
        return self._revisions[job_id]


class Database:
    """The file, its connections, and who is woken at a commit."""

    def __init__(self, path: Path, busy_timeout_seconds: float) -> None:
        """Open the file, or make it with its folder.

        Raises StoreUnavailable when that fails, DataLoss when it is damaged, and what
        `prepare_schema` raises.
        """
        self.path = path
        self.wakeups = Wakeups()
        self._busy_timeout_seconds = busy_timeout_seconds
        self._closed = False
        self._write_lock = threading.Lock()
        self._readers_free = threading.Semaphore(_READERS)
        self._pool_lock = threading.Lock()
        self._idle_readers: list[sqlite3.Connection] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(
                f"The folder of the job store {path} cannot be made ({error.strerror})."
            ) from error
        try:
            self._writer = self._connect()
            try:
                self._use_wal()
                prepare_schema(self._writer, path)
            except BaseException:
                self._writer.close()
                raise
        except sqlite3.Error as error:
            raise translate(error, path) from error

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Begin a transaction that may write; committed to the disk at the end, undone on an error."""
        if not self._write_lock.acquire(timeout=at_most(self._busy_timeout_seconds)):
            raise StoreUnavailable(
                f"The job store {self.path} is busy with other changes. Try again in a moment."
            )
        try:
            if self._closed:
                raise closed_store()
            with self._transaction(self._writer, "BEGIN IMMEDIATE") as transaction:
                yield transaction
        finally:
            self._write_lock.release()
        self.wakeups.wake(transaction.changed_jobs)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Begin a transaction that sees one state of the store throughout."""
        if not self._readers_free.acquire(timeout=seconds_left()):
            raise StoreUnavailable(f"The job store {self.path} is busy with other calls. Try again.")
        try:
            connection = self._take_reader()
            try:
                with self._transaction(connection, "BEGIN") as transaction:
                    yield transaction
            finally:
                self._return_reader(connection)
        finally:
            self._readers_free.release()

    def close(self) -> None:
        """Close the connections, each when its transaction has ended, and wake who waits; idempotent."""
        with self._write_lock:
            if self._closed:
                return
            with self._pool_lock:
                self._closed = True
                idle, self._idle_readers = self._idle_readers, []
            for connection in idle:
                connection.close()
            self._writer.close()
        self.wakeups.wake_all()

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection, begin: str) -> Iterator[Transaction]:
        try:
            busy_milliseconds = round(at_most(self._busy_timeout_seconds) * 1000)
            connection.execute(f"PRAGMA busy_timeout = {busy_milliseconds}")
            connection.execute(begin)
            try:
                yield Transaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has ended the transaction by itself after some errors (disk full, say).
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def _take_reader(self) -> sqlite3.Connection:
        with self._pool_lock:
            if self._closed:
                raise closed_store()
            if self._idle_readers:
                return self._idle_readers.pop()
        try:
            return self._connect()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def _return_reader(self, connection: sqlite3.Connection) -> None:
        with self._pool_lock:
            if not self._closed:
                self._idle_readers.append(connection)
                return
        connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        # FULL: a commit that was acknowledged outlives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _use_wal(self) -> None:
        """Two processes that open a new file at once collide here, where SQLite does not wait."""
        deadline = time.monotonic() + self._busy_timeout_seconds
        while True:
            try:
                (mode,) = self._writer.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_OPEN_PAUSE_SECONDS)
        if mode != "wal":
            raise StoreUnavailable(
                f"The disk of the job store {self.path} cannot hold a write-ahead log. Use a local disk."
            )
