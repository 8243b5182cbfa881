from __future__ import annotations

import datetime as dt
import errno
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from services.core.datasets import ColumnKind, TableFormat
from services.core.errors import InvalidTable
from services.tables import Reason, limits, parse_table

Parse = Callable[..., Any]
Refuse = Callable[..., InvalidTable]


def written(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    parquet.write_table(table, file, **options)
    return file.getvalue()


@pytest.mark.parametrize("stated", [None, TableFormat.PARQUET])
def test_types_become_numbers_or_text(parse: Parse, stated: TableFormat | None) -> None:
    table, cells = parse(
        written(
            pa.table(
                {
                    " whole ": pa.array([1, None, 3], pa.int32()),
                    "real": [0.5, float("nan"), None],
                    "half": pa.array(np.array([1, 2, 3], np.float16)),
                    "flag": [True, False, None],
                    "price": [Decimal("1.25"), None, Decimal("-3")],
                    "word": ["a", " ", "NA"],
                    "number.like": ["1", "NA", " 2.5"],
                    "large": pa.array(["x", "1", None], pa.large_string()),
                    "group": pa.array(["u", "v", "u"]).dictionary_encode(),
                    "day": [dt.date(2024, 2, 29), None, dt.date(2024, 3, 1)],
                    "nothing": pa.nulls(3),
                }
            )
        ),
        stated,
    )
    assert table.format is TableFormat.PARQUET
    assert cells == {
        "whole": [1, None, 3],
        "real": [0.5, None, None],
        "half": [1, 2, 3],
        "flag": [1, 0, None],
        "price": [1.25, None, -3],
        "word": ["a", None, None],
        "number.like": [1, None, 2.5],
        "large": ["x", "1", None],
        "group": ["u", "v", "u"],
        "day": ["2024-02-29", None, "2024-03-01"],
        "nothing": [None, None, None],
    }
    kinds = {column.name: column.kind for column in table.columns}
    assert [name for name, kind in kinds.items() if kind is ColumnKind.TEXT] == [
        "word",
        "large",
        "group",
        "day",
    ]
    assert [column.missing_count for column in table.columns] == [1, 2, 0, 1, 1, 2, 1, 1, 0, 1, 3]


def test_infinity_makes_a_text_column(parse: Parse) -> None:
    table, cells = parse(written(pa.table({"a": [1.5, float("-inf"), float("nan")]})))
    column = table.columns[0]
    assert (column.kind, column.text_row, column.text_value) == (ColumnKind.TEXT, 2, "-inf")
    assert cells == {"a": ["1.5", "-inf", None]}


def test_the_index_that_pandas_stores_is_left_out(parse: Parse) -> None:
    table, cells = parse(written(pa.table({"a": [1.0], "__index_level_0__": [7]})))
    assert table.row_count == 1
    assert cells == {"a": [1.0]}


def test_row_groups_do_not_matter(parse: Parse) -> None:
    values = np.random.default_rng(3).normal(size=3000)
    source = pa.table({"a": values, "b": [f"w{i}" for i in range(3000)]})
    found = [parse(written(source, row_group_size=size)) for size in (7, 1000, 3000)]
    for table, cells in found:
        assert cells == {"a": values.tolist(), "b": [f"w{i}" for i in range(3000)]}
        statistics = table.columns[0].statistics
        assert statistics.mean == pytest.approx(values.mean(), rel=1e-13)
        assert statistics.standard_deviation == pytest.approx(values.std(), rel=1e-13)


def test_little_bytes_that_repeat_a_long_text_unfold_piece_by_piece(parse: Parse) -> None:
    long = "x" * (1 << 20)
    data = written(pa.table({"a": range(64), "b": pa.array([long] * 64).dictionary_encode()}))
    assert len(data) < 200_000
    table, cells = parse(data)
    assert table.row_count == 64
    assert cells["a"] == list(range(64))
    assert set(cells["b"]) == {long}


def test_repeated_text_above_the_bound_is_refused(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TEXT_BYTES", 16 << 20)
    long = pa.array(["x" * (1 << 20)] * 64).dictionary_encode()
    assert refuse(written(pa.table({"b": long}))).reason == Reason.TOO_LARGE


def test_a_row_above_the_bound_is_refused(refuse: Refuse) -> None:
    long = ["x" * (limits.BLOCK_BYTES + 1)]
    assert refuse(written(pa.table({"b": long}))).reason == Reason.TOO_LARGE


def test_a_failing_disk_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    class FailingDisk(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._file = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return self._file.tell()

        def seek(self, offset: int, whence: int = 0) -> int:
            return self._file.seek(offset, whence)

        def read(self, size: int = -1) -> bytes:
            if self.tell():
                raise OSError(errno.EIO, "Input/output error")
            return self._file.read(size)

    source = FailingDisk(written(pa.table({"a": [1.0]})))
    with pytest.raises(OSError, match="Input/output error"):
        parse_table(source, "plot.parquet", None, tmp_path / "table.parquet")  # type: ignore[arg-type]


@pytest.mark.parametrize("index_count", [0, 2])
def test_too_many_columns_are_refused_and_the_index_is_none_of_them(
    parse: Parse, refuse: Refuse, index_count: int
) -> None:
    columns = {f"c{number}": [1.0] for number in range(256)}
    columns |= {f"__index_level_{number}__": [2.0] for number in range(index_count)}
    assert list(parse(written(pa.table(columns)))[1]) == [f"c{number}" for number in range(256)]
    refused = refuse(written(pa.table(columns | {"one": [1.0]})))
    assert refused.reason == Reason.TOO_MANY_COLUMNS
    assert "257 columns" in str(refused)
