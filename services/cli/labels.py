"""Labels as CSV: alone, or beside the rows of the dataset they belong to."""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TextIO

import typer

from kmeans_client import Client
from services.cli import options
from services.cli.files import check_writable, writing
from services.cli.requests import resource_name

__all__ = ["labels", "write_labelled_table"]

_LABEL = "label"


def labels(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job, for its best task, or jobs/ID/tasks/ID.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT.csv", help="Default: stdout.")
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Write the dataset's rows and columns too, the label last.")
    ] = False,
    min_members: options.MinMembersOption = options.DEFAULT_MIN_MEMBERS,
    target: options.TargetOption = options.DEFAULT_TARGET,
) -> None:
    """Write the label of each row as CSV: row (from 1), and label, empty where a cell is missing."""
    if output is not None:
        check_writable(output)
    name = resource_name("jobs", job)
    with Client.from_environment(target) as client:
        if table:
            if output is None:
                sys.stdout.flush()
                sys.stdout.buffer.writelines(client.export_labels(name, min_members))
            else:
                write_labelled_table(client, name, output, min_members)
            return
        found = _labels(client, name, min_members)
        # The first label comes before the file is opened, so that a refusal leaves no empty file.
        first = list(itertools.islice(found, 1))
        rows = enumerate(itertools.chain(first, found), start=1)
        if output is None:
            _write_labels(sys.stdout, rows)
        else:
            with writing(output) as path, path.open("w", newline="", encoding="utf-8") as sink:
                _write_labels(sink, rows)


def write_labelled_table(client: Client, name: str, output: Path, min_members: int | None = None) -> None:
    """Write the dataset's rows and columns, and a column `label` (empty where a chosen cell is missing).

    Numbers keep their value, not their spelling.
    """
    chunks = client.export_labels(name, min_members)
    # The first bytes come before the file is opened, so that a refusal leaves no empty file.
    first = list(itertools.islice(chunks, 1))
    with writing(output) as path, path.open("wb") as sink:
        sink.writelines(itertools.chain(first, chunks))


def _labels(client: Client, name: str, min_members: int) -> Iterator[int]:
    for run in client.stream_labels(name, min_members):
        yield from run.labels


def _write_labels(sink: TextIO, rows: Iterable[tuple[int, int]]) -> None:
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["row", _LABEL])
    writer.writerows((row, label if label >= 0 else "") for row, label in rows)
