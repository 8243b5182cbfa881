"""Cells: which are missing, which are numbers, which are neither.

A cell is missing when, outer spaces removed, it is one of `MISSING` (the case matters: `none` and `Na` are
words). A cell is a number when it is written in decimal or scientific notation and its magnitude is at
most `MAX_MAGNITUDE`; infinity is not a number here, so a column that holds it is a text column, and says
in which row. Thousands separators are not guessed: `1,234` in a table with decimal points is text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.tables import limits

__all__ = ["MAX_MAGNITUDE", "MISSING", "Cells", "read_numbers", "read_texts"]

MISSING = (
    "",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "NaN",
    "nan",
    "NAN",
    "-nan",
    "-NaN",
    "null",
    "NULL",
    "Null",
    "None",
    "?",
    ".",
    "-",
)

# Squares of larger numbers, summed over a table, would leave the range of float64.
MAX_MAGNITUDE = 1e100

_MISSING_VALUES = pa.array(MISSING)
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


@dataclass(frozen=True, slots=True)
class Cells:
    """A stretch of m cells of one column, read as numbers.

    Attributes:
        numbers: (m,) float64, NaN where missing or not a number.
        missing_count: how many are missing.
        stray: index and text of the first that is neither missing nor a number, or None.
    """

    numbers: NDArray[np.float64]
    missing_count: int
    stray: tuple[int, str] | None


def read_numbers(array: Any, decimal_mark: str = ".") -> Cells:
    """Read an Arrow array of m strings, numbers, booleans (0 and 1) or dates (never numbers) as numbers."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    if pa.types.is_null(array.type):
        array = array.cast(pa.float64())
    if _is_numeric(array.type):
        return _from_numbers(array)
    return _from_strings(_as_strings(array), decimal_mark)


def read_texts(array: Any) -> Any:
    """Return an Arrow string array of the same m cells, outer spaces removed, null where missing."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    texts = pc.utf8_trim_whitespace(_as_strings(array))
    return pc.if_else(pc.is_in(texts, value_set=_MISSING_VALUES), pa.scalar(None, pa.string()), texts)


def _as_strings(array: Any) -> Any:
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        # In UTC: the zone's rules may not be known on this machine.
        array = array.cast(pa.timestamp(array.type.unit))
    return array.cast(pa.string())


def _is_numeric(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _as_numpy(array: Any) -> NDArray[np.float64]:
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _from_numbers(array: Any) -> Cells:
    numbers = _as_numpy(array.cast(pa.float64(), safe=False))
    missing_count = int(np.isnan(numbers).sum())
    too_large = np.abs(numbers) > MAX_MAGNITUDE
    if not too_large.any():
        return Cells(numbers, missing_count, None)
    first = int(np.argmax(too_large))
    return Cells(np.where(too_large, np.nan, numbers), missing_count, (first, str(array[first].as_py())))


def _from_strings(strings: Any, decimal_mark: str) -> Cells:
    # Almost every column is all numbers, exactly written: try that before anything slower.
    plain = strings
    if decimal_mark == ",":
        if pc.any(pc.match_substring(strings, ".")).as_py():
            return _from_untidy_strings(strings, decimal_mark)
        plain = pc.replace_substring(strings, ",", ".")
    try:
        parsed = pc.cast(plain, pa.float64())
    except pa.ArrowInvalid:
        return _from_untidy_strings(strings, decimal_mark)
    numbers = _as_numpy(parsed)
    # Arrow reads `inf` and `nan(1)` as numbers too; counting catches both.
    if np.count_nonzero(np.abs(numbers) <= MAX_MAGNITUDE) + parsed.null_count != len(numbers):
        return _from_untidy_strings(strings, decimal_mark)
    return Cells(numbers, parsed.null_count, None)


def _from_untidy_strings(strings: Any, decimal_mark: str) -> Cells:
    texts = read_texts(strings)
    plain = texts
    if decimal_mark == ",":
        # A point cannot be part of a number here; a letter in its place keeps the cell from being one.
        plain = pc.replace_substring(pc.replace_substring(texts, ".", "x"), ",", ".")
    written = pc.fill_null(pc.match_substring_regex(plain, _NUMBER), False)
    parsed = pc.cast(pc.if_else(written, plain, pa.scalar(None, pa.string())), pa.float64())
    numbers = _as_numpy(parsed)
    numbers = np.where(np.abs(numbers) <= MAX_MAGNITUDE, numbers, np.nan)
    strays = np.isnan(numbers) & np.asarray(pc.is_valid(texts))
    if not strays.any():
        return Cells(numbers, texts.null_count, None)
    first = int(np.argmax(strays))
    return Cells(numbers, texts.null_count, (first, texts[first].as_py()[: limits.MAX_TEXT_VALUE_CHARACTERS]))
