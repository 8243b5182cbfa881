"""Labels as CSV: alone, or beside the rows of the file they belong to."""

from __future__ import annotations

import csv
import hashlib
import itertools
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TextIO

import typer

from kmeans_client import Client
from services.cli import options
from services.cli.files import check_writable, writing
from services.cli.requests import resource_name
from services.core.errors import InvalidInput

__all__ = ["labels", "write_labelled_table"]

_LABEL = "label"


def labels(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job, for its best task, or jobs/ID/tasks/ID.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT.csv", help="Default: stdout.")
    ] = None,
    min_members: options.MinMembersOption = options.DEFAULT_MIN_MEMBERS,
    target: options.TargetOption = options.DEFAULT_TARGET,
) -> None:
    """Write the label of each row as CSV: row (from 1), and label, empty where a cell is missing."""
    if output is not None:
        check_writable(output)
    with Client(target) as client:
        found = _labels(client, resource_name("jobs", job), min_members)
        # The first label comes before the file is opened, so that a refusal leaves no empty file.
        first = list(itertools.islice(found, 1))
        rows = enumerate(itertools.chain(first, found), start=1)
        if output is None:
            _write_labels(sys.stdout, rows)
        else:
            with writing(output) as path, path.open("w", newline="", encoding="utf-8") as sink:
                _write_labels(sink, rows)


def write_labelled_table(client: Client, file: Path, sha256: str, task: str, output: Path) -> None:
    """Write the file's rows and columns, and a column `label` (empty where a chosen cell is missing).

    The file is parsed as the service parsed it; numbers keep their value, not their spelling.

    Raises:
        InvalidInput: its bytes are no longer those that were uploaded; nothing is written.
    """
    # Imported late: only this needs Arrow.
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    from services.tables import parse_table

    with tempfile.TemporaryDirectory(prefix="kmeans-") as folder:
        parsed = Path(folder) / "table.parquet"
        with file.open("rb") as source:
            if hashlib.file_digest(source, "sha256").hexdigest() != sha256:
                raise InvalidInput(
                    f"{file} changed while it was fitted, so the labels do not belong to its rows. "
                    "Run the command again.",
                    "FILE_CHANGED",
                )
            source.seek(0)
            parse_table(source, file.name, None, parsed)
        found = _labels(client, task, options.DEFAULT_MIN_MEMBERS)
        with pq.ParquetFile(parsed) as table:
            schema = table.schema_arrow.append(pa.field(_free_name(table.schema_arrow.names), pa.int32()))
            with writing(output) as path, pa_csv.CSVWriter(path, schema) as writer:
                for batch in table.iter_batches():
                    cells = list(itertools.islice(found, batch.num_rows))
                    column = pa.array([None if label < 0 else label for label in cells], pa.int32())
                    writer.write_batch(pa.record_batch([*batch.columns, column], schema=schema))


def _labels(client: Client, name: str, min_members: int) -> Iterator[int]:
    for run in client.stream_labels(name, min_members):
        yield from run.labels


def _write_labels(sink: TextIO, rows: Iterable[tuple[int, int]]) -> None:
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["row", _LABEL])
    writer.writerows((row, label if label >= 0 else "") for row, label in rows)


def _free_name(taken: Iterable[str]) -> str:
    names = set(taken)
    candidates = itertools.chain([_LABEL], (f"{_LABEL}_{i}" for i in itertools.count(2)))
    return next(name for name in candidates if name not in names)
