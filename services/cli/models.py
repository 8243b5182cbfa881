"""Commands that take a job's model elsewhere: to the rows of another file, or into a file of its own."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from kmeans.v1 import job_service_pb2, report_pb2

from kmeans_client import MAX_PREDICT_VALUES, Client
from services.cli import options
from services.cli.files import check_readable, check_writable, writing
from services.cli.requests import resource_name
from services.core.errors import InvalidInput
from services.core.outliers import DEFAULT_OUTLIER_PROBABILITY
from services.core.validation import unknown_columns

__all__ = ["export", "predict"]

_BATCH_ROWS = 1 << 16

TaskArgument = Annotated[
    str,
    typer.Argument(
        metavar="TASK_OR_JOB", help="jobs/ID/tasks/ID, or a job for its best task.", show_default=False
    ),
]


class ModelFormat(StrEnum):
    """How a model is written."""

    JSON = "json"
    ONNX = "onnx"


_FORMATS = {
    ModelFormat.JSON: job_service_pb2.MODEL_FORMAT_JSON,
    ModelFormat.ONNX: job_service_pb2.MODEL_FORMAT_ONNX,
}


def predict(
    task: TaskArgument,
    file: options.FileArgument,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="OUT.csv", help="Default: stdout.")
    ] = None,
    outlier_probability: Annotated[
        float,
        typer.Option(
            "--outlier-probability",
            help="A row is an outlier above this quantile of the chi-square distribution.",
        ),
    ] = DEFAULT_OUTLIER_PROBABILITY,
    min_members: options.MinMembersOption = options.DEFAULT_MIN_MEMBERS,
    target: options.TargetOption = options.DEFAULT_TARGET,
) -> None:
    """Label the rows of a file; write them with label, squared_distance and outlier, as CSV."""
    check_readable(file)
    if output is not None:
        check_writable(output, read=file)
    with Client.from_environment(target) as client:
        name = _task(client, task, min_members)
        if output is None:
            _predict(client, name, file, outlier_probability, sys.stdout.buffer)
        else:
            with writing(output) as path, path.open("wb") as sink:
                _predict(client, name, file, outlier_probability, sink)


def export(
    task: TaskArgument,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="OUT", help="Default: stdout.")
    ] = None,
    model_format: Annotated[
        ModelFormat, typer.Option("--format", help="json labels rows anywhere, onnx in an ONNX runtime.")
    ] = ModelFormat.JSON,
    min_members: options.MinMembersOption = options.DEFAULT_MIN_MEMBERS,
    target: options.TargetOption = options.DEFAULT_TARGET,
) -> None:
    """Write a task's model as JSON or ONNX, to label rows with elsewhere."""
    if output is not None:
        check_writable(output)
    with Client.from_environment(target) as client:
        chunks = client.export_model(_task(client, task, min_members), _FORMATS[model_format])
        if output is None:
            sys.stdout.buffer.writelines(chunks)
            sys.stdout.buffer.flush()
        else:
            with writing(output) as path, path.open("wb") as sink:
                sink.writelines(chunks)


def _task(client: Client, text: str, min_members: int) -> str:
    """The task that is named, or the best one of the job that is."""
    name = resource_name("jobs", text)
    if "/tasks/" in name:
        return name
    report = client.get_report(name, min_members)
    if not report.HasField("best"):
        code = report_pb2.ReportWarning.CODE_NO_FIT_QUALIFIES
        reasons = [warning.text for warning in report.warnings if warning.code == code]
        raise InvalidInput(
            f"'{name}' has no best task. {''.join(reasons) or 'No fit has ended yet.'}", "NO_FIT_QUALIFIES"
        )
    return report.best.task


def _predict(client: Client, task: str, file: Path, outlier_probability: float, sink: IO[bytes]) -> None:
    """Write the file's rows and columns with those of the prediction, in the memory of a few batches."""
    # Imported late: only this needs Arrow.
    import pyarrow.parquet as pq

    from services.core.datasets import ColumnKind
    from services.tables import parse_table

    columns = tuple(client.get_job(task.partition("/tasks/")[0]).spec.columns)
    with tempfile.TemporaryDirectory(prefix="kmeans-") as folder:
        parsed = Path(folder) / "table.parquet"
        with file.open("rb") as source:
            found = {column.name: column for column in parse_table(source, file.name, None, parsed).columns}
        for sentence in unknown_columns(columns, list(found)):
            raise InvalidInput(f"{file} lacks a column of the model. {sentence}", "UNKNOWN_COLUMN")
        for column in (found[name] for name in columns):
            if column.kind is ColumnKind.TEXT:
                raise InvalidInput(
                    f"Column '{column.name}' of {file} is not numeric: row {column.text_row} holds "
                    f"'{column.text_value}'. Correct it.",
                    "TEXT_COLUMN",
                )
        with pq.ParquetFile(parsed) as table:
            # Each waits here, on its way out, for the answer to it; gRPC sends a few ahead.
            sent: deque[Any] = deque()
            answers = client.predict(
                task, _batches(table, columns, sent), outlier_probability=outlier_probability
            )
            _write(sink, table.schema_arrow, sent, answers)


def _batches(table: Any, columns: tuple[str, ...], sent: deque[Any]) -> Iterator[list[float]]:
    import numpy as np

    for batch in table.iter_batches(min(_BATCH_ROWS, MAX_PREDICT_VALUES // len(columns))):
        sent.append(batch)
        cells = [batch.column(name).to_numpy(zero_copy_only=False) for name in columns]
        yield np.column_stack(cells).ravel().tolist()


def _write(
    sink: IO[bytes], schema: Any, sent: deque[Any], answers: Iterator[job_service_pb2.PredictResponse]
) -> None:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    from services.tables import free_name

    for name, kind in (("label", pa.int32()), ("squared_distance", pa.float64()), ("outlier", pa.bool_())):
        schema = schema.append(pa.field(free_name(name, schema.names), kind))
    # The first answer comes before a byte is written, so that a refusal leaves nothing.
    first = list(itertools.islice(answers, 1))
    with pa_csv.CSVWriter(sink, schema) as writer:
        for answer in itertools.chain(first, answers):
            missing = [label < 0 for label in answer.labels]
            further = [
                pa.array([None if gap else cell for cell, gap in zip(cells, missing, strict=True)], kind)
                for cells, kind in (
                    (answer.labels, pa.int32()),
                    (answer.squared_distances, pa.float64()),
                    (answer.outliers, pa.bool_()),
                )
            ]
            writer.write_batch(pa.record_batch([*sent.popleft().columns, *further], schema=schema))
