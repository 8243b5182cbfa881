"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.core.covariance import Assignment, Covariance
from services.core.reporting import DEFAULT_MIN_MEMBERS
from services.core.settings import DEFAULT_ADDRESS

__all__ = [
    "DEFAULT_MIN_MEMBERS",
    "DEFAULT_TARGET",
    "Assignment",
    "AssignmentOption",
    "ColumnsOption",
    "CovariancesOption",
    "ExperimentsOption",
    "FileArgument",
    "JobArgument",
    "JobOptions",
    "JsonOption",
    "MaxKOption",
    "MinMembersOption",
    "NInitOption",
    "NoScaleOption",
    "SeedOption",
    "TargetOption",
    "parse_columns",
    "parse_covariances",
]

# What the messages can carry; the service knows the real bounds and says them in a sentence.
_INT32 = 2**31 - 1
_INT64 = 2**63 - 1

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV, TSV, gzip of either, or Parquet.", show_default=False)
]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="Name of a job, jobs/ID or ID.", show_default=False)
]
TargetOption = Annotated[
    str,
    typer.Option(
        "--target", metavar="HOST:PORT", envvar="KMEANS_GATEWAY", help="Gateway of a running service."
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="A,B",
        help='Columns to cluster on; quote a name with a comma: "a,b",c. Default: every numeric column '
        "that varies, without longitude and latitude.",
        show_default=False,
    ),
]
MaxKOption = Annotated[int, typer.Option("--max-k", max=_INT32, help="K runs from 1 to this (1 to 50).")]
ExperimentsOption = Annotated[
    int, typer.Option("--experiments", max=_INT32, help="Independent repetitions of each fit (1 to 100).")
]
NInitOption = Annotated[
    int, typer.Option("--n-init", max=_INT32, help="Starts per fit, the best counts (1 to 2048).")
]
CovariancesOption = Annotated[
    str | None,
    typer.Option(
        "--covariances",
        metavar="LIST",
        help=f"Some of {','.join(Covariance)}. Default: all six.",
        show_default=False,
    ),
]
AssignmentOption = Annotated[
    Assignment, typer.Option("--assignment", help="The rule that gives a point to a cluster.")
]
NoScaleOption = Annotated[
    bool, typer.Option("--no-scale", help="Do not bring columns to zero mean and unit variance first.")
]
SeedOption = Annotated[int, typer.Option("--seed", max=_INT64, help="The same seed gives the same result.")]
MinMembersOption = Annotated[
    int,
    typer.Option(
        "--min-members",
        min=1,
        max=_INT32,
        help="Recommend only fits whose every cluster has this many members.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

DEFAULT_TARGET = DEFAULT_ADDRESS


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the command line says about a job, before the dataset is known."""

    columns: tuple[str, ...]
    max_k: int
    experiments: int
    n_init: int
    covariances: tuple[Covariance, ...]
    assignment: Assignment
    scale: bool
    seed: int


def parse_columns(text: str | None) -> tuple[str, ...]:
    """Split at commas, as a line of a CSV file; empty for None."""
    if text is None:
        return ()
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))
    if not names or "" in names:
        raise typer.BadParameter(f"{text!r} names an empty column.", param_hint="--columns")
    return names


def parse_covariances(text: str | None) -> tuple[Covariance, ...]:
    """Split at commas; all six for None."""
    if text is None:
        return tuple(Covariance)
    names = [name.strip().lower() for name in text.split(",")]
    unknown = [name for name in names if name not in set(Covariance)]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]!r} is not a covariance model. Choose from {', '.join(Covariance)}.",
            param_hint="--covariances",
        )
    return tuple(Covariance(name) for name in names)
