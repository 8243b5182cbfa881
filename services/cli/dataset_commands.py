"""Commands about datasets on a running service."""

from __future__ import annotations

from kmeans.v1 import dataset_pb2
from rich.table import Table
from rich.text import Text

from kmeans_client import Client
from services.cli import options
from services.cli.consoles import consoles
from services.cli.files import check_readable

__all__ = ["upload"]


def upload(file: options.FileArgument, target: options.TargetOption = options.DEFAULT_TARGET) -> None:
    """Upload a table; print its name and columns."""
    check_readable(file)
    out, _ = consoles()
    with Client.from_environment(target) as client:
        dataset = client.upload_dataset(file)
    out.print(f"{dataset.name}  {dataset.row_count:,} rows", highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("column", "kind", "missing", "minimum", "mean", "maximum"):
        table.add_column(name, justify="left" if name in {"column", "kind"} else "right")
    for column in dataset.columns:
        numeric = column.kind == dataset_pb2.COLUMN_KIND_NUMERIC
        known = column.HasField("statistics")
        numbers = column.statistics
        table.add_row(
            Text(column.name),
            "numeric" if numeric else "text",
            f"{column.missing_count:,}",
            *(f"{value:g}" if known else "" for value in (numbers.minimum, numbers.mean, numbers.maximum)),
        )
    out.print(table)
