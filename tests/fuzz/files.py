"""Files that hypothesis makes: tables of every format, then damaged, mixed up or wrapped."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

__all__ = ["damaged"]

_NUMBERS = ["1", "-2.5", "3e5", "1e999", "NaN", "inf", "", "NA", "?", "0x1F", "1_000", "١٢", "1,5", "1 000"]
_ODDITIES = ['"', "'", '""', '"a\nb"', "a;b", "\t", "\x00", "\ufeff", "é", "🙂", "=1+1", "−3", "2026-01-01"]
_CELLS = st.sampled_from(_NUMBERS) | st.sampled_from(_ODDITIES) | st.just("x" * 300) | st.text(max_size=6)
_NAMES = st.sampled_from(["a", "b", "A", "lat", "Longitude", "", " ", '"', "label", "1", "é"]) | _CELLS
_SEPARATORS = st.sampled_from([",", ";", "\t", "|", " ", ", "])
_ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n"])
_ENCODINGS = st.sampled_from(
    ["utf-8"] * 4 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "utf-7"]
)
_COLUMNS: list[Callable[[int], pa.Array]] = [
    lambda n: pa.array([float(i) for i in range(n)]),
    lambda n: pa.array([None] * n, pa.float64()),
    lambda n: pa.array([f"{i}" for i in range(n)]),
    lambda n: pa.array([i % 2 == 0 for i in range(n)]),
    lambda n: pa.array([[i] for i in range(n)]),
    lambda n: pa.array([{"x": i} for i in range(n)]),
    lambda n: pa.array([b"\xff\xfe"] * n),
    lambda n: pa.array(list(range(n)), pa.timestamp("us")),
    lambda n: pa.array([2**63 + i for i in range(n)], pa.uint64()),
    lambda n: pa.array(list(range(n)), pa.decimal128(38, 3)),
    lambda n: pa.array(["same"] * n).dictionary_encode(),
    lambda n: pa.nulls(n),
    lambda n: pa.array([float("inf")] * n),
    lambda n: pa.array([1.5] * n, pa.float16()),
]


@st.composite
def _delimited(draw: st.DrawFn) -> bytes:
    separator, end = draw(_SEPARATORS), draw(_ENDS)
    width = draw(st.integers(1, 5))
    rows = [draw(st.lists(_NAMES, min_size=width, max_size=width))]
    for _ in range(draw(st.integers(0, 8))):
        ragged = draw(st.sampled_from([0] * 12 + [1, -1]))
        size = max(0, width + ragged)
        rows.append(draw(st.lists(_CELLS, min_size=size, max_size=size)))
    text = end.join(separator.join(row) for row in rows) + draw(st.sampled_from(["", end, "\x1a", '"']))
    return text.encode(draw(_ENCODINGS), "replace")


@st.composite
def _parquet(draw: st.DrawFn) -> bytes:
    rows = draw(st.integers(0, 20))
    columns = draw(st.lists(st.sampled_from(_COLUMNS), max_size=4))
    names = [draw(_NAMES) for _ in columns]
    target = io.BytesIO()
    table = pa.Table.from_arrays([column(rows) for column in columns], names=names)
    pq.write_table(
        table,
        target,
        compression=draw(st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"])),
        version=draw(st.sampled_from(["1.0", "2.6"])),
        row_group_size=draw(st.integers(1, 30)),
    )
    return target.getvalue()


def _zipped(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("table.csv", content)
    return target.getvalue()


_WHOLE = _delimited() | _delimited() | _parquet() | st.binary(max_size=300)
_WRAPPED = (
    _WHOLE
    | _WHOLE.map(gzip.compress)
    | _WHOLE.map(_zipped)
    | _WHOLE.map(lambda content: gzip.compress(gzip.compress(content)))
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Any of them, whole or after a few accidents."""
    content = draw(_WRAPPED)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 4]))):
        at = draw(st.integers(0, len(content)))
        accident = draw(st.sampled_from(["cut", "flip", "insert", "drop", "append"]))
        if accident == "cut":
            content = content[:at]
        elif accident == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ draw(st.integers(1, 255))]) + content[at + 1 :]
        elif accident == "insert":
            content = content[:at] + draw(st.binary(max_size=8)) + content[at:]
        elif accident == "drop":
            content = content[:at] + content[at + draw(st.integers(1, 40)) :]
        elif accident == "append":
            content += draw(_WRAPPED)
    return content
