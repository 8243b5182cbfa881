from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Callable
from typing import Any

import pytest

from services.tables.survey import survey_text
from services.tables.text import CHUNK_BYTES, Encoding, open_text

Parse = Callable[..., Any]


@pytest.mark.parametrize(
    ("encoded", "encoding"),
    [
        ("größe,b\nRhône,2\n".encode(), Encoding.UTF_8),
        (codecs.BOM_UTF8 + "größe,b\nRhône,2\n".encode(), Encoding.UTF_8),
        ("größe,b\nRhône,2\n".encode("cp1252"), Encoding.WINDOWS_1252),
        ("größe,b\nRhône,2\n".encode("utf-16"), Encoding.UTF_16),
        (codecs.BOM_UTF16_BE + "größe,b\nRhône,2\n".encode("utf-16-be"), Encoding.UTF_16),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_encodings(parse: Parse, encoded: bytes, encoding: Encoding, compressed: bool) -> None:
    data = gzip.compress(encoded) if compressed else encoded
    assert survey_text(io.BytesIO(data), "plot.csv", lambda: None, compressed=compressed).encoding is encoding
    _, cells = parse(data)
    assert cells == {"größe": ["Rhône"], "b": [2.0]}


def test_an_encoding_that_only_shows_far_down(parse: Parse) -> None:
    rows = 300_000
    _, cells = parse(b"a,b\n" + b"1,x\n" * rows + "2,café\n".encode("cp1252"))
    assert cells["b"][-1] == "café"


def test_characters_across_chunks_stay_whole() -> None:
    text = "a" * (CHUNK_BYTES - 1) + "é\n" + "é" * 10
    source = io.BytesIO(text.encode())
    assert open_text(source, "plot.csv", Encoding.UTF_8, compressed=False).read().decode() == text
    short = text.replace("a" * 1000, "a" * 999 + "\n")
    assert (
        survey_text(io.BytesIO(short.encode()), "plot.csv", lambda: None, compressed=False).encoding
        is Encoding.UTF_8
    )


def test_quotes_are_counted() -> None:
    assert (
        survey_text(io.BytesIO(b'a\n"1"\n5"\n'), "plot.csv", lambda: None, compressed=False).quote_count == 3
    )


def test_several_gzip_members_are_one_text(parse: Parse) -> None:
    _, cells = parse(gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"))
    assert cells == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


def test_lines_up_to_the_bound_are_read(parse: Parse) -> None:
    long = "x" * (CHUNK_BYTES - 10)
    _, cells = parse(f"a,b\n1,{long}\n2,y\n3,{long}\n".encode())
    assert cells == {"a": [1.0, 2.0, 3.0], "b": [long, "y", long]}


def test_the_source_stays_open(parse: Parse) -> None:
    source = io.BytesIO(b"a\n1\n")
    open_text(source, "plot.csv", Encoding.UTF_8, compressed=False).close()
    assert not source.closed
