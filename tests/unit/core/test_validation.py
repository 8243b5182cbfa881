from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.core.covariance import Covariance
from services.core.datasets import (
    Column,
    ColumnKind,
    ColumnRole,
    ColumnStatistics,
    Correlation,
    Dataset,
    TableFormat,
    default_columns,
)
from services.core.errors import InvalidInput
from services.core.jobs import JobSpec
from services.core.validation import (
    Selection,
    check_display_name,
    check_selection,
    check_spec,
    repeated_columns,
    unknown_columns,
)

VARIES = ColumnStatistics(0.0, 1.0, 0.5, 0.1)
DATASET = Dataset(
    "d", "", "soil.csv", TableFormat.CSV, 10, "0" * 64, 100,
    (
        Column("depth", ColumnKind.NUMERIC, ColumnRole.FEATURE, 0, VARIES),
        Column("Lon", ColumnKind.NUMERIC, ColumnRole.LONGITUDE, 0, VARIES),
        Column("kind", ColumnKind.TEXT, ColumnRole.FEATURE, 0, None, 3, "clay"),
        Column("flat", ColumnKind.NUMERIC, ColumnRole.FEATURE, 0, ColumnStatistics(1.0, 1.0, 1.0, 0.0)),
        Column("empty", ColumnKind.NUMERIC, ColumnRole.FEATURE, 100),
    ),
    Correlation((), (), 0),
    datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
SPEC = JobSpec("d", ("depth",))


def refusal(spec: JobSpec) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        check_spec(spec, DATASET)
    return caught.value


def test_default_spec_is_fine() -> None:
    check_spec(SPEC, DATASET)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_k": 0}, "max_k is 0; it must be from 1 to 50."),
        ({"max_k": 51}, "max_k is 51; it must be from 1 to 50."),
        ({"n_experiments": 101}, "n_experiments is 101; it must be from 1 to 100."),
        ({"n_init": 2049}, "n_init is 2049; it must be from 1 to 2048."),
        ({"max_iter": 0}, "max_iter is 0; it must be from 1 to 10000."),
        ({"seed": -1}, f"seed is -1; it must be from 0 to {2**63 - 1}."),
        ({"covariances": ()}, "No covariance model is chosen; choose at least one."),
        (
            {"covariances": (Covariance.FULL_TIED,) * 2},
            "Covariance 'full-tied' is named more than once.",
        ),
        ({"columns": ("depth", "depth")}, "Column 'depth' is named more than once."),
        (
            {"columns": ("width",)},
            "There is no column 'width'. The columns are 'depth', 'Lon', 'kind', 'flat', 'empty'.",
        ),
        (
            {"columns": ("kind",)},
            "Column 'kind' is not numeric: row 3 holds 'clay'. Leave it out or correct it.",
        ),
        (
            {"columns": ()},
            "'soil.csv' has no numeric column that varies besides longitude and latitude; "
            "there is nothing to cluster on.",
        ),
    ],
)
def test_each_wrong_field_has_a_sentence(change: dict[str, Any], sentence: str) -> None:
    error = refusal(replace(SPEC, **change))
    assert str(error) == sentence
    ((name, value),) = change.items()
    # Of a repeated name it is the second.
    place = f"[{len(value) - 1}]" if isinstance(value, tuple) and value else ""
    assert [violation.field for violation in error.violations] == [f"spec.{name}{place}"]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ((), "NO_COLUMNS"),
        (("width",), "UNKNOWN_COLUMN"),
        (("depth", "depth"), "REPEATED_COLUMN"),
        (("kind",), "TEXT_COLUMN"),
    ],
)
def test_wrong_columns_have_reasons(columns: tuple[str, ...], reason: str) -> None:
    error = refusal(replace(SPEC, columns=columns))
    assert error.reason == reason
    assert [violation.reason for violation in error.violations] == [reason]


def test_what_is_wrong_for_several_reasons_says_each_where_it_is() -> None:
    error = refusal(replace(SPEC, max_k=0, columns=("depth", "width", "kind", "depth")))
    assert error.reason == "INVALID_INPUT"
    assert [(violation.field, violation.reason) for violation in error.violations] == [
        ("spec.max_k", ""),
        ("spec.columns[3]", "REPEATED_COLUMN"),
        ("spec.columns[1]", "UNKNOWN_COLUMN"),
        ("spec.columns[2]", "TEXT_COLUMN"),
    ]


def test_all_violations_are_reported_at_once() -> None:
    error = refusal(replace(SPEC, max_k=0, n_init=0, columns=("width", "kind")))
    assert [violation.field for violation in error.violations] == [
        "spec.max_k",
        "spec.n_init",
        "spec.columns[0]",
        "spec.columns[1]",
    ]


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("a|b|c", "'|'"), ("a;b", "';'"), ("depth ec slope", "a space"), ("a  b", "a space"), ("a:b", "':'")],
)
def test_one_text_column_that_looks_like_several_hints_at_the_delimiter(name: str, delimiter: str) -> None:
    one = replace(DATASET, columns=(replace(DATASET.columns[2], name=name),))
    with pytest.raises(InvalidInput, match="nothing to cluster on") as caught:
        check_spec(replace(SPEC, columns=()), one)
    assert str(caught.value).endswith(
        f" It has one column '{name}': is the delimiter {delimiter}? Commas, semicolons and tabs are "
        "understood; save the file with one of these."
    )
    # Parquet has no delimiter, and two columns were told apart.
    for other in (
        replace(one, format=TableFormat.PARQUET),
        replace(one, columns=(*one.columns, replace(DATASET.columns[2], name="x"))),
        replace(one, columns=(replace(one.columns[0], name="farm name"),)),
    ):
        with pytest.raises(InvalidInput, match=r"nothing to cluster on\.$"):
            check_spec(replace(SPEC, columns=()), other)


def test_sentences_about_columns_are_one_per_name() -> None:
    assert list(unknown_columns(["x", "a", "x"], ["a"])) == ["There is no column 'x'. The columns are 'a'."]
    assert list(repeated_columns(["a", "b", "a", "a"])) == ["Column 'a' is named more than once."]


def test_many_columns_are_not_all_listed() -> None:
    columns = tuple(replace(DATASET.columns[0], name=f"c{index}") for index in range(25))
    with pytest.raises(InvalidInput, match=r"'c19' and 5 more\.$"):
        check_spec(SPEC, replace(DATASET, columns=columns))


def test_default_columns_are_features_that_vary() -> None:
    assert default_columns(DATASET) == ("depth",)


def test_rows_must_carry_the_job() -> None:
    check_selection(SPEC, Selection(10, 10, ()))
    with pytest.raises(InvalidInput) as caught:
        check_selection(SPEC, Selection(12, 9, ()))
    assert str(caught.value) == (
        "The chosen columns have 9 complete rows (3 of 12 rows have missing cells), fewer than max_k = 10. "
        "Lower max_k, choose other columns or add rows."
    )
    assert caught.value.violations[0].field == "spec.max_k"


def test_constant_column_cannot_be_scaled() -> None:
    with pytest.raises(InvalidInput, match="Column 'depth' never varies, so it cannot be scaled"):
        check_selection(SPEC, Selection(100, 100, ("depth",)))
    check_selection(replace(SPEC, scale=False), Selection(100, 100, ("depth",)))


def test_no_job_is_larger_than_workers_can_hold() -> None:
    selection = Selection(1000, 900, ())
    cells = 900 * len(SPEC.columns)
    check_selection(SPEC, selection)
    check_selection(SPEC, selection, max_cells=cells)
    with pytest.raises(InvalidInput, match=f"{cells:,} cells in 900 complete rows") as caught:
        check_selection(SPEC, selection, max_cells=cells - 1)
    assert [violation.field for violation in caught.value.violations] == ["spec.columns"]


def test_a_column_is_told_by_its_place_to_who_named_it() -> None:
    flat = Selection(100, 100, ("flat",))
    for named, field in ((True, "spec.columns[1]"), (False, "spec.columns")):
        with pytest.raises(InvalidInput) as caught:
            check_selection(replace(SPEC, columns=("depth", "flat")), flat, named=named)
        assert caught.value.reason == "CONSTANT_COLUMN"
        assert [violation.field for violation in caught.value.violations] == [field]


def test_no_complete_row_is_the_columns_fault() -> None:
    with pytest.raises(InvalidInput, match="None of the 12 rows has a value in every chosen") as caught:
        check_selection(replace(SPEC, max_k=1), Selection(12, 0, ()))
    assert caught.value.reason == "NO_COMPLETE_ROWS"
    assert [violation.field for violation in caught.value.violations] == ["spec.columns"]


def test_display_name_is_bounded() -> None:
    assert check_display_name("ä" * 255) == "ä" * 255
    with pytest.raises(InvalidInput, match="has 256 characters; at most 255"):
        check_display_name("x" * 256)
