"""Models as ONNX: what has no numbers there is refused; chunks are the file."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from services.core.covariance import Assignment, Covariance
from services.core.errors import FailedPrecondition
from services.core.models import FittedModel
from services.core.tasks import TaskKey
from services.gateway.onnx_models import write_onnx

KEY = TaskKey("a1", 0, 2, Covariance.SPHER_UNTIED)


def model(weights: tuple[float, float] = (0.5, 0.5), spread: float = 1.0) -> FittedModel:
    return FittedModel(
        covariance=Covariance.SPHER_UNTIED,
        assignment=Assignment.LIKELIHOOD,
        columns=("a", "b"),
        offset=np.zeros(2),
        scale=np.ones(2),
        weights=np.array(weights),
        centers=np.array([[0.0, 0.0], [4.0, 0.0]]),
        parameters=np.array([1.0, spread]),
    )


def test_chunks_are_one_file() -> None:
    (whole,) = write_onnx(KEY, model(), 1 << 20)
    parts = list(write_onnx(KEY, model(), 100))
    assert {len(part) for part in parts[:-1]} == {100}
    assert b"".join(parts) == whole
    onnx.checker.check_model(onnx.load_model_from_string(whole), full_check=True)


@pytest.mark.parametrize("without", [model(weights=(1.0, 0.0)), model(spread=0.0)], ids=["members", "spread"])
def test_a_cluster_without_members_or_spread_is_refused(without: FittedModel) -> None:
    with pytest.raises(FailedPrecondition, match="Export it as JSON") as refused:
        list(write_onnx(KEY, without, 1 << 20))
    assert refused.value.reason == "MODEL_NOT_EXPORTABLE"
