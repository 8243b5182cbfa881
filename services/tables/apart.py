"""A Parquet file is parsed in a process of its own, which has only so much memory and time.

A page is decompressed whole, a few bytes of it may unfold to gigabytes, and what the decoders of a dozen
encodings do with hostile bytes is for nobody to promise. So the kernel holds the bounds: the process that
meets one ends, and the service tells why. It ends as well when nobody waits any more, wherever in a page.
What it writes is taken for as untrusted as the file: so many bytes, and data only (`answers`).
"""

from __future__ import annotations

import errno
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from services.core.datasets import MAX_ROWS, TableFormat
from services.core.errors import InvalidTable, ServiceError, Unavailable
from services.tables import limits
from services.tables.answers import read_answer, write_answer
from services.tables.parsing import ParsedTable, parse_table
from services.tables.refusals import Reason, refusal

__all__ = ["parse_apart"]

_PATIENCE_SECONDS = 0.5
_PIECE_BYTES = 1 << 16
# 256 columns with names of 255 characters, each six bytes in JSON, and their correlations make 3.5 MiB.
_ANSWER_BYTES = 4 << 20
_SHOWN_BYTES = 10_000
_PROGRAM = "from services.tables.apart import serve; serve()"
# One thread, and memory that goes back when it is freed: the bound counts what is mapped. No other variable
# is passed on: the environment of the process is bare, and holds no secret. This is no wall against a
# decoder that was made to run foreign code, as it runs under the same user, and reads what that user can.
_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}

_log = structlog.get_logger(__name__)


def parse_apart(
    source: Path,
    display_name: str,
    table_format: TableFormat | None,
    destination: Path,
    *,
    max_rows: int = MAX_ROWS,
    memory_bytes: int = limits.READER_BYTES,
    processor_seconds: int = limits.READER_SECONDS,
    check_still_wanted: Callable[[], None] = lambda: None,
) -> ParsedTable:
    """Do what `parse_table` does, in a process that may have `memory_bytes` of data, and so much time.

    Raises:
        InvalidTable: what `parse_table` raises; TOO_LARGE when the memory or the time does not suffice,
            BAD_PARQUET when the process broke down over the file.
        OSError: the disk of `source` or `destination` fails.
        Unavailable: no process could be started (`READER_NOT_STARTED`), or it was killed (`READER_KILLED`).
    """
    request = [str(source), display_name, table_format, str(destination)]
    bounds = [max_rows, memory_bytes, processor_seconds]
    try:
        with _reader(json.dumps([*request, *bounds]).encode() + b"\n") as reader:
            answer, complaint = _await(reader, check_still_wanted)
        if reader.returncode < 0:
            raise _ended(-reader.returncode, display_name, memory_bytes, processor_seconds)
        if reader.returncode > 0:
            shown = complaint[-_SHOWN_BYTES:].decode(errors="replace")
            raise RuntimeError(f"The process that reads Parquet files failed: {shown}")
        try:
            found = read_answer(answer, max_rows)
        except ValueError as error:
            raise RuntimeError("The process that reads Parquet files wrote what is no answer.") from error
        if isinstance(found, Exception):
            raise found
    except BaseException:
        destination.unlink(missing_ok=True)
        raise
    return found


@contextmanager
def _reader(request: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """The process, with its request in its input, which stays open for as long as this one lives."""
    with ExitStack() as ends:
        try:
            reading, writing = os.pipe()
            ends.callback(os.close, reading)
            ends.callback(os.close, writing)
            os.write(writing, request)  # a few paths: far less than a pipe holds
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


def _await(process: subprocess.Popen[bytes], check_still_wanted: Callable[[], None]) -> tuple[bytes, bytes]:
    """What the process writes to its output and its errors until it ends, each of a bounded length."""
    assert process.stdout is not None
    assert process.stderr is not None
    written = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.PollSelector() as selector:
        for end in written:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(_PATIENCE_SECONDS)
            check_still_wanted()
            for key, _ in ready:
                piece = os.read(key.fd, _PIECE_BYTES)
                written[key.fd] += piece
                if not piece:
                    selector.unregister(key.fd)
                if len(written[key.fd]) > _ANSWER_BYTES:
                    raise RuntimeError(
                        f"The process that reads Parquet files wrote more than {_ANSWER_BYTES} bytes."
                    )
    while process.poll() is None:
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            check_still_wanted()
    answer, complaint = written.values()
    return bytes(answer), bytes(complaint)


def _ended(number: int, display_name: str, memory_bytes: int, processor_seconds: int) -> ServiceError:
    """What it means that this signal ended the process."""
    if number == signal.SIGABRT:  # how C++ ends when it finds no memory where nobody handles that
        return _too_large(display_name, memory_bytes)
    if number == signal.SIGXCPU:
        return refusal(
            Reason.TOO_LARGE,
            f"'{display_name}' takes more than {processor_seconds} s of a processor to read. Upload fewer "
            "rows or columns.",
        )
    if number in _CRASHES:
        _log.error("the process that reads Parquet files broke down", signal=signal.Signals(number).name)
        return refusal(
            Reason.BAD_PARQUET,
            f"'{display_name}' is not a Parquet file that can be read: it broke the process that read it. "
            "Write and upload it again, or upload it as CSV.",
        )
    return Unavailable(
        f"The process that read '{display_name}' was killed, most likely as the machine was out of memory. "
        "Try again later, or give the service more memory.",
        "READER_KILLED",
    )


def serve() -> None:
    """Be the other process: read a request, write what came of it."""
    source, display_name, table_format, destination, *bounds = json.loads(sys.stdin.buffer.readline())
    max_rows, memory_bytes, processor_seconds = bounds
    stated = None if table_format is None else TableFormat(table_format)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _bound(resource.RLIMIT_CORE, 0)
    # The signal of its own comes at the lower bound, and SIGKILL at the upper.
    _bound(resource.RLIMIT_CPU, processor_seconds, spare=1)
    _bound(resource.RLIMIT_DATA, memory_bytes)
    answer: ParsedTable | InvalidTable | OSError
    try:
        with Path(source).open("rb") as file:
            answer = parse_table(file, display_name, stated, Path(destination), max_rows=max_rows)
    except InvalidTable as error:
        answer = error
    except Exception as error:
        if _is_of_memory(error):
            answer = _too_large(display_name, memory_bytes)
        elif isinstance(error, OSError):
            answer = error
        else:
            raise
    sys.stdout.buffer.write(write_answer(answer))


def _bound(kind: int, amount: int, spare: int = 0) -> None:
    """Allow this process `amount`, or what it is allowed already when that is less."""
    _, hard = resource.getrlimit(kind)
    most = amount + spare if hard == resource.RLIM_INFINITY else min(amount + spare, hard)
    resource.setrlimit(kind, (max(0, most - spare), most))


def _is_of_memory(error: Exception) -> bool:
    """Whether it is one of the faces of too little memory; a library or thread is loaded within it, too."""
    if isinstance(error, OSError):
        return error.errno in {None, errno.ENOMEM}
    if isinstance(error, RuntimeError):
        return "can't start new thread" in str(error)
    return isinstance(error, (MemoryError, ImportError))


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


def _too_large(display_name: str, memory_bytes: int) -> InvalidTable:
    return refusal(
        Reason.TOO_LARGE,
        f"'{display_name}' takes more than {memory_bytes >> 20} MiB of memory to read. Write it with smaller "
        "pages and row groups or fewer columns, or upload it as CSV.",
    )
