"""What the service counts, told to a reader who can do something about it."""

from __future__ import annotations

import re

from kmeans.v1 import report_pb2

from ui.report.wording import counted

__all__ = ["columns_note", "kind_note", "warning_words"]

_ONE_ROW = re.compile(r"\b1 of ([\d,]+) rows were")


def kind_note(entry: report_pb2.CovarianceReport, min_members: int) -> str:
    """Why a covariance model has no recommended task, for a reader who can do something about it."""
    small = sum(point.too_small for point in entry.points)
    degenerate = sum(point.degenerate for point in entry.points)
    if not small + degenerate:
        return entry.note or "No task has ended yet."
    parts = []
    if small:
        has = "has" if small == 1 else "have"
        parts.append(f"{small:,} {has} a cluster of fewer than {counted(min_members, 'row')}")
    if degenerate:
        are = "is" if degenerate == 1 else "are"
        parts.append(f"{degenerate:,} {are} degenerate (a cluster without spread, or with too few rows)")
    return f"No task of this model counts: {'; '.join(parts)}."


def columns_note(max_columns: int, column_count: int) -> str:
    """What a plot of at most so many columns says about those that it leaves out; "" where there are none."""
    if column_count <= max_columns:
        return ""
    return f"These are the {max_columns} columns that tell the clusters apart best, of {column_count}."


def warning_words(text: str) -> str:
    """A warning of the service, in the singular where it counts one."""
    return _ONE_ROW.sub(r"1 of \g<1> rows was", text)
