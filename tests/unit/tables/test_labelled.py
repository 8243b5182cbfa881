"""A stored table with labels, as CSV."""

from __future__ import annotations

import csv
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from services.tables import parse_table, write_labelled

HOSTILE = (
    'name,"x,y",label,label_2\n'
    "=1+1,1.5,7,8\n"
    '"say ""hi"", twice",-2,7,8\n'
    '"two\nlines",NA,7,8\n'
    ",1e300,7,8\n"
    "é ü,0.1,7,8\n"
)


@pytest.fixture
def stored(tmp_path: Path) -> io.BytesIO:
    destination = tmp_path / "table.parquet"
    parse_table(io.BytesIO(HOSTILE.replace("1e300", "1e30").encode()), "t.csv", None, destination)
    return io.BytesIO(destination.read_bytes())


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_rows_columns_and_labels_survive_a_reader(stored: io.BytesIO, chunk_bytes: int) -> None:
    chunks = list(write_labelled(stored, np.array([0, 1, -1, 12, 0], dtype=np.int32), chunk_bytes))
    assert all(len(chunk) == chunk_bytes for chunk in chunks[:-1])
    rows = list(csv.reader(io.StringIO(b"".join(chunks).decode())))
    assert rows[0] == ["name", "x,y", "label", "label_2", "label_3"]
    assert [row[0] for row in rows[1:]] == ["=1+1", 'say "hi", twice', "two\nlines", "", "é ü"]
    assert [row[1] and float(row[1]) for row in rows[1:]] == [1.5, -2.0, "", 1e30, 0.1]
    assert [row[-1] for row in rows[1:]] == ["0", "1", "", "12", "0"]
    assert {tuple(row[2:4]) for row in rows[1:]} == {("7", "8")}


def test_row_groups_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.tables.limits.ROW_GROUP_BYTES", 1)
    monkeypatch.setattr("services.tables.limits.BLOCK_BYTES", 64)
    destination = tmp_path / "table.parquet"
    text = "a\n" + "".join(f"{value}\n" for value in range(100))
    parse_table(io.BytesIO(text.encode()), "t.csv", None, destination)
    labels = np.arange(100, dtype=np.int32)
    with destination.open("rb") as source:
        lines = b"".join(write_labelled(source, labels, 1 << 20)).decode().split()
    assert lines[0] == '"a","label"'
    assert lines[1:] == [f"{value},{value}" for value in range(100)]


def test_of_a_row_group_only_the_text_of_a_few_chunks_is_in_memory(tmp_path: Path) -> None:
    destination = tmp_path / "table.parquet"
    line = "x" * 100_000
    parse_table(io.BytesIO(f"a\n{f'{line}{chr(10)}' * 150}".encode()), "t.csv", None, destination)
    tracemalloc.start()
    try:
        with destination.open("rb") as source:
            chunks = write_labelled(source, np.zeros(150, dtype=np.int8), 1 << 20)
            size_bytes = sum(map(len, chunks))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size_bytes == len('"a","label"\n') + 150 * len(f'"{line}",0\n')
    assert peak_bytes < 6 << 20
