"""Datasets, their columns and samples of their rows."""

from __future__ import annotations

from kmeans.v1 import dataset_pb2, dataset_service_pb2

from services.core.datasets import Column, Correlation, Dataset
from services.gateway.messages.enums import COLUMN_KINDS, COLUMN_ROLES, TABLE_FORMATS
from services.gateway.names import dataset_name
from services.tables import Sample

__all__ = ["correlation_message", "dataset_message", "sample_message"]


def dataset_message(dataset: Dataset) -> dataset_pb2.Dataset:
    """A dataset with all its columns."""
    return dataset_pb2.Dataset(
        name=dataset_name(dataset.id),
        display_name=dataset.display_name,
        format=TABLE_FORMATS.name(dataset.format),
        size_bytes=dataset.size_bytes,
        sha256=dataset.sha256,
        row_count=dataset.row_count,
        columns=[_column_message(column) for column in dataset.columns],
        create_time=dataset.created_at,
    )


def correlation_message(correlation: Correlation) -> dataset_pb2.Correlation:
    """Correlations of the numeric columns."""
    return dataset_pb2.Correlation(
        columns=correlation.columns, values=correlation.values, row_count=correlation.row_count
    )


def _column_message(column: Column) -> dataset_pb2.Column:
    statistics = column.statistics
    return dataset_pb2.Column(
        name=column.name,
        kind=COLUMN_KINDS.name(column.kind),
        role=COLUMN_ROLES.name(column.role),
        missing_count=column.missing_count,
        statistics=None
        if statistics is None
        else dataset_pb2.ColumnStatistics(
            minimum=statistics.minimum,
            maximum=statistics.maximum,
            mean=statistics.mean,
            standard_deviation=statistics.standard_deviation,
        ),
        text_row=column.text_row,
        text_value=column.text_value,
    )


def sample_message(sample: Sample) -> dataset_service_pb2.SampleDatasetResponse:
    """Rows for plots, column by column."""
    return dataset_service_pb2.SampleDatasetResponse(
        rows=sample.rows.tolist(),
        columns=[
            dataset_service_pb2.SampledColumn(name=column.name, texts=column.cells)
            if isinstance(column.cells, list)
            else dataset_service_pb2.SampledColumn(name=column.name, numbers=column.cells.tolist())
            for column in sample.columns
        ],
        row_count=sample.row_count,
    )
