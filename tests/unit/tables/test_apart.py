"""Parquet in a process of its own: the same tables and refusals, in bounded memory, and never left behind."""

from __future__ import annotations

import errno
import os
import pickle
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from structlog.testing import capture_logs

from services.core.errors import InvalidTable, ServiceError, Unavailable
from services.tables import Reason, apart, parse_apart, parse_table

ROOT = Path(__file__).parents[3]
MEMORY_BYTES = 256 << 20
LONG = 1 << 28
TABLE = pa.table({"a": [1.0, None, 3.5], "b": ["x", "y", "z"], "c": [1, 2, 3]})
ParseWith = Callable[..., Any]


class Gone(Exception):
    pass


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a Parquet file; return where."""

    def write(table: pa.Table, times: int = 1, **options: Any) -> Path:
        path = tmp_path / "source.parquet"
        with parquet.ParquetWriter(path, table.schema, compression="zstd", **options) as writer:
            for _ in range(times):
                writer.write_table(table, row_group_size=1 << 30)
        return path

    return write


@pytest.fixture
def parse_with(tmp_path: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> ParseWith:
    """Parse a file with this program as the other process."""

    def parse(program: str, **options: Any) -> Any:
        monkeypatch.setattr(apart, "_PROGRAM", program)
        return parse_apart(make(TABLE), "t", None, tmp_path / "table.parquet", **options)

    return parse


def test_the_same_table_is_found_and_written(tmp_path: Path, make: Callable[..., Path]) -> None:
    source, here, there = make(TABLE), tmp_path / "here.parquet", tmp_path / "there.parquet"
    with source.open("rb") as opened:
        expected = parse_table(opened, "t.parquet", None, here)
    assert parse_apart(source, "t.parquet", None, there) == expected
    assert parquet.read_table(there).equals(parquet.read_table(here))


def test_a_refusal_keeps_its_reason_sentence_and_facts(tmp_path: Path, make: Callable[..., Path]) -> None:
    destination = tmp_path / "table.parquet"
    with pytest.raises(InvalidTable, match="Column 'v' of 'tab' holds list<") as refused:
        parse_apart(make(pa.table({"v": [[1.0]]})), "tab", None, destination)
    assert (refused.value.reason, refused.value.metadata) == (Reason.UNSUPPORTED_TYPE, {"column": "v"})
    with pytest.raises(InvalidTable, match="more than 2 rows"):
        parse_apart(make(TABLE), "tab", None, destination, max_rows=2)
    assert not destination.exists()


@pytest.mark.parametrize(
    ("table", "options"),
    [
        pytest.param(
            lambda: pa.table({"a": ["x" * LONG]}), {"use_dictionary": False}, id="one cell of 256 MiB"
        ),
        pytest.param(lambda: pa.table({"a": ["x" * LONG]}), {}, id="a dictionary of one long text"),
        pytest.param(
            lambda: pa.table({"a": pa.array([0.0]).take(pa.array([0] * (LONG // 8)))}),
            {"use_dictionary": False, "data_page_size": 1 << 30, "max_rows_per_page": LONG},
            id="one page of zeros",
        ),
    ],
)
def test_a_page_that_unfolds_beyond_the_memory_is_refused(
    tmp_path: Path, make: Callable[..., Path], table: Callable[[], pa.Table], options: dict[str, Any]
) -> None:
    source = make(table(), write_statistics=False, **options)
    assert source.stat().st_size < 300_000
    destination = tmp_path / "table.parquet"
    with pytest.raises(InvalidTable, match="takes more than 256 MiB of memory") as refused:
        parse_apart(source, "bomb.parquet", None, destination, memory_bytes=MEMORY_BYTES)
    assert refused.value.reason == Reason.TOO_LARGE
    assert not destination.exists()


def test_nobody_waits_and_the_process_ends(
    tmp_path: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    def leave() -> None:
        raise Gone

    monkeypatch.setattr(apart.subprocess, "Popen", Noted)
    source, destination = long_to_read(make), tmp_path / "table.parquet"
    with pytest.raises(Gone):
        parse_apart(source, "long", None, destination, check_still_wanted=leave)
    assert [process.returncode for process in started] == [-9]
    assert not destination.exists()


def test_the_process_ends_with_the_one_that_started_it(tmp_path: Path, make: Callable[..., Path]) -> None:
    program = (
        "import os, sys; from pathlib import Path; from services.tables import parse_apart\n"
        "def tell(): print(open(f'/proc/self/task/{os.getpid()}/children').read(), flush=True)\n"
        "parse_apart(Path(sys.argv[1]), 'long', None, Path(sys.argv[2]), check_still_wanted=tell)"
    )
    arguments = [sys.executable, "-c", program, str(long_to_read(make)), str(tmp_path / "table.parquet")]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        (child,) = parent.stdout.readline().split()
        watched = os.pidfd_open(int(child))
        parent.kill()
    try:
        assert select.select([watched], [], [], 30)[0] == [watched], "it went on without its parent"
    finally:
        os.close(watched)


def test_a_disk_that_fails_is_not_blamed_on_the_file(tmp_path: Path, make: Callable[..., Path]) -> None:
    with pytest.raises(FileNotFoundError):
        parse_apart(make(TABLE), "t", None, tmp_path / "none" / "table.parquet")


def test_a_process_that_cannot_be_started_is_told_of(
    tmp_path: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="could not be started") as refused:
        parse_apart(make(TABLE), "t", None, tmp_path / "table.parquet")
    assert refused.value.reason == "READER_NOT_STARTED"


def test_a_mistake_of_ours_is_not_blamed_on_the_file(
    tmp_path: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_PROGRAM", "raise LookupError('ours')")
    with pytest.raises(RuntimeError, match="LookupError: ours"):
        parse_apart(make(TABLE), "t", None, tmp_path / "table.parquet")


def test_bounds_are_no_higher_than_those_the_service_has_itself(
    tmp_path: Path, make: Callable[..., Path]
) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from services.tables import parse_apart\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))\n"
        "table = parse_apart(Path(sys.argv[1]), 't', None, Path(sys.argv[2]), memory_bytes=8 << 30)\n"
        "print(table.row_count)"
    )
    arguments = [sys.executable, "-c", program, str(make(TABLE)), str(tmp_path / "table.parquet")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00\xff garbage", id="garbage"),
        pytest.param(b"[" * 100_000, id="depths"),
        pytest.param(b'{"errno": 1e999}', id="no number of an error"),
        pytest.param(b'{"errno": 100000}', id="an error that is none"),
        pytest.param(b'{"reason": "OURS", "message": "m", "metadata": {}}', id="a reason that is none"),
        pytest.param(
            b'{"reason": "TOO_LARGE", "message": "m", "metadata": {"a": 1}}', id="a number for a text"
        ),
    ],
)
def test_what_is_no_answer_is_a_failure_of_ours(parse_with: ParseWith, answer: bytes) -> None:
    with pytest.raises(RuntimeError, match="wrote what is no answer"):
        parse_with(f"import sys; sys.stdout.buffer.write({answer!r})")


def test_no_code_of_the_process_is_run(parse_with: ParseWith, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(mark),)

    with pytest.raises(RuntimeError, match="wrote what is no answer"):
        parse_with(f"import sys; sys.stdout.buffer.write({pickle.dumps(Hostile())!r})")
    assert not mark.exists()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_process_that_writes_without_end_is_ended(parse_with: ParseWith, stream: str) -> None:
    with pytest.raises(RuntimeError, match="wrote more than 4194304 bytes"):
        parse_with(f"import sys\nwhile True: sys.{stream}.buffer.write(bytes(1 << 16))")


def test_a_process_that_writes_bit_by_bit_does_not_hide_that_nobody_waits(parse_with: ParseWith) -> None:
    def leave() -> None:
        raise Gone

    with pytest.raises(Gone):
        parse_with("while True: print(end='.', flush=True)", check_still_wanted=leave)


@pytest.mark.parametrize(
    ("name", "reason", "sentence", "logged"),
    [
        ("SIGABRT", "TOO_LARGE", "more than 1024 MiB of memory", []),
        ("SIGXCPU", "TOO_LARGE", "more than 600 s of a processor", []),
        ("SIGSEGV", "BAD_PARQUET", "it broke the process", ["SIGSEGV"]),
        ("SIGBUS", "BAD_PARQUET", "it broke the process", ["SIGBUS"]),
        ("SIGKILL", "READER_KILLED", "'t' was killed", []),
        ("SIGTERM", "READER_KILLED", "'t' was killed", []),
    ],
)
def test_each_signal_tells_who_is_to_blame(
    parse_with: ParseWith, name: str, reason: str, sentence: str, logged: list[str]
) -> None:
    with capture_logs() as logs, pytest.raises(ServiceError, match=sentence) as refused:
        parse_with(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    assert refused.value.reason == reason
    assert refused.value.retryable == (reason == "READER_KILLED")
    assert [(line["log_level"], line["signal"]) for line in logs] == [("error", name) for name in logged]


def test_a_file_that_takes_too_long_is_refused(tmp_path: Path, make: Callable[..., Path]) -> None:
    destination = tmp_path / "table.parquet"
    with pytest.raises(InvalidTable, match="more than 2 s of a processor") as refused:
        parse_apart(long_to_read(make), "long", None, destination, processor_seconds=2)
    assert refused.value.reason == Reason.TOO_LARGE
    assert not destination.exists()


@pytest.mark.parametrize(
    "error",
    [
        "MemoryError()",
        'RuntimeError("can\'t start new thread")',
        "ImportError('failed to map segment from shared object')",
        "OSError(errno.ENOMEM, 'Cannot allocate memory')",
    ],
)
def test_too_little_memory_is_told_whatever_it_looks_like(parse_with: ParseWith, error: str) -> None:
    with pytest.raises(InvalidTable, match="takes more than 1024 MiB of memory") as refused:
        parse_with(program_that_raises(error))
    assert refused.value.reason == Reason.TOO_LARGE


def test_another_mistake_within_the_bounds_is_ours(parse_with: ParseWith) -> None:
    with pytest.raises(RuntimeError, match="RuntimeError: ours"):
        parse_with(program_that_raises("RuntimeError('ours')"))


def test_no_files_left_for_the_pipe_is_told_of(
    tmp_path: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pipe() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    source = make(TABLE)
    monkeypatch.setattr(apart.os, "pipe", pipe)
    with pytest.raises(Unavailable, match=r"could not be started \(Too many open files\)") as refused:
        parse_apart(source, "t", None, tmp_path / "table.parquet")
    assert refused.value.reason == "READER_NOT_STARTED"


def program_that_raises(error: str) -> str:
    """The other process, as it is when the parse ends so."""
    return (
        "import errno; from services.tables import apart\n"
        f"def parse(*arguments, **options): raise {error}\n"
        "apart.parse_table = parse; apart.serve()"
    )


def long_to_read(make: Callable[..., Path]) -> Path:
    """A file of 200 million zeros; reading it takes far longer than starting to."""
    return make(pa.table({"a": pa.array([0.0]).take(pa.array([0] * 1_000_000))}), 200)
