from typing import TypedDict

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_Labels = npt.NDArray[np.int32]
_Key = npt.NDArray[np.uint64]

class _Result(TypedDict):
    labels: _Labels
    counts: npt.NDArray[np.int64]
    weights: _Floats
    centers: _Floats
    parameters: _Floats
    trace: _Floats
    log_likelihood: float
    seconds: float
    start: int
    n_iter: int
    converged: bool
    regularized: bool
    diagnosis: int
    culprit: int

def fit_starts(
    data: _Floats,
    n_clusters: int,
    covariance: int,
    assignment: int,
    n_init: int,
    max_iter: int,
    key: _Key,
    threads: int,
    first_start: int,
    initial_labels: _Labels | None,
    instruction_set: int,
    plain: bool,
) -> _Result: ...
def first_labels(data: _Floats, n_clusters: int, covariance: int, key: _Key, start: int) -> _Labels: ...
def score_partition(data: _Floats, labels: _Labels, n_clusters: int, covariance: int) -> float: ...
def label_rows(
    data: _Floats,
    covariance: int,
    assignment: int,
    weights: _Floats,
    centers: _Floats,
    parameters: _Floats,
    threads: int,
    instruction_set: int,
    with_squares: bool,
) -> tuple[_Labels, _Floats | None]: ...
def assignment_seconds(
    data: _Floats,
    n_clusters: int,
    covariance: int,
    assignment: int,
    max_iter: int,
    threads: int,
    passes: int,
    instruction_set: int,
    plain: bool,
) -> _Floats: ...
def multiply_adds(instruction_set: int, rounds: int) -> int: ...
def find_beyond(data: _Floats, limit: float) -> int: ...
def instruction_set_name(instruction_set: int) -> str | None: ...
