from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pytest
from pyarrow import parquet

from services.core.datasets import TableFormat
from services.core.errors import InvalidTable
from services.tables import ParsedTable, parse_table

Parse = Callable[..., tuple[ParsedTable, dict[str, list[Any]]]]
Refuse = Callable[..., InvalidTable]
Store = Callable[..., BinaryIO]


@pytest.fixture
def parse(tmp_path: Path) -> Parse:
    """Parse bytes; return what was found and the cells that were written."""

    def run(data: bytes, stated: TableFormat | None = None) -> tuple[ParsedTable, dict[str, list[Any]]]:
        destination = tmp_path / "table.parquet"
        table = parse_table(io.BytesIO(data), "plot.csv", stated, destination)
        written = parquet.read_table(destination)
        assert written.num_rows == table.row_count
        assert written.column_names == [column.name for column in table.columns]
        return table, written.to_pydict()

    return run


@pytest.fixture
def refuse(tmp_path: Path) -> Refuse:
    """Parse bytes that must be refused; return the refusal."""

    def run(data: bytes, stated: TableFormat | None = None) -> InvalidTable:
        destination = tmp_path / "refused.parquet"
        with pytest.raises(InvalidTable) as caught:
            parse_table(io.BytesIO(data), "plot.csv", stated, destination)
        assert not destination.exists()
        return caught.value

    return run


@pytest.fixture
def store() -> Store:
    """Write columns as a stored table."""

    def run(columns: dict[str, Any], *, group_rows: int = 1 << 20) -> BinaryIO:
        table = pa.table(
            {
                name: cells if isinstance(cells, pa.Array) else pa.array(cells, from_pandas=True)
                for name, cells in columns.items()
            }
        )
        file = io.BytesIO()
        parquet.write_table(table, file, row_group_size=group_rows)
        return file

    return run
