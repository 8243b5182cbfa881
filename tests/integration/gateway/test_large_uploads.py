"""Uploads that take a while to parse, through a real channel."""

from __future__ import annotations

import gzip
import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from kmeans_client import Client
from services.core.pages import PageRequest
from services.core.settings import Settings
from services.gateway import parses
from services.gateway.errors import CallEnded

PLACES = 4


@pytest.fixture
def settings() -> Settings:
    return Settings(rpc_threads=2 * PLACES)


def is_empty(backends: Any) -> bool:
    return not backends.files() and not backends.store.list_datasets(None, PageRequest()).items


def rows(count: int) -> bytes:
    """The numbers from 0, and others that no compression shortens much."""
    noise = np.random.default_rng(5).integers(10**8, 10**9, count)
    return b"a,b\n" + b"".join(b"%d,%d\n" % pair for pair in enumerate(noise.tolist()))


def test_a_large_gzip_is_kept_whole(client: Client) -> None:
    content = gzip.compress(rows(4_000_000), 1)
    assert len(content) > 20_000_000
    dataset = client.upload_dataset(io.BytesIO(content), display_name="large.csv.gz")
    assert (dataset.row_count, dataset.size_bytes) == (4_000_000, len(content))
    statistics = dataset.columns[0].statistics
    assert (statistics.minimum, statistics.maximum) == (0, 3_999_999)
    assert statistics.mean == pytest.approx(1_999_999.5, rel=1e-12)


@dataclass
class Watched:
    """What goes on in the gateway's parses."""

    began: threading.Semaphore
    ended: list[type[BaseException] | None]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(threading.Semaphore(0), [])

    def watch(parse: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*arguments: Any, **options: Any) -> Any:
            watched.began.release()
            try:
                parsed = parse(*arguments, **options)
            except BaseException as error:
                watched.ended.append(type(error))
                raise
            watched.ended.append(None)
            return parsed

        return watching

    monkeypatch.setattr(parses, "parse_table", watch(parses.parse_table))
    monkeypatch.setattr(parses, "parse_apart", watch(parses.parse_apart))
    return watched


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zeros(count: int) -> bytes:
    sink = io.BytesIO()
    part = pa.table({"a": pa.array([0.0]).take(pa.array([0] * 1_000_000))})
    with parquet.ParquetWriter(sink, part.schema, compression="zstd") as writer:
        for _ in range(count // len(part)):
            writer.write_table(part)
    return sink.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: gzip.compress(b"a,b\n" + b"1,2\n" * 30_000_000, 1), id="text"),
        pytest.param(lambda: zeros(200_000_000), id="parquet"),
    ],
)
def test_a_parse_nobody_waits_for_ends_and_leaves_its_place(
    datasets: Any,
    backends: Any,
    upload_messages: Callable[..., Iterator[Any]],
    settle: Any,
    watched: Watched,
    temporary: Path,
    content: Callable[[], bytes],
) -> None:
    data = content()
    chunks = [data[start : start + (2 << 20)] for start in range(0, len(data), 2 << 20)]
    calls = [datasets.UploadDataset.future(upload_messages(*chunks)) for _ in range(PLACES)]
    assert watched.began.acquire(timeout=60)
    for call in calls:
        call.cancel()
    settle(lambda: is_empty(backends) and not list(temporary.iterdir()), 60)
    assert watched.ended
    assert set(watched.ended) == {CallEnded}
    for _ in range(PLACES):  # each place, of a transfer and of a parse, is there again
        assert datasets.UploadDataset(upload_messages(b"a\n1\n")).row_count == 1
    parquet_file = io.BytesIO()
    parquet.write_table(pa.table({"a": [1.0]}), parquet_file)
    assert datasets.UploadDataset(upload_messages(parquet_file.getvalue())).row_count == 1


def test_of_many_uploads_two_texts_are_parsed_at_once(
    datasets: Any,
    backends: Any,
    upload_messages: Callable[..., Iterator[Any]],
    settle: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    within, most, lock, gate = 0, 0, threading.Lock(), threading.Event()
    parse, two = parses.parse_table, threading.Barrier(3)

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal within, most
        with lock:
            within += 1
            most = max(most, within)
        if not gate.is_set():
            two.wait(30)
            gate.wait(30)
        try:
            return parse(*arguments, **options)
        finally:
            with lock:
                within -= 1

    monkeypatch.setattr(parses, "parse_table", counted)
    calls = [datasets.UploadDataset.future(upload_messages(b"a\n1\n")) for _ in range(PLACES)]
    two.wait(30)  # two are in, and the others have come and wait
    settle(lambda: len(backends.object_keys()) == PLACES)
    gate.set()
    assert len({call.result(timeout=30).name for call in calls}) == PLACES
    assert most == 2


def test_an_upload_that_waits_for_its_turn_can_go_away(
    datasets: Any,
    backends: Any,
    upload_messages: Callable[..., Iterator[Any]],
    settle: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parse, began, gate = parses.parse_table, threading.Semaphore(0), threading.Event()

    def held(*arguments: Any, **options: Any) -> Any:
        began.release()
        gate.wait(60)
        return parse(*arguments, **options)

    monkeypatch.setattr(parses, "parse_table", held)
    held_calls = [datasets.UploadDataset.future(upload_messages(b"a\n1\n")) for _ in range(2)]
    assert began.acquire(timeout=30)
    assert began.acquire(timeout=30)
    waiting = datasets.UploadDataset.future(upload_messages(b"a\n1\n"))
    settle(lambda: len(backends.object_keys()) == 3)
    waiting.cancel()
    settle(lambda: len(backends.object_keys()) == 2)
    gate.set()
    assert [call.result(timeout=30).row_count for call in held_calls] == [1, 1]
    assert not began.acquire(blocking=False)
