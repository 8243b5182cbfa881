from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.core.datasets import ColumnKind, ColumnRole

Parse = Callable[..., Any]
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    ("name", "row_count", "numeric", "text"),
    [
        ("soil_field.csv", 3013, 5, []),
        ("palmer_penguins.csv", 344, 5, ["species", "island", "sex"]),
        ("wine.csv", 178, 13, ["cultivar"]),
    ],
)
def test_examples_are_tables(parse: Parse, name: str, row_count: int, numeric: int, text: list[str]) -> None:
    table, _ = parse((EXAMPLES / name).read_bytes())
    assert table.row_count == row_count
    assert [column.name for column in table.columns if column.kind is ColumnKind.TEXT] == text
    assert len(table.correlation.columns) == numeric


def test_the_script_writes_the_soil_field_byte_for_byte() -> None:
    script = subprocess.run(
        [sys.executable, str(EXAMPLES / "make_soil_field.py")], capture_output=True, check=True
    )
    assert script.stdout == (EXAMPLES / "soil_field.csv").read_bytes()


def test_the_soil_field_is_a_map_of_correlated_skewed_features(parse: Parse) -> None:
    table, cells = parse((EXAMPLES / "soil_field.csv").read_bytes())
    roles = {column.name: column.role for column in table.columns}
    assert roles["Longitude"] is ColumnRole.LONGITUDE
    assert roles["Latitude"] is ColumnRole.LATITUDE
    ec1, ec2 = (table.correlation.columns.index(name) for name in ("EC1", "EC2"))
    assert table.correlation.values[ec1 * 5 + ec2] > 0.8
    ordered = sorted(cells["EC2"])
    assert sum(ordered) / len(ordered) > ordered[len(ordered) // 2] * 1.1


def test_examples_stay_small() -> None:
    assert sum(len(path.read_bytes()) for path in EXAMPLES.glob("*.csv")) < 300_000


def test_penguins_lack_two_measurements(parse: Parse) -> None:
    table, _ = parse(io.BytesIO((EXAMPLES / "palmer_penguins.csv").read_bytes()).getvalue())
    missing = {column.name: column.missing_count for column in table.columns}
    assert missing["bill_length_mm"] == 2
    assert missing["sex"] == 11
