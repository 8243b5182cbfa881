"""Answers of the process that reads Parquet: bit by bit what was meant, and nothing that cannot be."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Any

import pytest

from services.core.datasets import (
    Column,
    ColumnKind,
    ColumnRole,
    ColumnStatistics,
    Correlation,
    TableFormat,
)
from services.core.errors import InvalidTable
from services.tables import ParsedTable, Reason
from services.tables.answers import read_answer, write_answer

FLOATS = [
    0.1 + 0.2,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    math.inf,
    -math.inf,
    math.nan,
    1 / 3,
    2.0**53,
    1e22,
]


def table(*values: float) -> ParsedTable:
    return ParsedTable(
        TableFormat.PARQUET,
        (
            Column("größe", ColumnKind.NUMERIC, ColumnRole.LATITUDE, 1, ColumnStatistics(*FLOATS[:4])),
            Column("b", ColumnKind.TEXT, ColumnRole.FEATURE, 0, None, 2, "x\x00\U0001f600"),
        ),
        3,
        Correlation(("größe",), values, 2),
    )


@pytest.mark.parametrize("value", FLOATS)
def test_floats_keep_their_bits(value: float) -> None:
    found = read_answer(write_answer(table(value)), 3)
    assert isinstance(found, ParsedTable)
    assert [struct.pack("d", each) for each in found.correlation.values] == [struct.pack("d", value)]


def test_a_table_is_the_same_again() -> None:
    assert read_answer(write_answer(table(0.5)), 3) == table(0.5)


def test_a_refusal_and_a_failure_of_the_disk_are_the_same_again() -> None:
    refused = read_answer(write_answer(InvalidTable("m", "BAD_PARQUET", {"column": "a"})), 3)
    assert isinstance(refused, InvalidTable)
    assert (refused.message, refused.reason, refused.metadata) == ("m", Reason.BAD_PARQUET, {"column": "a"})
    assert isinstance(read_answer(write_answer(FileNotFoundError(2, "No such file")), 3), FileNotFoundError)


CHANGES: list[Callable[[Any], Any]] = [
    lambda answer: answer.update(row_count=4),
    lambda answer: answer.update(row_count=-1),
    lambda answer: answer.update(row_count="3"),
    lambda answer: answer.update(format="csv-like"),
    lambda answer: answer.update(columns=[]),
    lambda answer: answer.update(columns=answer["columns"] * 2),
    lambda answer: answer.pop("correlation"),
    lambda answer: answer["columns"][0].update(missing_count=4),
    lambda answer: answer["columns"][0].update(missing_count=1 << 70),
    lambda answer: answer["columns"][0]["statistics"].update(mean="0"),
    lambda answer: answer["columns"][1].update(text_row=4),
    lambda answer: answer["columns"][1].update(text_row=-1),
    lambda answer: answer["correlation"].update(columns=["b"]),
    lambda answer: answer["correlation"].update(columns=["größe", "größe"], values=[1.0] * 4),
    lambda answer: answer["correlation"].update(values=[1.0, 1.0]),
    lambda answer: answer["correlation"].update(row_count=4),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_cannot_be_is_no_answer(change: Callable[[Any], Any]) -> None:
    answer = json.loads(write_answer(table(1.0)))
    change(answer)
    with pytest.raises(ValueError, match=r"\w"):
        read_answer(json.dumps(answer).encode(), 3)


def test_the_largest_answer_fits() -> None:
    names = [f"{index:03}" + "é" * 252 for index in range(256)]
    columns = tuple(
        Column(
            name, ColumnKind.NUMERIC, ColumnRole.FEATURE, 0, ColumnStatistics(*[-1.2345678901234567e-100] * 4)
        )
        for name in names
    )
    correlation = Correlation(tuple(names), (-1.2345678901234567e-10,) * 256**2, 1)
    assert len(write_answer(ParsedTable(TableFormat.PARQUET, columns, 1, correlation))) < 4 << 20
