"""Validation: what a job may ask of a dataset. Pure; every violation is reported at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.core.datasets import ColumnKind, Dataset, TableFormat
from services.core.errors import FieldViolation, InvalidInput
from services.core.jobs import MAX_EXPERIMENTS, MAX_INIT, MAX_ITER, MAX_K, JobSpec

__all__ = [
    "MAX_DISPLAY_NAME",
    "Selection",
    "check_display_name",
    "check_query",
    "check_selection",
    "check_spec",
    "refuse",
    "repeated_columns",
    "unknown_columns",
    "wrong_columns",
]

MAX_DISPLAY_NAME = 255
_SEED_LIMIT = 1 << 63
_SHOWN_COLUMNS = 20


@dataclass(frozen=True, slots=True)
class Selection:
    """What the chosen columns hold, counted from the parsed table.

    Attributes:
        row_count: rows of the table.
        complete_row_count: rows complete in all chosen columns: the n of every fit.
        constant_columns: chosen columns that hold one value in all complete rows.
    """

    row_count: int
    complete_row_count: int
    constant_columns: tuple[str, ...]


def check_spec(spec: JobSpec, dataset: Dataset) -> None:
    """Check a job's spec against its bounds and the dataset's columns.

    Raises:
        InvalidInput: with one violation per wrong field, each a sentence.
    """
    refuse(
        [
            *_bounds("max_k", spec.max_k, 1, MAX_K),
            *_bounds("n_experiments", spec.n_experiments, 1, MAX_EXPERIMENTS),
            *_bounds("n_init", spec.n_init, 1, MAX_INIT),
            *_bounds("max_iter", spec.max_iter, 1, MAX_ITER),
            *_bounds("seed", spec.seed, 0, _SEED_LIMIT - 1),
            *_covariances(spec),
            *_columns(spec, dataset),
        ]
    )


def check_query(query: str) -> str | None:
    """What a listing of jobs is searched for, or None for nothing; InvalidInput when it is too long."""
    if len(query) > MAX_DISPLAY_NAME:
        sentence = f"query has {len(query)} characters; at most {MAX_DISPLAY_NAME} are searched for."
        refuse([FieldViolation("query", sentence)])
    return query or None


def check_selection(spec: JobSpec, selection: Selection, *, max_cells: int = 0, named: bool = True) -> None:
    """Check that the rows behind the chosen columns can carry the job, and that workers can hold them.

    Args:
        spec: with its columns filled in.
        selection: what they hold.
        max_cells: most complete rows times columns; 0 for any number.
        named: whether the caller chose them, and so knows their places in the request.

    Raises:
        InvalidInput: no complete row (`NO_COMPLETE_ROWS`), fewer than max_k, more than `max_cells`, or a
            column that never varies while scaling (`CONSTANT_COLUMN`).
    """
    violations = []
    n = selection.complete_row_count
    skipped = selection.row_count - n
    cells = n * len(spec.columns)
    if max_cells and cells > max_cells:
        violations.append(
            FieldViolation(
                "spec.columns",
                f"The chosen columns have {cells:,} cells in {n:,} complete rows; at most {max_cells:,} are "
                "clustered here. Choose fewer columns, or upload a sample of the rows.",
            )
        )
    if n == 0:
        violations.append(
            FieldViolation(
                "spec.columns",
                f"None of the {selection.row_count} rows has a value in every chosen column. Choose fewer "
                "columns.",
                "NO_COMPLETE_ROWS",
            )
        )
    elif n < spec.max_k:
        because = f" ({skipped} of {selection.row_count} rows have missing cells)" if skipped else ""
        violations.append(
            FieldViolation(
                "spec.max_k",
                f"The chosen columns have {n} complete rows{because}, fewer than max_k = {spec.max_k}. "
                "Lower max_k, choose other columns or add rows.",
            )
        )
    if n and spec.scale:
        violations += [
            FieldViolation(
                _place("spec.columns", spec.columns.index(name)) if named else "spec.columns",
                f"Column '{name}' never varies, so it cannot be scaled. Leave it out, or turn scaling off.",
                "CONSTANT_COLUMN",
            )
            for name in selection.constant_columns
        ]
    refuse(violations)


def check_display_name(display_name: str) -> str:
    """Return it, or raise InvalidInput when it is longer than MAX_DISPLAY_NAME characters."""
    if len(display_name) > MAX_DISPLAY_NAME:
        refuse(
            [
                FieldViolation(
                    "display_name",
                    f"display_name has {len(display_name)} characters; at most {MAX_DISPLAY_NAME} are "
                    "allowed.",
                )
            ]
        )
    return display_name


def unknown_columns(chosen: Sequence[str], existing: Sequence[str]) -> Iterator[str]:
    """A sentence for each chosen column that does not exist, naming some that do."""
    for _, sentence in _unknown(chosen, existing):
        yield sentence


def repeated_columns(chosen: Sequence[str]) -> Iterator[str]:
    """A sentence for each column that is chosen more than once."""
    for _, sentence in _repeated_places(chosen):
        yield sentence


def wrong_columns(field: str, chosen: Sequence[str], existing: Sequence[str]) -> Iterator[FieldViolation]:
    """What is wrong with the names in this field, each with its place in it.

    First each that is there before (`REPEATED_COLUMN`), then each that does not exist (`UNKNOWN_COLUMN`).
    """
    for index, sentence in _repeated_places(chosen):
        yield FieldViolation(_place(field, index), sentence, "REPEATED_COLUMN")
    for index, sentence in _unknown(chosen, existing):
        yield FieldViolation(_place(field, index), sentence, "UNKNOWN_COLUMN")


def refuse(violations: Sequence[FieldViolation]) -> None:
    """Raise InvalidInput when there are any; its reason is theirs where they all have the same."""
    if violations:
        message = " ".join(dict.fromkeys(violation.description for violation in violations))
        reasons = {violation.reason for violation in violations}
        reason = reasons.pop() if len(reasons) == 1 else ""
        raise InvalidInput(message, reason, violations=tuple(violations))


def _place(field: str, index: int) -> str:
    return f"{field}[{index}]"


def _unknown(chosen: Sequence[str], existing: Sequence[str]) -> Iterator[tuple[int, str]]:
    names = set(existing)
    for name in dict.fromkeys(chosen):
        if name not in names:
            shown = ", ".join(f"'{other}'" for other in existing[:_SHOWN_COLUMNS])
            more = f" and {len(existing) - _SHOWN_COLUMNS} more" if len(existing) > _SHOWN_COLUMNS else ""
            yield chosen.index(name), f"There is no column '{name}'. The columns are {shown}{more}."


def _repeated_places(chosen: Sequence[str]) -> Iterator[tuple[int, str]]:
    for name, index in _repeated(chosen):
        yield index, f"Column '{name}' is named more than once."


def _bounds(name: str, value: int, low: int, high: int) -> Iterator[FieldViolation]:
    if not low <= value <= high:
        yield FieldViolation(f"spec.{name}", f"{name} is {value}; it must be from {low} to {high}.")


def _covariances(spec: JobSpec) -> Iterator[FieldViolation]:
    if not spec.covariances:
        yield FieldViolation("spec.covariances", "No covariance model is chosen; choose at least one.")
    for covariance, index in _repeated(spec.covariances):
        yield FieldViolation(
            _place("spec.covariances", index), f"Covariance '{covariance}' is named more than once."
        )


def _columns(spec: JobSpec, dataset: Dataset) -> Iterator[FieldViolation]:
    if not spec.columns:
        yield FieldViolation(
            "spec.columns",
            f"'{dataset.display_name}' has no numeric column that varies besides longitude and latitude; "
            f"there is nothing to cluster on.{_delimiter_hint(dataset)}",
            "NO_COLUMNS",
        )
    yield from wrong_columns("spec.columns", spec.columns, [column.name for column in dataset.columns])
    for name in dict.fromkeys(spec.columns):
        column = dataset.column(name)
        if column is not None and column.kind is ColumnKind.TEXT:
            where = f": row {column.text_row} holds '{column.text_value}'" if column.text_row else ""
            yield FieldViolation(
                _place("spec.columns", spec.columns.index(name)),
                f"Column '{name}' is not numeric{where}. Leave it out or correct it.",
                "TEXT_COLUMN",
            )


def _delimiter_hint(dataset: Dataset) -> str:
    """What one column of text with a delimiter in its name probably is: a table read as no table."""
    if len(dataset.columns) != 1 or dataset.format is TableFormat.PARQUET:
        return ""
    (column,) = dataset.columns
    name = column.name
    if column.kind is not ColumnKind.TEXT:
        return ""
    found = next((f"'{delimiter}'" for delimiter in "|;:" if delimiter in name), "")
    if not found and ("  " in name or len(name.split()) > 2):
        found = "a space"
    if not found:
        return ""
    return (
        f" It has one column '{name}': is the delimiter {found}? Commas, semicolons and tabs are understood; "
        "save the file with one of these."
    )


def _repeated(names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Each name that is there more than once, and where it is for the second time."""
    for name, count in Counter(names).items():
        if count > 1:
            yield name, names.index(name, names.index(name) + 1)
