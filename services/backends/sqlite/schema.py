"""The tables, and the version of them that a file was made with (`PRAGMA user_version`).

Times are integers, microseconds since 1970-01-01 UTC. Sort orders of the keys are those of Python:
text compares by code point.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from services.core.errors import FailedPrecondition, InvalidInput

__all__ = ["SCHEMA_VERSION", "prepare_schema"]

SCHEMA_VERSION = 1

# No partial index may ask for a value of a column of a key: SQLite would then compile a statement that is
# given a key anew at every call, to see whether the index serves it.
# Blobs are in a table of their own, so that listing tasks does not read past them. Among the tasks are the
# parts of tasks (n_starts > 0); a task has as many of them as n_parts says.
_TABLES = """
CREATE TABLE datasets (
    id TEXT PRIMARY KEY NOT NULL,
    owner TEXT NOT NULL,
    request_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    document TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX datasets_by_time ON datasets (created_at, id);
CREATE INDEX datasets_by_owner ON datasets (owner, created_at, id);
CREATE UNIQUE INDEX datasets_by_request ON datasets (owner, request_id) WHERE request_id != '';

CREATE TABLE jobs (
    id TEXT PRIMARY KEY NOT NULL,
    owner TEXT NOT NULL,
    display_name TEXT NOT NULL,
    dataset_id TEXT NOT NULL REFERENCES datasets (id),
    spec TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    skipped_row_count INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    revision INTEGER NOT NULL,
    failure TEXT NOT NULL,
    request_id TEXT NOT NULL,
    traceparent TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX jobs_by_time ON jobs (created_at, id);
CREATE INDEX jobs_by_owner ON jobs (owner, created_at, id);
CREATE INDEX jobs_by_dataset ON jobs (dataset_id, created_at, id);
CREATE INDEX jobs_unfinished ON jobs (created_at, id) WHERE state IN ('pending', 'running');
CREATE UNIQUE INDEX jobs_by_request ON jobs (owner, request_id) WHERE request_id != '';

CREATE TABLE tasks (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    experiment INTEGER NOT NULL,
    k INTEGER NOT NULL,
    covariance TEXT NOT NULL,
    first_start INTEGER NOT NULL,
    n_starts INTEGER NOT NULL,
    n_parts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0,
    attempt_id TEXT NOT NULL DEFAULT '',
    lease_until INTEGER,
    published_at INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    seconds REAL NOT NULL DEFAULT 0.0,
    bic REAL,
    result TEXT,
    error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (job_id, experiment, k, covariance, first_start, n_starts)
) WITHOUT ROWID;
CREATE INDEX tasks_by_revision ON tasks (job_id, n_starts, revision);
CREATE INDEX tasks_suspect ON tasks (job_id) WHERE losses > 0 AND state = 'pending';
CREATE INDEX tasks_running ON tasks (attempt_id, lease_until) WHERE state = 'running';

CREATE TABLE models (
    job_id TEXT NOT NULL,
    experiment INTEGER NOT NULL,
    k INTEGER NOT NULL,
    covariance TEXT NOT NULL,
    first_start INTEGER NOT NULL,
    n_starts INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (job_id, experiment, k, covariance, first_start, n_starts),
    FOREIGN KEY (job_id, experiment, k, covariance, first_start, n_starts)
        REFERENCES tasks (job_id, experiment, k, covariance, first_start, n_starts) ON DELETE CASCADE
);

CREATE TABLE leases (
    name TEXT PRIMARY KEY NOT NULL,
    holder TEXT NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;
"""


# Columns that came after the version was first in use. They are added to files of that version, and programs
# that do not know them go on as before, which a new version would not let them.
_ADDED = (("jobs", "traceparent", "TEXT NOT NULL DEFAULT ''"),)


def prepare_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in an empty file, or check that this version of the service can use them.

    Raises FailedPrecondition (`STORE_TOO_NEW`) for a file of a newer version and InvalidInput
    (`NOT_A_STORE`) for a database of another program.
    """
    if _version(connection) == SCHEMA_VERSION and not _missing(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again: another process may have made the tables before this one got the lock.
        version = _version(connection)
        if version > SCHEMA_VERSION:
            raise FailedPrecondition(
                f"The job store {path} has schema version {version}; this program knows up to "
                f"{SCHEMA_VERSION}. Use the newer program, or another file.",
                "STORE_TOO_NEW",
            )
        if version == 0:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise InvalidInput(
                    f"{path} is a database of another program. Name another file for the job store.",
                    "NOT_A_STORE",
                )
            # Not executescript: it would commit before the version is written.
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for table, column, kind in _missing(connection):
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _missing(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    return [
        (table, column, kind)
        for table, column, kind in _ADDED
        if column not in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    ]


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
