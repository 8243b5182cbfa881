"""One MongoDB database: the client behind it, and transactions that are tried again.

Why transactions. Every change that anybody sees raises the revision of its job and stamps the tasks it
touches with it, in one transaction, so that the job's record is a token that only one change can hold:
changes of a job become visible whole and in the order of their revisions. A watcher that has seen revision R
can therefore miss nothing at or below R. Schemes without transactions (reserve a revision, write tasks,
publish it) must decide when a writer that went silent is dead; one that was merely slow then writes below a
revision that watchers have passed. The price is a replica set, which production has anyway, and conflicts:
two changes of one job at once make one of them begin anew. Threads of one process take turns instead
(`_turns`), so only processes conflict, a few times a second each.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pymongo
from pymongo import MongoClient, ReadPreference, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database as DriverDatabase
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import split_options
from pymongo.write_concern import WriteConcern

from services.backends.documents import Document
from services.backends.mongodb.failures import DRIVER_ERRORS, URL_ERRORS, closed_store, translate
from services.backends.mongodb.schema import prepare_schema
from services.backends.mongodb.writers import Suspicion, Writers
from services.core.backoff import backoff_seconds
from services.core.deadline import at_most, seconds_left
from services.core.errors import InvalidInput, StoreUnavailable

__all__ = ["Collections", "Database", "Transaction"]

T = TypeVar("T")

_DEFAULT_NAME = "kmeans"
_SOCKET_SECONDS = 60.0
# What the URL does not say otherwise. A socket waits as long as a server lets a transaction live; that the
# server has gone is noticed sooner, by the connection that watches it.
_DEFAULTS = {
    "appname": "kmeans-service",
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": int(_SOCKET_SECONDS * 1000),
    "waitQueueTimeoutMS": 10_000,
}
# On the disks of a majority: a write that was acknowledged survives the loss of any one server.
_MAJORITY = WriteConcern("majority", j=True, wtimeout=20_000)
_GIVE_UP_SECONDS = 20.0
_FIRST_PAUSE_SECONDS = 0.01  # about what a change takes
_LONGEST_PAUSE_SECONDS = 0.1  # short: who came first shall not be the one who waits longest
_END_SECONDS = 2.0  # for the end of a transaction, whoever waits for it
_N_TURNS = 64
_INTERRUPTED = 11601  # by killSessions


@dataclass(frozen=True, slots=True)
class Collections:
    """The collections of the store."""

    datasets: Collection[Document]
    jobs: Collection[Document]
    blocks: Collection[Document]
    claims: Collection[Document]
    models: Collection[Document]
    publications: Collection[Document]
    leases: Collection[Document]
    owners: Collection[Document]


class Transaction:
    """Statements that are kept together or not at all, and the jobs they changed."""

    def __init__(self, collections: Collections, session: ClientSession) -> None:
        """Wrap a session on which a transaction has begun."""
        self.collections = collections
        self.session = session
        self.changed_jobs: set[str] = set()
        self.is_undone = False

    def next_revision(self, job_id: str) -> int | None:
        """Raise the job's revision and return it, or None when there is no such job.

        The job's record is ours from here to the end: another change of it begins anew after us.
        """
        job = self.collections.jobs.find_one_and_update(
            {"_id": job_id},
            {"$inc": {"revision": 1}},
            projection={"revision": True},
            return_document=ReturnDocument.AFTER,
            session=self.session,
        )
        if job is None:
            return None
        self.changed_jobs.add(job_id)
        return int(job["revision"])

    def undo(self) -> None:
        """Keep nothing of this transaction: it turned out that there is nothing to change."""
        self.is_undone = True


class Database:
    """The client, the collections, and who is told of a commit."""

    def __init__(self, url: str) -> None:
        """Connect and prepare the collections.

        Raises InvalidInput (`BAD_BACKEND_URL`) for a URL that is none, StoreUnavailable when the server
        does not answer, and what `prepare_schema` raises.
        """
        self.where = "The job store"
        self._closed = threading.Event()
        self._turns = tuple(threading.Lock() for _ in range(_N_TURNS))
        self._told: Callable[[set[str]], None] = lambda job_ids: None
        self._client = self._connect(url)
        try:
            with self._translated():
                database = self._client.get_default_database(
                    _DEFAULT_NAME,
                    write_concern=_MAJORITY,
                    read_concern=ReadConcern("majority"),
                    read_preference=ReadPreference.PRIMARY,
                )
                self.where = f"The job store (MongoDB at {_hosts(url)}, database {database.name})"
                prepare_schema(database, self.where)
        except BaseException:
            self._client.close()
            raise
        self._collections = _collections(database)
        self._writers = Writers(database["writers"])

    def tell_commits_to(self, told: Callable[[set[str]], None]) -> None:
        """Call this with the ids of jobs whenever a commit of this process changed them."""
        self._told = told

    @contextmanager
    def calls(self, expected: type[PyMongoError] | tuple[()] = ()) -> Iterator[Collections]:
        """The collections, for single statements; failures of the driver but the expected are translated."""
        with self._translated(expected), _within_deadline():
            yield self._collections

    def change(
        self,
        token: str,
        body: Callable[[Transaction], T],
        *,
        expected: type[PyMongoError] | tuple[()] = (),
    ) -> T:
        """Run the body in a transaction; again from the start when another change was in its way.

        The body must have no effect but its statements. `token` is the id of the job (or dataset) that
        the changes in question conflict over: threads of this process take turns by it. An `expected`
        error of the driver is left to the caller, who has an answer to it.
        """
        turn = self._turns[hash(token) % _N_TURNS]
        if not turn.acquire(timeout=at_most(_GIVE_UP_SECONDS)):
            raise StoreUnavailable(f"{self.where} is busy with other changes. Try again in a moment.")
        try:
            with self._translated(expected):
                result, changed_jobs = self._run(token, body)
        finally:
            turn.release()
        if changed_jobs:
            self._told(changed_jobs)
        return result

    def ping(self) -> None:
        """Raise StoreUnavailable when the server does not answer."""
        with self._translated():
            self._client.admin.command("ping")

    def close(self) -> None:
        """Close the connections; idempotent."""
        self._closed.set()
        self._writers.close()
        self._client.close()

    def _run(self, token: str, body: Callable[[Transaction], T]) -> tuple[T, set[str]]:
        deadline = time.monotonic() + at_most(_GIVE_UP_SECONDS)
        suspicion = Suspicion(self._writers, lambda: self._progress(token))
        failures = 0
        while True:
            suspicion.look()
            with self._session() as session:
                try:
                    with _within_deadline(), self._writers.changing(session):
                        session.start_transaction(ReadConcern("snapshot"), _MAJORITY, ReadPreference.PRIMARY)
                        transaction = Transaction(self._collections, session)
                        result = body(transaction)
                    if transaction.is_undone:
                        return result, set()
                    # A commit that was not sent for want of time would leave the job locked.
                    with _within_deadline(_END_SECONDS):
                        self._commit(session, deadline)
                    return result, transaction.changed_jobs
                except PyMongoError as error:
                    if not _may_begin_anew(error) or self._closed.is_set():
                        raise
                    failures += 1
                    pause = _pause_seconds(failures)
                    if time.monotonic() + pause > deadline:
                        raise
            # Outside of the session, which aborts what is left of the transaction when it ends.
            self._closed.wait(pause)

    @contextmanager
    def _session(self) -> Iterator[ClientSession]:
        session = self._client.start_session()
        try:
            yield session
        finally:
            # In a time of its own: an abort that was not sent, too, leaves the job locked.
            with pymongo.timeout(_END_SECONDS):
                session.end_session()

    def _progress(self, token: str) -> tuple[object, ...]:
        """What every change raises of the job, the dataset or the owner that a token names."""
        collections = self._collections
        return (
            collections.jobs.find_one({"_id": token}, {"revision": True}),
            collections.datasets.find_one({"_id": token}, {"jobs_made": True}),
            collections.owners.find_one({"_id": token.removeprefix("owner/")}, {"changes": True}),
        )

    def _commit(self, session: ClientSession, deadline: float) -> None:
        """Commit, and ask again while the answer was lost: committing twice is committing once."""
        failures = 0
        while True:
            try:
                session.commit_transaction()
                return
            except PyMongoError as error:
                # Committed or not, one whose session was ended is told by asking again as well.
                is_unknown = _is_interrupted(error) or error.has_error_label("UnknownTransactionCommitResult")
                if not is_unknown or self._closed.is_set():
                    raise
                failures += 1
                pause = _pause_seconds(failures)
                if time.monotonic() + pause > deadline:
                    raise
            self._closed.wait(pause)

    def _connect(self, url: str) -> MongoClient[Document]:
        options: dict[str, Any] = {"tz_aware": True, "retryWrites": True, "retryReads": True}
        try:
            query = urlsplit(url).query
            # MongoClient would only warn of what it does not understand, and go on without TLS, say.
            if query:
                split_options(query, validate=True, warn=False)
            given = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
            options |= {name: value for name, value in _DEFAULTS.items() if name.lower() not in given}
            return MongoClient(url, **options)
        except (ValueError, *URL_ERRORS):
            # Not chained: the text of such an error may quote the URL, and so its password.
            raise InvalidInput(
                "The URL of the job store is not one that MongoDB understands. It is written "
                "mongodb://user:password@host:27017/database, with special characters percent-encoded.",
                "BAD_BACKEND_URL",
            ) from None

    @contextmanager
    def _translated(self, expected: type[PyMongoError] | tuple[()] = ()) -> Iterator[None]:
        if self._closed.is_set():
            raise closed_store()
        try:
            yield
        except expected:
            raise
        except URL_ERRORS as error:
            # Not chained: its text may quote the URL, and so its password.
            raise translate(error, self.where) from None
        except DRIVER_ERRORS as error:
            if self._closed.is_set():
                raise closed_store() from error
            raise translate(error, self.where) from error


def _within_deadline(at_least: float = 0.001) -> AbstractContextManager[None]:
    """No statement is waited for longer than whoever asked will, or than `at_least` seconds."""
    left = seconds_left()
    # In place of the socket's limit, which is shorter than what a patient client allows.
    if left is None or left > _SOCKET_SECONDS:
        return nullcontext()
    # Never 0, which the driver takes for no limit at all.
    return pymongo.timeout(max(left, at_least))


def _may_begin_anew(error: PyMongoError) -> bool:
    """Whether a transaction was not committed: in conflict with another, or ended by who took us for dead."""
    return _is_interrupted(error) or error.has_error_label("TransientTransactionError")


def _is_interrupted(error: PyMongoError) -> bool:
    return isinstance(error, OperationFailure) and error.code == _INTERRUPTED


def _pause_seconds(failures: int) -> float:
    return backoff_seconds(
        failures,
        random.random(),
        first_seconds=_FIRST_PAUSE_SECONDS,
        longest_seconds=_LONGEST_PAUSE_SECONDS,
    )


def _collections(database: DriverDatabase[Document]) -> Collections:
    return Collections(
        database["datasets"],
        database["jobs"],
        database["blocks"],
        database["claims"],
        database["models"],
        database["publications"],
        database["leases"],
        database["owners"],
    )


def _hosts(url: str) -> str:
    # What stands before the last @ is the user and the password.
    return urlsplit(url).netloc.rpartition("@")[2]
