"""Sources as slow as an object store: every byte of them is read once, by one reader at a time."""

from __future__ import annotations

import gzip
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from services.core.errors import InvalidTable
from services.tables import Reason, parse_table
from services.tables.text import CHUNK_BYTES


class SlowSource(io.BytesIO):
    """Answers each read after a while, like a store behind a network, and knows who is within."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._readers = 0
        self._lock = threading.Lock()
        self.is_shared = False

    def read(self, size: int | None = -1, /) -> bytes:
        with self._lock:
            self._readers += 1
            self.is_shared = self.is_shared or self._readers > 1
        time.sleep(0.0005)
        content = super().read(size)
        with self._lock:
            self._readers -= 1
        return content


def rows(count: int) -> bytes:
    """The numbers from 0, and others that no compression shortens much."""
    noise = np.random.default_rng(5).integers(10**8, 10**9, count)
    return b"a,b\n" + b"".join(b"%d,%d\n" % pair for pair in enumerate(noise.tolist()))


PLAIN = rows(200_000)


@pytest.mark.parametrize(
    ("content", "repetitions"), [(PLAIN, 20), (gzip.compress(PLAIN, 1), 3)], ids=["csv", "gzip"]
)
def test_a_source_that_is_slow_loses_no_row(tmp_path: Path, content: bytes, repetitions: int) -> None:
    destination = tmp_path / "table.parquet"
    for _ in range(repetitions):
        source = SlowSource(content)
        table = parse_table(source, "slow.csv", None, destination)
        assert table.row_count == 200_000
        assert not source.is_shared
        numbers = parquet.read_table(destination, columns=["a"]).column(0).to_numpy()
        assert np.array_equal(numbers, np.arange(200_000))


def test_a_reader_that_stops_at_a_bad_row_leaves_its_source_alone(tmp_path: Path) -> None:
    source = SlowSource(b"a,b\n1,2\n3\n" + PLAIN)
    with pytest.raises(InvalidTable) as refused:
        parse_table(source, "slow.csv", None, tmp_path / "table.parquet")
    assert refused.value.reason == Reason.RAGGED_ROW
    source.seek(0)
    assert source.read(4) == b"a,b\n"
    assert (source.tell(), source.is_shared) == (4, False)


def test_a_large_gzip_is_read_whole(tmp_path: Path) -> None:
    count = 4_000_000
    content = gzip.compress(rows(count), 1)
    assert len(content) > 20_000_000
    table = parse_table(io.BytesIO(content), "large.csv.gz", None, tmp_path / "table.parquet")
    assert table.row_count == count
    statistics = table.columns[0].statistics
    assert statistics is not None
    assert (statistics.minimum, statistics.maximum) == (0, count - 1)
    assert statistics.mean == pytest.approx((count - 1) / 2, rel=1e-12)


class Gone(Exception):
    pass


@pytest.mark.parametrize("content", [PLAIN, gzip.compress(PLAIN, 1)], ids=["csv", "gzip"])
def test_a_parse_nobody_waits_for_ends_at_any_piece(tmp_path: Path, content: bytes) -> None:
    destination = tmp_path / "table.parquet"
    pieces = 0

    def parse(most: int) -> None:
        nonlocal pieces
        pieces = 0

        def check() -> None:
            nonlocal pieces
            pieces += 1
            if pieces > most:
                raise Gone

        parse_table(io.BytesIO(content), "long.csv", None, destination, check_still_wanted=check)

    parse(1000)
    total = pieces
    looked_at = -(-len(PLAIN) // CHUNK_BYTES) + 1
    assert total > looked_at > 2  # the rest are batches of rows
    destination.unlink()
    for most in range(total):
        with pytest.raises(Gone):
            parse(most)
        assert pieces == most + 1
        assert not destination.exists()
