"""Whatever the bytes are, there is a table or a refusal, never another error."""

from __future__ import annotations

import gzip
import io
import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from services.core.errors import InvalidTable
from services.tables import Reason, parse_table


def as_parquet() -> bytes:
    file = io.BytesIO()
    columns = {"a": [1.0, 2.0, None] * 20, "b": ["x", "y", "zz"] * 20, "c": list(range(60))}
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


SOUND = [
    b'a,b,c\n1,2,3\n4,"x, ""y""\nz",6\n7,8,NA\n',
    b"a;b\r\n1,5;2\r\n3,2;4\r\n",
    "é\tb\n1\t2\n3\tü\n".encode("cp1252"),
    "é,b\n1,2\n3,ü\n".encode("utf-16"),
    gzip.compress(b"a,b\n1,2\n" * 5, mtime=0),
    as_parquet(),
]
PIECES = [b'"', b",", b";", b"\n", b"\r", b"\t", b"\x00", b"\xff", b'""', b"1e999", b"-", b" "]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["replace", "insert", "cut out", "cut off"])):
            case "replace":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "insert":
                data[at:at] = draw(st.sampled_from(PIECES))
            case "cut out":
                del data[at : at + draw(st.integers(1, 6))]
            case _:
                del data[at:]
    return bytes(data)


@settings(deadline=None, max_examples=300)
@given(damaged() | st.binary(max_size=60))
def test_damage_is_refused_in_a_sentence_or_still_a_table(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        destination = Path(folder) / "table.parquet"
        reason = None
        try:
            table = parse_table(io.BytesIO(data), "plot.csv", None, destination)
        except InvalidTable as refused:
            reason = refused.reason
        if reason is None:
            assert parquet.read_metadata(destination).num_rows == table.row_count > 0
        else:
            assert reason in set(Reason)
            assert not destination.exists()
