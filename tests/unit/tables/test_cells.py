from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tables.cells import MAX_MAGNITUDE, MISSING, read_numbers, read_texts

NUMBERS = ["1", "-1.5", "+2", ".5", "5.", "1e3", "1E-3", "-0", "007", " 4 ", "\t6"]
WORDS = [
    "x",
    "1,5",
    "1 000",
    "0x1f",
    "1_0",
    "1e",
    "e5",
    "--1",
    "inf",
    "-Infinity",
    "1e400",
    "nan(1)",
    "true",
    "Na",
]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_read_as_python_reads_them(text: str) -> None:
    cells = read_numbers(pa.array([text]))
    assert cells.stray is None
    assert cells.numbers.tolist() == [float(text)]


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("before", [[], ["1"], ["1", " 2"], ["NA", None]])
def test_what_is_no_number_is_found_with_its_place(text: str, before: list[str | None]) -> None:
    cells = read_numbers(pa.array([*before, text, "later"]))
    assert cells.stray == (len(before), text)


@pytest.mark.parametrize("text", [*MISSING, "  ", " NA "])
@pytest.mark.parametrize("beside", ["1", " 1", "x"])
def test_missing_cells(text: str, beside: str) -> None:
    array = pa.array([text, beside, None])
    assert read_numbers(array).missing_count == 2
    assert np.isnan(read_numbers(array).numbers[[0, 2]]).all()
    assert read_texts(array).to_pylist() == [None, beside.strip(), None]


@pytest.mark.parametrize(
    ("text", "number"), [("1,5", 1.5), ("-,25", -0.25), ("3", 3.0), ("1,5e3", 1500.0), (" 2,5 ", 2.5)]
)
def test_decimal_commas(text: str, number: float) -> None:
    cells = read_numbers(pa.array([text, "7"]), ",")
    assert cells.stray is None
    assert cells.numbers.tolist() == [number, 7.0]


@pytest.mark.parametrize("text", ["1.5", "1.234,5", "1,2,3", "1,5x"])
def test_with_decimal_commas_points_and_thousands_are_not_guessed(text: str) -> None:
    assert read_numbers(pa.array(["1,5", text]), ",").stray == (1, text)


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, max_value=1e100, min_value=-1e100)))
def test_every_float_survives_its_shortest_text(values: list[float]) -> None:
    plain = [repr(value) for value in values]
    assert read_numbers(pa.array(plain, pa.string())).numbers.tolist() == values
    padded = [f" {text}" for text in plain]
    assert read_numbers(pa.array(padded, pa.string())).numbers.tolist() == values
    commas = [text.replace(".", ",") for text in plain]
    assert read_numbers(pa.array(commas, pa.string()), ",").numbers.tolist() == values


def test_magnitudes_whose_squares_overflow_are_not_numbers() -> None:
    assert read_numbers(pa.array([str(MAX_MAGNITUDE), "1e101"])).stray == (1, "1e101")
    assert read_numbers(pa.array([MAX_MAGNITUDE, -1e101])).stray == (1, "-1e+101")


@pytest.mark.parametrize(
    ("array", "numbers"),
    [
        (pa.array([1, None, 3], pa.int64()), [1, np.nan, 3]),
        (pa.array([2**64 - 1], pa.uint64()), [2.0**64]),
        (pa.array(np.array([1.5], np.float16)), [1.5]),
        (pa.array([1.5, float("nan"), None]), [1.5, np.nan, np.nan]),
        (pa.array([True, False, None]), [1, 0, np.nan]),
        (pa.array([Decimal("1.25"), None]), [1.25, np.nan]),
        (pa.array([Decimal("1.25")], pa.decimal256(60, 2)), [1.25]),
        (pa.nulls(2), [np.nan, np.nan]),
        (pa.array(["1", "2", "1"]).dictionary_encode(), [1, 2, 1]),
    ],
)
def test_typed_columns(array: pa.Array, numbers: list[float]) -> None:
    cells = read_numbers(array)
    assert cells.stray is None
    np.testing.assert_array_equal(cells.numbers, numbers)
    assert cells.missing_count == np.isnan(numbers).sum()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (pa.array([dt.date(2024, 2, 29)]), "2024-02-29"),
        (pa.array([dt.datetime(2024, 2, 29, 13)], pa.timestamp("s")), "2024-02-29 13:00:00"),
        (pa.array([dt.datetime(2024, 2, 29, 13)], pa.timestamp("s", "Nowhere/City")), "2024-02-29 13:00:00"),
        (pa.array([dt.time(13, 5)], pa.time32("s")), "13:05:00"),
    ],
)
def test_dates_are_text(array: pa.Array, text: str) -> None:
    assert read_numbers(array).stray == (0, text)
    assert read_texts(array).to_pylist() == [text]


def test_infinity_in_a_typed_column_is_not_a_number() -> None:
    cells = read_numbers(pa.array([1.0, float("inf"), float("nan")]))
    assert cells.stray == (1, "inf")
    assert cells.missing_count == 1
    assert np.isnan(cells.numbers[1])


def test_a_stray_cell_is_cut() -> None:
    stray = read_numbers(pa.array(["x" * 500])).stray
    assert stray == (0, "x" * 80)
