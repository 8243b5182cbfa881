from __future__ import annotations

import csv
import gzip
import io
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from services.core.datasets import ColumnKind, ColumnStatistics, TableFormat
from services.core.errors import InvalidTable
from services.tables import limits, parse_table
from services.tables.cells import MISSING

Parse = Callable[..., Any]

FAR = limits.BLOCK_BYTES  # rows of four bytes: several blocks on


def test_kinds_statistics_and_correlation(parse: Parse) -> None:
    table, cells = parse(b"x,y,name\n1,2,a\n2,4,\nNA,5,b\n3,6.0,c\n")
    x, y, name = table.columns
    assert table.row_count == 4
    assert (x.kind, x.missing_count) == (ColumnKind.NUMERIC, 1)
    assert x.statistics == ColumnStatistics(1.0, 3.0, 2.0, math.sqrt(2 / 3))
    assert y.statistics is not None
    assert y.statistics.mean == 4.25
    assert (name.kind, name.missing_count, name.text_row, name.text_value) == (ColumnKind.TEXT, 1, 1, "a")
    assert name.statistics is None
    assert table.correlation.columns == ("x", "y")
    assert table.correlation.row_count == 3
    np.testing.assert_allclose(table.correlation.values, [1, 1, 1, 1])
    assert cells == {"x": [1, 2, None, 3], "y": [2, 4, 5, 6], "name": ["a", None, "b", "c"]}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("tail", ["", "{0}", "{0}{0}{0}", "{0}  {0}{0}"])
def test_line_endings_and_trailing_blank_lines(parse: Parse, ending: str, tail: str) -> None:
    text = "a,b\n1,2\n\n3,4".replace("\n", ending) + tail.format(ending)
    table, cells = parse(text.encode())
    assert table.row_count == 2
    assert cells == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


def test_quotes_protect_delimiters_quotes_and_line_breaks(parse: Parse) -> None:
    _, cells = parse(b'a,"b, c"\n"1","x, ""y""\r\nz"\n" 2 ",5" pipe\n')
    assert cells == {"a": [1.0, 2.0], "b, c": ['x, "y"\r\nz', '5" pipe']}


def test_an_odd_quote_within_a_cell_is_a_sign_like_any_other(parse: Parse) -> None:
    _, cells = parse(b'size,n\n5" pipe,1\n7,2\n')
    assert cells["size"] == ['5" pipe', "7"]


def test_one_column_without_delimiter(parse: Parse) -> None:
    table, cells = parse(b"weight\n1\n\n2.5\n")
    assert table.row_count == 2
    assert cells == {"weight": [1.0, 2.5]}


def test_semicolons_and_decimal_commas(parse: Parse) -> None:
    table, cells = parse("Länge;Höhe\n1,5;-2\n2,25;NA\n".encode("cp1252"))
    assert table.format is TableFormat.CSV
    assert cells == {"Länge": [1.5, 2.25], "Höhe": [-2.0, None]}


def test_text_is_found_in_the_whole_file(parse: Parse) -> None:
    table, cells = parse(b"a,b\n" + b"1,2\n" * FAR + b"x,3\n4,y\n")
    a, b = table.columns
    assert (a.kind, a.text_row, a.text_value) == (ColumnKind.TEXT, FAR + 1, "x")
    assert (b.kind, b.text_row, b.text_value) == (ColumnKind.TEXT, FAR + 2, "y")
    assert cells["a"][0] == "1"
    assert cells["b"][-1] == "y"
    assert table.correlation.columns == ()
    assert table.correlation.values == ()


def test_numbers_that_begin_late_count(parse: Parse) -> None:
    table, _ = parse(b"a,b\n" + b"1,\n" * FAR + b"2,5\n3,7\n")
    b = table.columns[1]
    assert b.missing_count == FAR
    assert b.statistics is not None
    assert (b.statistics.minimum, b.statistics.maximum) == (5.0, 7.0)
    assert table.correlation.row_count == 2
    np.testing.assert_allclose(table.correlation.values, [1, 1, 1, 1])


def test_a_column_without_any_number_is_numeric_and_left_out_of_the_correlation(parse: Parse) -> None:
    table, cells = parse(b"a,b,c\n1,,2\n2,NA,1\n")
    b = table.columns[1]
    assert (b.kind, b.missing_count, b.statistics) == (ColumnKind.NUMERIC, 2, None)
    assert table.correlation.columns == ("a", "c")
    np.testing.assert_allclose(table.correlation.values, [1, -1, -1, 1])
    assert cells["b"] == [None, None]


def test_constant_columns_have_no_correlation(parse: Parse) -> None:
    table, _ = parse(b"a,b\n0.1,1\n0.1,2\n0.1,3\n")
    assert table.columns[0].statistics == ColumnStatistics(0.1, 0.1, 0.1, 0.0)
    np.testing.assert_array_equal(table.correlation.values, [np.nan, np.nan, np.nan, 1.0])


def test_infinity_makes_a_text_column(parse: Parse) -> None:
    table, _ = parse(b"a\n1\ninf\n")
    column = table.columns[0]
    assert (column.kind, column.text_row, column.text_value) == (ColumnKind.TEXT, 2, "inf")


def test_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROW_GROUP_BYTES", 1 << 16)
    monkeypatch.setattr(limits, "BLOCK_BYTES", 1 << 14)
    destination = tmp_path / "table.parquet"
    parse_table(io.BytesIO(b"a,b\n" + b"1.25,2.5\n" * 50_000), "plot.csv", None, destination)
    metadata = parquet.read_metadata(destination)
    sizes = [metadata.row_group(index).num_rows * 16 for index in range(metadata.num_row_groups)]
    assert len(sizes) > 5
    assert max(sizes) < 2 << 16


def test_what_is_found_does_not_depend_on_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(1e6, 3.0, size=(4000, 3))
    data = "a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())
    tables = []
    for block_bytes in [1 << 13, 1 << 16, 1 << 21]:
        monkeypatch.setattr(limits, "BLOCK_BYTES", block_bytes)
        tables.append(parse_table(io.BytesIO(data.encode()), "plot.csv", None, tmp_path / "table.parquet"))
    for table in tables:
        found = [column.statistics for column in table.columns]
        np.testing.assert_allclose([s.mean for s in found if s], values.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose([s.standard_deviation for s in found if s], values.std(axis=0), rtol=1e-11)
        np.testing.assert_allclose(
            np.reshape(table.correlation.values, (3, 3)), np.corrcoef(values.T), atol=1e-11
        )
    again = parse_table(io.BytesIO(data.encode()), "plot.csv", None, tmp_path / "table.parquet")
    assert again == tables[-1]


def test_nothing_stays_after_a_refusal(tmp_path: Path) -> None:
    destination = tmp_path / "table.parquet"
    with pytest.raises(InvalidTable):
        parse_table(io.BytesIO(b"a,b\n" + b"1,2\n" * FAR + b"3\n"), "plot.csv", None, destination)
    assert list(tmp_path.iterdir()) == []


def test_the_source_is_read_from_its_beginning_and_left_open(tmp_path: Path) -> None:
    source = io.BytesIO(b"a,b\n1,2\n")
    source.seek(5)
    table = parse_table(source, "plot.csv", None, tmp_path / "table.parquet")
    assert table.row_count == 1
    assert not source.closed


NUMBERS = st.floats(min_value=-1e100, max_value=1e100, allow_nan=False)
WORDS = st.text(st.sampled_from("abcXYZ éü,;\"'\n\t5"), max_size=8).map(lambda text: "w" + text.rstrip())


@st.composite
def written_tables(draw: st.DrawFn) -> tuple[bytes, dict[str, list[Any]]]:
    """A table of numbers, missing cells and words, written in some dialect."""
    delimiter = draw(st.sampled_from(",;\t"))
    comma = delimiter != "," and draw(st.booleans())
    names = draw(
        st.lists(st.text("abcdeé ", min_size=1, max_size=6).map(lambda s: "n" + s.strip()), min_size=2,
                 max_size=6, unique=True)
    )  # fmt: skip
    row_count = draw(st.integers(1, 12))
    columns: dict[str, list[Any]] = {}
    written = []
    for name in names:
        kind = WORDS if draw(st.integers(0, 3)) == 0 else NUMBERS
        cells = draw(st.lists(kind | st.none(), min_size=row_count, max_size=row_count))
        columns[name] = cells
        texts = [
            draw(st.sampled_from(MISSING)) if cell is None else cell if kind is WORDS else repr(cell)
            for cell in cells
        ]
        if comma and kind is NUMBERS:
            texts = [t if cell is None else t.replace(".", ",") for t, cell in zip(texts, cells, strict=True)]
        written.append(texts)
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=delimiter,
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    writer.writerow(names)
    writer.writerows(zip(*written, strict=True))
    data = text.getvalue().encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"])))
    return (gzip.compress(data) if draw(st.booleans()) else data), columns


@settings(deadline=None)
@given(written_tables())
def test_a_table_written_in_any_dialect_is_read_back(example: tuple[bytes, dict[str, list[Any]]]) -> None:
    data, columns = example
    with tempfile.TemporaryDirectory() as folder:
        destination = Path(folder) / "table.parquet"
        table = parse_table(io.BytesIO(data), "plot.csv", None, destination)
        cells = parquet.read_table(destination).to_pydict()
    assert cells == columns
    for column in table.columns:
        present = [cell for cell in columns[column.name] if cell is not None]
        assert column.missing_count == table.row_count - len(present)
        if present and isinstance(present[0], str):
            assert column.kind is ColumnKind.TEXT
            assert column.text_row == columns[column.name].index(present[0]) + 1
        elif present:
            assert column.statistics is not None
            assert column.statistics.minimum == min(present)
            assert column.statistics.maximum == max(present)
