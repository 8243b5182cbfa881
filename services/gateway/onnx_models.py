"""Models as ONNX graphs: rows in original units in, labels and squared distances out, all in float64.

The graph does what the kernel does: scale the rows, whiten their steps to each center by the Cholesky
factor of the cluster's precision, add up the squares, and choose by the assignment rule. A runtime may sum
in another order than the kernel, so distances agree up to rounding, and labels wherever the two best
clusters are further apart than that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.covariance import Assignment
from services.core.errors import FailedPrecondition
from services.core.models import FittedModel
from services.core.tasks import TaskKey
from services.gateway.names import task_name

__all__ = ["write_onnx"]

# The oldest operator set with everything in use here; runtimes since ONNX 1.13 (2022) know it.
_OPERATOR_SET = 18
_IR_VERSION = 8


def write_onnx(key: TaskKey, model: FittedModel, chunk_bytes: int) -> Iterator[bytes]:
    """The file, made at once, in chunks; only the last is smaller than `chunk_bytes`.

    Input `rows` (m, d) float64, in the model's columns. Outputs `label` (m,) int64, -1 for a row with a
    missing value (NaN), and `squared_distance` (m,) float64 to the label's center, NaN for such a row.

    Raises:
        FailedPrecondition: a cluster has no members or no spread (`MODEL_NOT_EXPORTABLE`).
    """
    content: bytes = _graph(key, model).SerializeToString()
    return (content[start : start + chunk_bytes] for start in range(0, len(content), chunk_bytes))


def _graph(key: TaskKey, model: FittedModel) -> Any:
    # Imported late: only this needs it, and it takes a while.
    from onnx import TensorProto, checker, helper, numpy_helper

    whitening, penalty = _whitening(key, model)
    k, d = model.centers.shape
    constants = {
        "offset": model.offset,
        "scale": model.scale,
        "centers": model.centers[:, np.newaxis, :],
        "whitening": whitening,
        "penalty": penalty[:, np.newaxis],
        "clusters": np.arange(k, dtype=np.int64)[:, np.newaxis],
        "missing_label": np.array(-1, dtype=np.int64),
        "missing_distance": np.array(np.nan),
        "zero": np.array(0.0),
        "last": np.array([-1], dtype=np.int64),
        "first": np.array([0], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Sub", ["rows", "offset"], ["moved"]),
        helper.make_node("Div", ["moved", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "centers"], ["steps"]),  # (k, m, d)
        helper.make_node("MatMul", ["steps", "whitening"], ["whitened"]),
        helper.make_node("ReduceSumSquare", ["whitened", "last"], ["distances"], keepdims=0),  # (k, m)
        helper.make_node("Add", ["distances", "penalty"], ["costs"]),
        helper.make_node("ArgMin", ["costs"], ["chosen"], axis=0, keepdims=0),  # (m,)
        helper.make_node("Equal", ["clusters", "chosen"], ["is_chosen"]),
        helper.make_node("Where", ["is_chosen", "distances", "zero"], ["distance_if_chosen"]),
        helper.make_node("ReduceSum", ["distance_if_chosen", "first"], ["distance"], keepdims=0),
        helper.make_node("ReduceSum", ["rows", "last"], ["row_sums"], keepdims=0),
        helper.make_node("IsNaN", ["row_sums"], ["is_missing"]),
        helper.make_node("Where", ["is_missing", "missing_label", "chosen"], ["label"]),
        helper.make_node("Where", ["is_missing", "missing_distance", "distance"], ["squared_distance"]),
    ]
    graph = helper.make_graph(
        nodes,
        "kmeans_mahalanobis",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, ["m", d])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["m"]),
            helper.make_tensor_value_info("squared_distance", TensorProto.DOUBLE, ["m"]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    written = helper.make_model(
        graph,
        producer_name="kmeans-service",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPERATOR_SET)],
    )
    helper.set_model_props(
        written,
        {
            "task": task_name(key),
            "columns": json.dumps(model.columns, ensure_ascii=False),
            "covariance": model.covariance.value,
            "assignment": model.assignment.value,
        },
    )
    checker.check_model(written)
    return written


def _whitening(key: TaskKey, model: FittedModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per cluster W (k, d, d) with W Wᵀ = Σ⁻¹, and what the rule adds to a squared distance (k,)."""
    try:
        if not np.all(model.weights > 0):
            raise np.linalg.LinAlgError
        factors = np.linalg.cholesky(model.covariances)
        whitening = np.linalg.inv(factors).transpose(0, 2, 1)
    except np.linalg.LinAlgError as error:
        name = task_name(key)
        raise FailedPrecondition(
            f"Task '{name}' has a cluster without members or without spread, which ONNX has no numbers for. "
            "Export it as JSON, or choose a task that is DONE.",
            "MODEL_NOT_EXPORTABLE",
            {"task": name},
        ) from error
    if model.assignment is Assignment.MAHALANOBIS:
        return whitening, np.zeros(len(factors))
    log_determinants = 2.0 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    return whitening, log_determinants - 2.0 * np.log(model.weights)
