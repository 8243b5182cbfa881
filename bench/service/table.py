"""The table of figures: what was measured, what was asked for, and whether it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Row", "render"]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `bar` is what is asked for, and `is_reached` None where nothing is."""

    what: str
    figure: str
    bar: str = ""
    is_reached: bool | None = None
    note: str = ""


def render(title: str, rows: Sequence[Row]) -> str:
    """Plain text, one line for each row."""
    widths = [max(len(getattr(row, name)) for row in rows) for name in ("what", "figure", "bar")]
    lines = [title]
    for row in rows:
        verdict = {True: "reached", False: "NOT reached", None: ""}[row.is_reached]
        cells = (row.what.ljust(widths[0]), row.figure.rjust(widths[1]), row.bar.ljust(widths[2]))
        lines.append("  ".join(("", *cells, f"{verdict:<11}", row.note)).rstrip())
    return "\n".join(lines)
