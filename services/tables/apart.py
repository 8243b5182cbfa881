"""A Parquet file is parsed in a process of its own, which has only so much memory.

A page is decompressed whole, a few bytes of it may unfold to gigabytes, and what the decoders of a dozen
encodings do with hostile bytes is for nobody to promise. So the kernel holds the bound: the process that
meets it ends, and the service tells why. It ends as well when nobody waits any more, wherever in a page.
"""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.core.datasets import MAX_ROWS, TableFormat
from services.core.errors import InvalidTable, Unavailable
from services.tables import limits
from services.tables.parsing import ParsedTable, parse_table
from services.tables.refusals import Reason, refusal

__all__ = ["parse_apart"]

_PATIENCE_SECONDS = 0.5
_PROGRAM = "from services.tables.apart import serve; serve()"
# One thread, and memory that goes back when it is freed: the bound counts what is mapped. No other variable
# is passed on, so that the process that reads hostile bytes knows no secret.
_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def parse_apart(
    source: Path,
    display_name: str,
    table_format: TableFormat | None,
    destination: Path,
    *,
    max_rows: int = MAX_ROWS,
    memory_bytes: int = limits.READER_BYTES,
    check_still_wanted: Callable[[], None] = lambda: None,
) -> ParsedTable:
    """Do what `parse_table` does, in a process that may have `memory_bytes` of data.

    Raises:
        InvalidTable: what `parse_table` raises; TOO_LARGE when the memory does not suffice.
        OSError: the disk of `source` or `destination` fails.
        Unavailable: no process could be started (`READER_NOT_STARTED`).
    """
    request = pickle.dumps((source, display_name, table_format, destination, max_rows, memory_bytes))
    try:
        with _reader(request) as reader:
            answer, complaint = _await(reader, check_still_wanted)
        if reader.returncode < 0:
            raise _too_large(display_name, memory_bytes)
        if reader.returncode > 0:
            raise RuntimeError(
                f"The process that reads Parquet files failed: {complaint.decode(errors='replace')}"
            )
        found: ParsedTable | Exception = pickle.loads(answer)
        if isinstance(found, Exception):
            raise found
    except BaseException:
        destination.unlink(missing_ok=True)
        raise
    return found


@contextmanager
def _reader(request: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """The process, with its request in its input, which stays open for as long as this one lives."""
    reading, writing = os.pipe()
    try:
        os.write(writing, request)  # a few paths: far less than a pipe holds
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM],
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)},
                # An interrupt at the terminal is for the service, which then ends this one.
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                f"The process that reads Parquet files could not be started ({error.strerror}). Try again "
                "later, or give the service more processes and memory.",
                "READER_NOT_STARTED",
            ) from error
        with process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        os.close(reading)
        os.close(writing)


def _await(process: subprocess.Popen[bytes], check_still_wanted: Callable[[], None]) -> tuple[bytes, bytes]:
    while True:
        try:
            return process.communicate(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            check_still_wanted()


def serve() -> None:
    """Be the other process: read a request, write what came of it."""
    source, display_name, table_format, destination, max_rows, memory_bytes = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    answer: ParsedTable | Exception
    try:
        with source.open("rb") as file:
            answer = parse_table(file, display_name, table_format, destination, max_rows=max_rows)
    except MemoryError:
        answer = _too_large(display_name, memory_bytes)
    except (InvalidTable, OSError) as error:
        answer = error
    sys.stdout.buffer.write(pickle.dumps(answer))


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


def _too_large(display_name: str, memory_bytes: int) -> InvalidTable:
    return refusal(
        Reason.TOO_LARGE,
        f"'{display_name}' takes more than {memory_bytes >> 20} MiB of memory to read. Write it with smaller "
        "pages and row groups or fewer columns, or upload it as CSV.",
    )
