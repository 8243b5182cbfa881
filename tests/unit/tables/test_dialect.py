from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.core.datasets import ColumnRole, TableFormat
from services.tables.dialect import read_dialect

Parse = Callable[..., Any]


@pytest.mark.parametrize(
    ("head", "delimiter", "mark", "names"),
    [
        ("a,b\n1,2\n", ",", ".", ["a", "b"]),
        ("a;b\n1;2\n", ";", ".", ["a", "b"]),
        ("a\tb\n1\t2\n", "\t", ".", ["a", "b"]),
        ("a;b\n1,5;2\n", ";", ",", ["a", "b"]),
        ("a\tb\n1,5\t2\n", "\t", ",", ["a", "b"]),
        ("a;b;c\n1,5;2.5;3,5\n", ";", ",", ["a", "b", "c"]),
        ("a;b\n1.5;01.02.2024\n", ";", ".", ["a", "b"]),
        ('"a, east";"b"\n1,5;2,5\n', ";", ",", ["a, east", "b"]),
        ("id\tname, first\n1\tx, y\n2\tz\n", "\t", ".", ["id", "name, first"]),
        ('a,b\n"1;2",3\n"4;5",6\n', ",", ".", ["a", "b"]),
        ("a\n1\n", ",", ".", ["a"]),
        ("a b\n1\n", ",", ".", ["a b"]),
        ("a,b,c\n1,2\n3,4\n", ",", ".", ["a", "b", "c"]),
        (" a , \"b\" ,'c'\n1,2,3\n", ",", ".", ["a", "b", "'c'"]),
        ('"say ""a""",b\n1,2\n', ",", ".", ['say "a"', "b"]),
        ('"EC1\n(mS/m)",b\n1,2\n', ",", ".", ["EC1 (mS/m)", "b"]),
        ("sep=;\na;b\n1;2\n", ";", ".", ["a", "b"]),
        ("\n\n  \na,b\n1,2\n", ",", ".", ["a", "b"]),
        ("2019,x\n1,2\n", ",", ".", ["2019", "x"]),
    ],
)
def test_the_first_rows_tell_the_dialect(head: str, delimiter: str, mark: str, names: list[str]) -> None:
    dialect = read_dialect(head, "plot.csv", None, is_all=True)
    assert (dialect.delimiter, dialect.decimal_mark, list(dialect.names)) == (delimiter, mark, names)
    rest = head.encode()[dialect.header_bytes :].decode()
    assert rest[0] in '1"'


def test_a_cut_off_last_row_is_not_held_against_a_delimiter() -> None:
    head = "a;b;c\n1,5;2,5;3,5\n4,5;5"
    assert read_dialect(head, "plot.csv", None, is_all=False).delimiter == ";"


@pytest.mark.parametrize(
    ("data", "stated", "found"),
    [
        (b"a,b\n1,2\n", None, TableFormat.CSV),
        (b"a;b\n1;2\n", TableFormat.CSV, TableFormat.CSV),
        (b"a\tb\n1\t2\n", None, TableFormat.TSV),
        (b"a\tb\n1\t2\n", TableFormat.CSV, TableFormat.TSV),
        (b"a,b\n1,2\n", TableFormat.TSV, TableFormat.TSV),
    ],
)
def test_a_stated_tsv_has_tabs_and_the_bytes_decide_the_rest(
    parse: Parse, data: bytes, stated: TableFormat | None, found: TableFormat
) -> None:
    table, _ = parse(data, stated)
    assert table.format is found


def test_names_give_roles(parse: Parse) -> None:
    table, _ = parse(b"LONGITUDE, Lat ,EC1\n1,2,3\n")
    assert [column.role for column in table.columns] == [
        ColumnRole.LONGITUDE,
        ColumnRole.LATITUDE,
        ColumnRole.FEATURE,
    ]
