"""Every reason, through real bytes, with a sentence that says where."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable

import pyarrow as pa
import pytest
from pyarrow import parquet

from services.core.datasets import TableFormat
from services.core.errors import InvalidTable
from services.tables import Reason, limits
from services.tables.refusals import refusal

Refuse = Callable[..., InvalidTable]


def as_parquet(columns: dict[str, object]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


BLOCK = limits.BLOCK_BYTES
A_PARQUET = as_parquet({"a": [1.0, 2.0]})

CASES = [
    (Reason.EMPTY_FILE, b"", ["'plot.csv' is empty"]),
    (Reason.EMPTY_FILE, b"\n \r\n\t\n", ["is empty"]),
    (Reason.EMPTY_FILE, b"\xef\xbb\xbf", ["is empty"]),
    (Reason.EMPTY_FILE, gzip.compress(b"", mtime=0), ["is empty"]),
    (Reason.EMPTY_FILE, as_parquet({}), ["no columns"]),
    (Reason.HEADER_ONLY, b"a,b\n", ["(2)", "no rows"]),
    (Reason.HEADER_ONLY, b"a,b", ["no rows"]),
    (Reason.HEADER_ONLY, b"a,b\r\n\r\n\r\n", ["no rows"]),
    (Reason.HEADER_ONLY, as_parquet({"a": pa.array([], pa.float64())}), ["no rows"]),
    (Reason.RAGGED_ROW, b"a,b\n1,2\n3\n", ["Row 2", "1 cell;", "header has 2", "'3'"]),
    (Reason.RAGGED_ROW, b"a,b\n1,2\n\n3,4,5\n", ["Row 2", "3 cells", "'3,4,5'"]),
    (Reason.RAGGED_ROW, b"a;b\n1;2;\n", ["Row 1", "3 cells"]),
    (Reason.RAGGED_ROW, b'a,b\n1,2\n3,"4\n5,6"\n7\n', ["Row 3", "'7'"]),
    (Reason.RAGGED_ROW, b'a,b,c\n1,2,"3\n4,5",6\n', ["Row 1", "4 cells", "quote is not closed"]),
    (Reason.RAGGED_ROW, b"a,b\n" + b"1,2\n" * BLOCK + b"3\n", [f"Row {BLOCK + 1} "]),
    (Reason.DUPLICATE_COLUMN, b"a,b, a\n1,2,3\n", ["Columns 1 and 3", "'a'"]),
    (Reason.DUPLICATE_COLUMN, as_parquet({"a": [1], " a": [2]}), ["Columns 1 and 2", "'a'"]),
    (Reason.UNNAMED_COLUMN, b"a,,c\n1,2,3\n", ["Column 2", "no name"]),
    (Reason.UNNAMED_COLUMN, b'"","x"\n1,2\n', ["Column 1", "row.names = FALSE"]),
    (Reason.UNNAMED_COLUMN, b"a,b,\n1,2,\n", ["Column 3"]),
    (Reason.NO_HEADER, b"1,2\n3,4\n", ["1, 2", "names of the columns"]),
    (Reason.NO_HEADER, b"1.5;-2e3\n3;4\n", ["instead of names"]),
    (Reason.NO_HEADER, b"1,,3\n4,5,6\n", ["instead of names"]),
    (Reason.COLUMN_NAME_TOO_LONG, b"a," + b"b" * 256 + b"\n1,2\n", ["column 2", "256"]),
    (Reason.TOO_MANY_COLUMNS, b",".join(b"c%d" % i for i in range(257)) + b"\n", ["257", "256"]),
    (Reason.TOO_MANY_COLUMNS, b",".join(b"c%d" % i for i in range(100_000)) + b"\n", ["256"]),
    (Reason.TOO_MANY_COLUMNS, b"c\t" * 3_000_000, ["256"]),
    (Reason.TOO_MANY_COLUMNS, as_parquet({f"c{i}": [1] for i in range(257)}), ["257", "256"]),
    (Reason.BINARY_FILE, b"PK\x03\x04\x14\x00[Content_Types].xml", ["Excel workbook", "Save it as CSV"]),
    (
        Reason.BINARY_FILE,
        b"PK\x03\x04mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
        ["OpenDocument"],
    ),
    (Reason.BINARY_FILE, b"PK\x03\x04\x14\x00a.txt", ["ZIP archive"]),
    (Reason.BINARY_FILE, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), ["old Excel"]),
    (Reason.BINARY_FILE, b"%PDF-1.7\n1 0 obj", ["PDF"]),
    (Reason.BINARY_FILE, b"\x89PNG\r\n\x1a\n" + bytes(99), ["PNG"]),
    (Reason.BINARY_FILE, b"\xff\xd8\xff\xe0" + bytes(99), ["JPEG"]),
    (Reason.BINARY_FILE, b"BZh91AY&SY" + bytes(9), ["bzip2"]),
    (Reason.BINARY_FILE, gzip.compress(gzip.compress(b"a\n1\n", mtime=0), mtime=0), ["gzip inside a gzip"]),
    (Reason.BINARY_FILE, gzip.compress(A_PARQUET, mtime=0), ["Parquet file inside a gzip"]),
    (Reason.BINARY_FILE, random.Random(1).randbytes(5000), ["NUL"]),
    (Reason.BINARY_FILE, "a,b\n1,2\n".encode("utf-16-le"), ["NUL", "UTF-16"]),
    (Reason.BINARY_FILE, b"a,b\n1,2\n3,\x074\n", ["Line 3", "0x07"]),
    (Reason.BINARY_FILE, b"a,b\n" + b"1,2\n" * BLOCK + b"\x00\n", [f"Line {BLOCK + 2}", "0x00"]),
    (Reason.NOT_A_TABLE, b"<!DOCTYPE html>\n<html>", ["web page"]),
    (Reason.NOT_A_TABLE, b'\n<?xml version="1.0"?>', ["XML"]),
    (Reason.NOT_A_TABLE, b'{"rows": [1, 2]}', ["JSON"]),
    (Reason.NOT_A_TABLE, b'[{"a": 1}]', ["JSON"]),
    (Reason.BAD_ENCODING, "a,b\n1,2\n".encode("utf-32"), ["UTF-32", "Save it as UTF-8"]),
    (Reason.BAD_ENCODING, b"a,b\n1,\x81\n", ["Line 2"]),
    (Reason.BAD_ENCODING, "a,é\n1,2\n".encode() + "3,é\n".encode("cp1252"), ["Line 3", "one encoding"]),
    (Reason.BAD_ENCODING, "a,b\n1,2\n".encode("utf-16") + b"x", ["Line 3"]),
    (Reason.LINE_TOO_LONG, b"x" * (3 << 20), ["first line"]),
    (Reason.LINE_TOO_LONG, b"a\n1\n" + b"x" * (3 << 20), ["Line 3"]),
    (Reason.LINE_TOO_LONG, b"a\r\n1\r\n" + b"x" * (3 << 20) + b"\r\n", ["Line 3"]),
    (Reason.LINE_TOO_LONG, gzip.compress(b"a\n" + b"1" * (64 << 20), mtime=0), ["Line 2"]),
    (Reason.UNCLOSED_QUOTE, b'a,b\n1,"2\n3,4\n', ["'b'", "never closed"]),
    (Reason.UNCLOSED_QUOTE, b'a,"b\n1,2\n3,4\n', ["header"]),
    (Reason.UNCLOSED_QUOTE, b'a,"b\n' + b"1,2\n" * BLOCK, ["header"]),
    (Reason.UNCLOSED_QUOTE, b'a\n"1\n' + b"2\n" * 3 * BLOCK, ["goes on for more than"]),
    (Reason.BAD_GZIP, gzip.compress(b"a\n1\n" * 99, mtime=0)[:-9], ["cut off or damaged"]),
    (Reason.BAD_GZIP, gzip.compress(b"a\n1\n", mtime=0)[:-8] + bytes(8), ["cut off or damaged"]),
    (Reason.BAD_GZIP, b"\x1f\x8b\x08 and then something else", ["cut off or damaged"]),
    (Reason.BAD_PARQUET, A_PARQUET[:-20], ["cut off, damaged"]),
    (Reason.BAD_PARQUET, A_PARQUET[:8] + bytes(40) + A_PARQUET[48:], ["cut off, damaged"]),
    (Reason.BAD_PARQUET, b"PAR1", ["cut off, damaged"]),
    (Reason.UNSUPPORTED_TYPE, as_parquet({"a": [1], "tags": [["x"]]}), ["'tags'", "list"]),
    (Reason.UNSUPPORTED_TYPE, as_parquet({"place": [{"x": 1}]}), ["'place'", "struct"]),
    (Reason.UNSUPPORTED_TYPE, as_parquet({"photo": [b"\xff"]}), ["'photo'", "binary"]),
]


@pytest.mark.parametrize(("reason", "data", "parts"), CASES, ids=lambda value: str(value)[:40])
def test_a_bad_file_is_refused_with_its_place(
    refuse: Refuse, reason: Reason, data: bytes, parts: list[str]
) -> None:
    refused = refuse(data)
    assert refused.reason == reason
    assert "\n" not in refused.message
    assert refused.message.endswith(".")
    for part in parts:
        assert part in refused.message


@pytest.mark.parametrize(
    ("reason", "data", "stated"),
    [
        (Reason.BAD_PARQUET, b"a,b\n1,2\n", TableFormat.PARQUET),
        (Reason.EMPTY_FILE, b"", TableFormat.PARQUET),
        (Reason.FORMAT_MISMATCH, A_PARQUET, TableFormat.CSV),
        (Reason.FORMAT_MISMATCH, A_PARQUET, TableFormat.TSV),
    ],
)
def test_a_stated_format_must_be_true(
    refuse: Refuse, reason: Reason, data: bytes, stated: TableFormat
) -> None:
    assert refuse(data, stated).reason == reason


def test_more_text_than_allowed_is_refused_while_it_unfolds(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_TEXT_BYTES", 8 << 20)
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * (4 << 20))
    assert len(bomb) < 100_000
    assert refuse(bomb).reason == Reason.TOO_LARGE


def test_more_cells_than_allowed_are_refused(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CELLS", 1000)
    assert refuse(b"a,b\n" + b"1,2\n" * 501).reason == Reason.TOO_LARGE
    assert refuse(as_parquet({"a": [1.0] * 501, "b": [1.0] * 501})).reason == Reason.TOO_LARGE


def test_every_reason_is_reached() -> None:
    elsewhere = {Reason.TOO_LARGE, Reason.FORMAT_MISMATCH}
    assert {reason for reason, _, _ in CASES} | elsewhere == set(Reason)
    assert all(reason.name == reason.value for reason in Reason)


def test_facts_become_metadata(refuse: Refuse) -> None:
    assert refuse(b"a,b\n1,2\n3\n").metadata == {"row": "2"}
    assert refuse(b"a,,c\n1,2,3\n").metadata == {"column": "2"}
    assert refusal(Reason.BAD_GZIP, "It is.").metadata == {}
