from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.covariance import Assignment, Covariance
from services.core.errors import DataLoss
from services.core.models import FittedModel

SHAPES = {
    Covariance.SPHER_TIED: lambda k, d: (1,),
    Covariance.SPHER_UNTIED: lambda k, d: (k,),
    Covariance.DIAG_TIED: lambda k, d: (d,),
    Covariance.DIAG_UNTIED: lambda k, d: (k, d),
    Covariance.FULL_TIED: lambda k, d: (d, d),
    Covariance.FULL_UNTIED: lambda k, d: (k, d, d),
}


def model(covariance: Covariance, k: int, d: int, seed: int = 0) -> FittedModel:
    # Any 64 bits at all, so that subnormal numbers, infinities, -0.0 and payloads of NaN are among them.
    bits = np.random.default_rng(seed)

    def floats(*shape: int) -> np.ndarray:
        return bits.integers(0, 2**64, size=shape, dtype=np.uint64).view(np.float64)

    return FittedModel(
        covariance,
        Assignment.MAHALANOBIS,
        tuple(f"Spalte ä{index}" for index in range(d)),
        floats(d),
        floats(d),
        floats(k),
        floats(k, d),
        floats(*SHAPES[covariance](k, d)),
    )


def bits(array: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return array.shape, array.tobytes()


@given(st.sampled_from(list(Covariance)), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32))
def test_model_comes_back_to_the_last_bit(covariance: Covariance, k: int, d: int, seed: int) -> None:
    written = model(covariance, k, d, seed)
    read = FittedModel.from_bytes(written.to_bytes())
    assert (read.covariance, read.assignment, read.columns) == (
        written.covariance,
        written.assignment,
        written.columns,
    )
    for name in ("offset", "scale", "weights", "centers", "parameters"):
        assert bits(getattr(read, name)) == bits(getattr(written, name))
        assert getattr(read, name).dtype == np.float64
    assert read.to_bytes() == written.to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"KMM",
        b"KMM1",
        b"KMM1\xff\xff\xff\xff",
        b"KMM2" + bytes(20),
        b"KMM1\x02\x00\x00\x00{}",
        bytes(100),
    ],
)
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(DataLoss, match="cannot be read") as caught:
        FittedModel.from_bytes(data)
    assert caught.value.reason == "MODEL_DAMAGED"


def test_model_cut_anywhere_is_refused() -> None:
    whole = model(Covariance.FULL_UNTIED, 2, 3).to_bytes()
    for length in range(len(whole)):
        with pytest.raises(DataLoss):
            FittedModel.from_bytes(whole[:length])


def test_model_with_something_behind_it_is_refused() -> None:
    with pytest.raises(DataLoss):
        FittedModel.from_bytes(model(Covariance.FULL_UNTIED, 2, 3).to_bytes() + b"\0")


@pytest.mark.parametrize("shape", [[-1], [99], [1], [[]], ["2"], 3, None])
def test_model_whose_header_says_another_shape_is_refused(shape: object) -> None:
    whole = model(Covariance.SPHER_TIED, 2, 3).to_bytes()
    (length,) = struct.unpack_from("<I", whole, 4)
    header = json.loads(whole[8 : 8 + length])
    header["shapes"][2] = shape
    changed = json.dumps(header).encode()
    with pytest.raises(DataLoss):
        FittedModel.from_bytes(b"KMM1" + struct.pack("<I", len(changed)) + changed + whole[8 + length :])


@given(st.sampled_from(list(Covariance)), st.integers(1, 5), st.integers(1, 5))
def test_covariances_one_by_one_are_those_of_all(covariance: Covariance, k: int, d: int) -> None:
    """Against the definition of the six models: a parameter of each cluster or of all, times the identity."""
    generator = np.random.default_rng(k * d)
    parameters = generator.uniform(1, 2, size=SHAPES[covariance](k, d))
    made = FittedModel(
        covariance,
        Assignment.LIKELIHOOD,
        tuple(f"c{index}" for index in range(d)),
        np.zeros(d),
        generator.uniform(1, 2, size=d),
        np.full(k, 1 / k),
        generator.normal(size=(k, d)),
        parameters,
    )
    for cluster in range(k):
        for row in range(d):
            for column in range(d):
                match covariance:
                    case Covariance.FULL_UNTIED:
                        wanted = parameters[cluster, row, column]
                    case Covariance.FULL_TIED:
                        wanted = parameters[row, column]
                    case Covariance.DIAG_UNTIED:
                        wanted = parameters[cluster, row] * (row == column)
                    case Covariance.DIAG_TIED:
                        wanted = parameters[row] * (row == column)
                    case Covariance.SPHER_UNTIED:
                        wanted = parameters[cluster] * (row == column)
                    case Covariance.SPHER_TIED:
                        wanted = parameters[0] * (row == column)
                assert made.covariances[cluster, row, column] == wanted
                assert made.covariance_of(cluster)[row, column] == wanted
                assert made.original_covariances()[cluster, row, column] == wanted * (
                    made.scale[row] * made.scale[column]
                )
