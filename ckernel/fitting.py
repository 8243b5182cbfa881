"""Fit, assign and score: arguments are validated here, the work is done in C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ckernel import _core
from ckernel.model import (
    ASSIGNMENTS,
    COVARIANCES,
    Assignment,
    Counts,
    Covariance,
    Fit,
    Floats,
    Labels,
    Model,
    akaike_information,
    bayesian_information,
    count_parameters,
    parameters_shape,
)

# Labels take two bytes inside the kernel.
MAX_CLUSTERS = 65535
MAX_STARTS = 1_000_000
MAX_ITERATIONS = 1_000_000
MAX_THREADS = 256
# Squares of larger values would not be finite, nor would sums of squares over many rows.
MAX_MAGNITUDE = 1e140
BEST_INSTRUCTION_SET = -1


def _table(data: npt.ArrayLike) -> Floats:
    """Return `data` as a finite C-contiguous (n, d) float64 array, without a copy if it is one."""
    if np.iscomplexobj(data):
        raise ValueError("data must be a table of numbers: it holds complex ones.")
    try:
        table: Floats = np.ascontiguousarray(data, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"data must be a table of numbers: {error}.") from error
    if np.ndim(data) != 2:
        raise ValueError(
            f"data must have two dimensions, rows and columns; it has {np.ndim(data)}. "
            "Reshape one column with data.reshape(-1, 1)."
        )
    if table.shape[1] == 0:
        raise ValueError("data must have at least one column; it has none.")
    found = _core.find_beyond(table, MAX_MAGNITUDE)
    if found >= 0:
        row, column = divmod(found, table.shape[1])
        value = table[row, column]
        if np.isfinite(value):
            raise ValueError(
                f"data must lie within ±{MAX_MAGNITUDE:g}: row {row}, column {column} holds {value}. "
                "Rescale the column."
            )
        raise ValueError(
            f"data must be finite: row {row}, column {column} holds {value}. "
            "Remove the row or fill the value in."
        )
    return table


def _name(value: str, names: Sequence[str], what: str) -> int:
    if value not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}; it is {value!r}.")
    return names.index(value)


def _integer(value: int, what: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what} must be an integer; it is {value!r}.")
    if not low <= value <= high:
        raise ValueError(f"{what} must be between {low} and {high}; it is {value}.")
    return int(value)


def _key(seed: int | np.random.SeedSequence) -> npt.NDArray[np.uint64]:
    """128 bits from which the stream of each start follows."""
    if not isinstance(seed, np.random.SeedSequence):
        seed = np.random.SeedSequence(_integer(seed, "seed", 0, 2**128 - 1))
    return np.asarray(seed.generate_state(2, np.uint64), dtype=np.uint64)


def _partition(labels: npt.ArrayLike, n: int, n_clusters: int | None) -> Labels:
    """Return labels as (n,) int32, each in 0 .. K-1."""
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(f"labels must have the shape ({n},), one per row; it is {array.shape}.")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels must be integers; their type is {array.dtype}.")
    high = MAX_CLUSTERS if n_clusters is None else n_clusters
    wrong = np.flatnonzero((array < 0) | (array >= high))
    if wrong.size:
        raise ValueError(f"labels must be between 0 and {high - 1}; row {wrong[0]} holds {array[wrong[0]]}.")
    return np.ascontiguousarray(array, dtype=np.int32)


def _diagnose(code: int, culprit: int, counts: Counts, d: int, covariance: Covariance) -> str:
    """Return the sentence for the kernel's `enum diagnosis`; empty for a sound fit."""
    n, n_clusters = int(counts.sum()), counts.size
    if code == 0:
        return ""
    if code == 1 and covariance.startswith("spher"):
        return "All rows are the same point."
    if code == 1:
        alone = (
            "is constant"
            if covariance.startswith("diag")
            else ("is constant or a linear combination of the columns before it")
        )
        return f"Column {culprit} {alone}, so the {covariance} likelihood has no maximum."
    if code == 2:
        return f"Cluster {culprit} ended without members."
    if code == 3:
        return (
            f"Cluster {culprit} ended with {counts[culprit]} members; a full covariance of {d} "
            f"columns needs at least {d + 1}."
        )
    if code == 4:
        return (
            f"{n} rows are too few for a full covariance of {d} columns around {n_clusters} centers; "
            f"it needs at least {n_clusters + d}."
        )
    if covariance.endswith("-tied"):
        return "The members of every cluster coincide with its center."
    return f"The {counts[culprit]} members of cluster {culprit} coincide."


def fit(
    data: npt.ArrayLike,
    n_clusters: int,
    covariance: Covariance = "full-untied",
    *,
    assignment: Assignment = "likelihood",
    n_init: int = 10,
    max_iter: int = 300,
    seed: int | np.random.SeedSequence = 0,
    threads: int = 1,
    first_start: int = 0,
    initial_labels: npt.ArrayLike | None = None,
    _instruction_set: int = BEST_INSTRUCTION_SET,
    _plain: bool = False,
) -> Fit:
    """Fit K-means with Mahalanobis distance and return the best of `n_init` starts.

    Under `likelihood` this is classification EM (Celeux & Govaert 1992): CL never decreases from one
    iteration to the next. `mahalanobis` is the classic rule; it may cycle when the covariances are
    untied, and a start that does not reach a fixed point gives its best iterate.

    Args:
        data: (n, d) finite numbers; a C-contiguous float64 array is not copied.
        n_clusters: K, from 1 to n.
        covariance: one of the six covariance models.
        assignment: `likelihood` or `mahalanobis`.
        n_init: number of starts; a sound one with the highest CL wins, the earlier one on ties.
        max_iter: assignment passes per start, at most.
        seed: from 0 to 2**128 - 1, or a SeedSequence. Start i draws from a stream that depends on
            (seed, i) alone.
        threads: at most so many are used; the result has the same bits for any number.
        first_start: index of the first start, so that starts can be spread over several calls.
        initial_labels: (n,) partition from which the one start begins, in place of k-means++.

    Raises:
        ValueError: a name, shape or bound is wrong, or a value of `data` is not finite.
        TypeError: a number is not an integer.
    """
    table = _table(data)
    n, d = table.shape
    covariance_code = _name(covariance, COVARIANCES, "covariance")
    assignment_code = _name(assignment, ASSIGNMENTS, "assignment")
    n_clusters = _integer(n_clusters, "n_clusters", 1, MAX_CLUSTERS)
    if n < n_clusters:
        raise ValueError(
            f"data must have at least as many rows as clusters: {n} rows, {n_clusters} clusters. "
            "Lower n_clusters."
        )
    n_init = _integer(n_init, "n_init", 1, MAX_STARTS)
    partition = None
    if initial_labels is not None:
        partition = _partition(initial_labels, n, n_clusters)
        n_init = 1
    result = _core.fit_starts(
        table,
        n_clusters,
        covariance_code,
        assignment_code,
        n_init,
        _integer(max_iter, "max_iter", 1, MAX_ITERATIONS),
        _key(seed),
        _integer(threads, "threads", 1, MAX_THREADS),
        _integer(first_start, "first_start", 0, 2**63 - 1),
        partition,
        _instruction_set,
        _plain,
    )
    model = Model(covariance, assignment, result["weights"], result["centers"], result["parameters"])
    counts = result["counts"]
    diagnosis = _diagnose(result["diagnosis"], result["culprit"], counts, d, covariance)
    log_likelihood = result["log_likelihood"]
    n_parameters = count_parameters(covariance, n_clusters, d)
    return Fit(
        model=model,
        labels=result["labels"],
        counts=counts,
        log_likelihood=log_likelihood,
        bic=bayesian_information(log_likelihood, n_parameters, n),
        aic=akaike_information(log_likelihood, n_parameters),
        n_parameters=n_parameters,
        n_iter=result["n_iter"],
        converged=result["converged"],
        regularized=result["regularized"],
        degenerate=bool(diagnosis),
        diagnosis=diagnosis,
        start=result["start"],
        trace=result["trace"],
    )


def _labelled(
    data: npt.ArrayLike, model: Model, threads: int, with_squares: bool, instruction_set: int
) -> tuple[Labels, Floats | None]:
    table = _table(data)
    n_clusters, d = model.centers.shape
    if table.shape[1] != d:
        raise ValueError(
            f"data must have the {d} columns that the model was fitted to; it has {table.shape[1]}."
        )
    expected = parameters_shape(model.covariance, n_clusters, d)
    if model.parameters.shape != expected or model.weights.shape != (n_clusters,):
        raise ValueError(
            f"the model must have weights of shape ({n_clusters},) and parameters of shape "
            f"{expected}; they are {model.weights.shape} and {model.parameters.shape}."
        )
    shape, sharing = model.covariance.split("-")
    spreads = 1 if sharing == "tied" else n_clusters
    parameters = np.ascontiguousarray(model.parameters, dtype=np.float64)
    return _core.label_rows(
        table,
        COVARIANCES.index(model.covariance),
        ASSIGNMENTS.index(model.assignment),
        np.ascontiguousarray(model.weights, dtype=np.float64),
        np.ascontiguousarray(model.centers, dtype=np.float64),
        parameters.reshape(spreads, d if shape == "full" else 1, 1 if shape == "spher" else d),
        _integer(threads, "threads", 1, MAX_THREADS),
        instruction_set,
        with_squares,
    )


def assign(
    data: npt.ArrayLike,
    model: Model,
    *,
    threads: int = 1,
    _instruction_set: int = BEST_INSTRUCTION_SET,
) -> Labels:
    """Label each row under a model, (n,) int32.

    A row's label depends on that row and the model alone; for the data of a fit and its model the labels
    are those of the fit, to the last bit.

    Raises:
        ValueError: the columns are not the model's, or a value is not finite.
    """
    return _labelled(data, model, threads, False, _instruction_set)[0]


def distances(data: npt.ArrayLike, model: Model, *, threads: int = 1) -> Floats:
    """Squared Mahalanobis distance (n,) of each row to the center that `assign` gives it to.

    Raises:
        ValueError: as `assign`.
    """
    squares = _labelled(data, model, threads, True, BEST_INSTRUCTION_SET)[1]
    assert squares is not None
    return squares


def assign_with_distances(data: npt.ArrayLike, model: Model, *, threads: int = 1) -> tuple[Labels, Floats]:
    """What `assign` and `distances` return, (n,) int32 and (n,), in one pass.

    Raises:
        ValueError: as `assign`.
    """
    labels, squares = _labelled(data, model, threads, True, BEST_INSTRUCTION_SET)
    assert squares is not None
    return labels, squares


def score(
    data: npt.ArrayLike, labels: npt.ArrayLike, covariance: Covariance = "full-untied"
) -> tuple[float, int]:
    """Classification log-likelihood CL of hard labels, and the number of free parameters p.

    The model is the one that maximises CL for these labels, with the same floor as in a fit.

    Args:
        data: (n, d) finite numbers.
        labels: (n,) integers 0 .. K-1; each has members.
        covariance: one of the six covariance models.

    Raises:
        ValueError: a name or shape is wrong, a label is out of range or has no members.
    """
    table = _table(data)
    n, d = table.shape
    if n == 0:
        raise ValueError("data must have at least one row; it has none.")
    covariance_code = _name(covariance, COVARIANCES, "covariance")
    partition = _partition(labels, n, None)
    counts = np.bincount(partition)
    missing = np.flatnonzero(counts == 0)
    if missing.size:
        raise ValueError(
            f"labels must be 0 .. K-1, each with members: {missing[0]} has none and "
            f"{counts.size - 1} has. Renumber them."
        )
    log_likelihood = _core.score_partition(table, partition, counts.size, covariance_code)
    return log_likelihood, count_parameters(covariance, int(counts.size), d)
