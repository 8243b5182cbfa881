"""Datasets, job specs and task results as JSON-compatible documents, the same in every document store.

Floats keep their bits (JSON as Python writes it: shortest repr, `NaN`, `Infinity`, `-0.0`). Times are
left to the store, which has a type of its own for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.core.covariance import Assignment, Covariance
from services.core.datasets import (
    Column,
    ColumnKind,
    ColumnRole,
    ColumnStatistics,
    Correlation,
    Dataset,
    TableFormat,
)
from services.core.jobs import JobSpec
from services.core.tasks import TaskResult

__all__ = [
    "Document",
    "dataset_document",
    "read_dataset",
    "read_result",
    "read_spec",
    "result_document",
    "spec_document",
]

Document = dict[str, Any]


def dataset_document(dataset: Dataset) -> Document:
    """Everything but `created_at`."""
    return {
        "id": dataset.id,
        "owner": dataset.owner,
        "display_name": dataset.display_name,
        "format": dataset.format.value,
        "size_bytes": dataset.size_bytes,
        "sha256": dataset.sha256,
        "row_count": dataset.row_count,
        "columns": [_column_document(column) for column in dataset.columns],
        "correlation": {
            "columns": list(dataset.correlation.columns),
            "values": list(dataset.correlation.values),
            "row_count": dataset.correlation.row_count,
        },
        "request_id": dataset.request_id,
    }


def read_dataset(document: Mapping[str, Any], created_at: datetime) -> Dataset:
    """Read what `dataset_document` made; KeyError, TypeError or ValueError when it is damaged."""
    correlation = document["correlation"]
    return Dataset(
        id=document["id"],
        owner=document["owner"],
        display_name=document["display_name"],
        format=TableFormat(document["format"]),
        size_bytes=document["size_bytes"],
        sha256=document["sha256"],
        row_count=document["row_count"],
        columns=tuple(_read_column(column) for column in document["columns"]),
        correlation=Correlation(
            tuple(correlation["columns"]), tuple(correlation["values"]), correlation["row_count"]
        ),
        created_at=created_at,
        request_id=document["request_id"],
    )


def spec_document(spec: JobSpec) -> Document:
    """All of it."""
    return {
        "dataset_id": spec.dataset_id,
        "columns": list(spec.columns),
        "max_k": spec.max_k,
        "n_experiments": spec.n_experiments,
        "n_init": spec.n_init,
        "covariances": [covariance.value for covariance in spec.covariances],
        "assignment": spec.assignment.value,
        "scale": spec.scale,
        "seed": spec.seed,
        "max_iter": spec.max_iter,
    }


def read_spec(document: Mapping[str, Any]) -> JobSpec:
    """Read what `spec_document` made; KeyError, TypeError or ValueError when it is damaged."""
    return JobSpec(
        dataset_id=document["dataset_id"],
        columns=tuple(document["columns"]),
        max_k=document["max_k"],
        n_experiments=document["n_experiments"],
        n_init=document["n_init"],
        covariances=tuple(Covariance(covariance) for covariance in document["covariances"]),
        assignment=Assignment(document["assignment"]),
        scale=document["scale"],
        seed=document["seed"],
        max_iter=document["max_iter"],
    )


def result_document(result: TaskResult) -> Document:
    """All of it."""
    return {
        "log_likelihood": result.log_likelihood,
        "bic": result.bic,
        "aic": result.aic,
        "n_parameters": result.n_parameters,
        "n_iter": result.n_iter,
        "converged": result.converged,
        "regularized": result.regularized,
        "counts": list(result.counts),
        "start": result.start,
        "diagnosis": result.diagnosis,
    }


def read_result(document: Mapping[str, Any]) -> TaskResult:
    """Read what `result_document` made; KeyError, TypeError or ValueError when it is damaged."""
    return TaskResult(
        log_likelihood=document["log_likelihood"],
        bic=document["bic"],
        aic=document["aic"],
        n_parameters=document["n_parameters"],
        n_iter=document["n_iter"],
        converged=document["converged"],
        regularized=document["regularized"],
        counts=tuple(document["counts"]),
        start=document["start"],
        diagnosis=document["diagnosis"],
    )


def _column_document(column: Column) -> Document:
    statistics = column.statistics
    return {
        "name": column.name,
        "kind": column.kind.value,
        "role": column.role.value,
        "missing_count": column.missing_count,
        "statistics": statistics
        and {
            "minimum": statistics.minimum,
            "maximum": statistics.maximum,
            "mean": statistics.mean,
            "standard_deviation": statistics.standard_deviation,
        },
        "text_row": column.text_row,
        "text_value": column.text_value,
    }


def _read_column(document: Mapping[str, Any]) -> Column:
    statistics = document["statistics"]
    return Column(
        name=document["name"],
        kind=ColumnKind(document["kind"]),
        role=ColumnRole(document["role"]),
        missing_count=document["missing_count"],
        statistics=None if statistics is None else ColumnStatistics(**statistics),
        text_row=document["text_row"],
        text_value=document["text_value"],
    )
