"""What a fit promises, whatever the data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckernel
from tests.unit.ckernel.data import covariances, first_labels, mixture, rules, seeds

# p, CL and 2 BIC of mclust (mstep and cdens on hard labels) for golden_likelihood.csv.
GOLDEN = {
    "spher-tied": (12, -2156.539346, -4381.524083),
    "spher-untied": (14, -2101.294237, -4282.441429),
    "diag-tied": (14, -2144.087439, -4368.027833),
    "diag-untied": (20, -2089.576169, -4293.227988),
    "full-tied": (17, -2044.160109, -4185.284520),
    "full-untied": (29, -1983.973727, -4133.357146),
}


@pytest.fixture(scope="module")
def golden() -> tuple[np.ndarray, np.ndarray]:
    path = Path(__file__).parent / "golden_likelihood.csv"
    table = np.genfromtxt(path, delimiter=",", skip_header=1)
    return np.ascontiguousarray(table[:, :3]), table[:, 3].astype(int)


def numbers(fit: ckernel.Fit) -> list[bytes]:
    """All that a fit says, to the last bit."""
    arrays = [fit.labels, fit.counts, fit.weights, fit.centers, fit.covariances, fit.trace]
    scalars = np.array([fit.log_likelihood, fit.bic, fit.aic, fit.n_iter, fit.converged, fit.start])
    return [array.tobytes() for array in [*arrays, scalars]]


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_golden_likelihoods(golden: tuple[np.ndarray, np.ndarray], covariance: str) -> None:
    x, labels = golden
    p, log_likelihood, twice_bic = GOLDEN[covariance]
    ours, n_parameters = ckernel.score(x, labels, covariance)
    assert n_parameters == p
    assert ours == pytest.approx(log_likelihood, abs=1e-6)
    assert 2 * ckernel.bayesian_information(ours, p, len(x)) == pytest.approx(twice_bic, abs=2e-6)


@settings(max_examples=200, deadline=None)
@given(
    seed=seeds,
    n=st.integers(5, 200),
    d=st.integers(1, 5),
    n_clusters=st.integers(1, 8),
    covariance=covariances,
    decimals=st.sampled_from([0, 1, 8]),
)
def test_likelihood_never_decreases(
    seed: int, n: int, d: int, n_clusters: int, covariance: str, decimals: int
) -> None:
    """Also where rounded data make duplicates, so that the floor acts and clusters are emptied."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(n, d)) * rng.choice([1, 3]) + rng.integers(0, 3, (n, 1)), decimals)
    n_clusters = min(n, n_clusters)
    fit = ckernel.fit(x, n_clusters, covariance, n_init=2, seed=seed)
    assert (np.diff(fit.trace) >= -1e-9 * (n + np.abs(fit.trace[1:]))).all()
    if not fit.regularized:
        assert fit.log_likelihood >= fit.trace[-1] - 1e-9 * (n + abs(fit.log_likelihood))


@settings(max_examples=200, deadline=None)
@given(
    seed=seeds,
    n=st.integers(2, 200),
    d=st.integers(1, 12),
    n_clusters=st.integers(1, 8),
    covariance=covariances,
    rule=rules,
    max_iter=st.sampled_from([1, 3, 300]),
    decimals=st.sampled_from([0, 1, 8]),
)
def test_labels_are_what_the_model_assigns(
    seed: int,
    n: int,
    d: int,
    n_clusters: int,
    covariance: str,
    rule: str,
    max_iter: int,
    decimals: int,
) -> None:
    x = np.round(mixture(seed, n, d), decimals)
    n_clusters = min(n, n_clusters)
    fit = ckernel.fit(x, n_clusters, covariance, assignment=rule, n_init=2, max_iter=max_iter, seed=seed)
    np.testing.assert_array_equal(ckernel.assign(x, fit.model), fit.labels)
    np.testing.assert_array_equal(np.bincount(fit.labels, minlength=n_clusters), fit.counts)
    # Row by row as well: a label does not depend on the rows around it.
    some = np.random.default_rng(seed).permutation(n)[: n // 2 + 1]
    np.testing.assert_array_equal(ckernel.assign(x[some], fit.model), fit.labels[some])
    assert fit.weights.sum() == pytest.approx(1)
    assert fit.degenerate == bool(fit.diagnosis)
    if not fit.degenerate and fit.converged and decimals == 8:
        assert (np.diff(fit.counts) <= 0).all()
        np.testing.assert_allclose(fit.weights, fit.counts / n)
    # CL is that of these labels under this model.
    squares = ckernel.distances(x, fit.model)
    kept = fit.counts > 0
    if not fit.regularized:
        log_det = np.linalg.slogdet(fit.covariances[kept])[1]
        expected = (fit.counts[kept] * (np.log(fit.weights[kept]) - 0.5 * log_det)).sum()
        expected -= 0.5 * (n * d * np.log(2 * np.pi) + squares.sum())
        assert fit.log_likelihood == pytest.approx(expected, rel=1e-9, abs=1e-9 * n)
        if fit.converged:
            score, n_parameters = ckernel.score(x, fit.labels, covariance)
            assert fit.log_likelihood == pytest.approx(score, rel=1e-9, abs=1e-9 * n)
            assert fit.n_parameters == n_parameters
    assert fit.bic == fit.log_likelihood - 0.5 * fit.n_parameters * np.log(n)
    assert fit.aic == fit.log_likelihood - fit.n_parameters


@pytest.mark.parametrize("rule", ckernel.ASSIGNMENTS)
@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
@pytest.mark.parametrize(("n", "d", "n_init"), [(40_000, 3, 3), (40_001, 3, 1), (17_001, 13, 1)])
def test_same_bits_for_any_number_of_threads(n: int, d: int, n_init: int, covariance: str, rule: str) -> None:
    """Threads share the starts, or where there is only one, its points."""
    x = mixture(7, n, d)
    fits = [
        ckernel.fit(x, 4, covariance, assignment=rule, n_init=n_init, max_iter=9, threads=threads)
        for threads in (1, 2, 4)
    ]
    assert numbers(fits[0]) == numbers(fits[1]) == numbers(fits[2])
    np.testing.assert_array_equal(ckernel.assign(x, fits[0].model, threads=3), fits[0].labels)


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    n=st.integers(1100, 6000),
    d=st.integers(1, 6),
    n_clusters=st.integers(2, 12),
    covariance=covariances,
    rule=rules,
)
def test_boxes_leave_out_only_clusters_that_cannot_win(
    seed: int, n: int, d: int, n_clusters: int, covariance: str, rule: str
) -> None:
    """The same start with boxes around tiles and without: the same steps and the same labels."""
    x = mixture(seed, n, d, n_components=5)
    labels = first_labels(x, n_clusters, covariance, seed)
    boxed, plain = (
        ckernel.fit(
            x,
            n_clusters,
            covariance,
            assignment=rule,
            initial_labels=labels,
            max_iter=60,
            _plain=is_plain,
        )
        for is_plain in (False, True)
    )
    if boxed.regularized or plain.regularized:
        return  # rounding, divided by the floor, may send the two apart
    assert (boxed.n_iter, boxed.converged) == (plain.n_iter, plain.converged)
    np.testing.assert_array_equal(boxed.labels, plain.labels)
    assert boxed.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-12)


def test_many_python_threads_at_once() -> None:
    tables = [mixture(seed, 700, 3) for seed in range(4)]
    tasks = [(x, k, covariance) for x in tables for k in (2, 5) for covariance in ckernel.COVARIANCES]

    def work(task: tuple[np.ndarray, int, str]) -> list[bytes]:
        return numbers(ckernel.fit(*task, n_init=3))

    alone = [work(task) for task in tasks]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, tasks))
    assert together == alone


@pytest.mark.parametrize("rule", ckernel.ASSIGNMENTS)
@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_starts_spread_over_calls_are_those_of_one_call(covariance: str, rule: str) -> None:
    x = mixture(21, 400, 2, n_components=5, spread=2)
    whole = ckernel.fit(x, 5, covariance, assignment=rule, n_init=12, seed=5)
    shards = [
        ckernel.fit(x, 5, covariance, assignment=rule, n_init=3, seed=5, first_start=first)
        for first in (9, 3, 0, 6)
    ]
    best = max(shards, key=lambda fit: (not fit.degenerate, fit.log_likelihood, -fit.start))
    assert numbers(best) == numbers(whole)


def test_the_highest_likelihood_wins() -> None:
    x = mixture(3, 300, 2, n_components=6, spread=2)
    whole = ckernel.fit(x, 6, n_init=20)
    singles = [ckernel.fit(x, 6, n_init=1, first_start=start) for start in range(20)]
    sound = [fit for fit in singles if not fit.degenerate]
    assert len({fit.log_likelihood for fit in sound}) > 1
    assert whole.log_likelihood == max(fit.log_likelihood for fit in sound)
    assert whole.start == next(fit.start for fit in sound if fit.log_likelihood == whole.log_likelihood)


def test_seeds() -> None:
    x = mixture(9, 300, 2, n_components=6, spread=2)
    sequence = np.random.SeedSequence(42)
    assert numbers(ckernel.fit(x, 5, seed=42)) == numbers(ckernel.fit(x, 5, seed=sequence))
    children = [ckernel.fit(x, 6, n_init=1, seed=child) for child in sequence.spawn(8)]
    assert len({fit.log_likelihood for fit in children}) > 1
    assert numbers(ckernel.fit(x, 5, seed=2**128 - 1)) == numbers(ckernel.fit(x, 5, seed=2**128 - 1))


def test_arrays_of_any_layout() -> None:
    x = mixture(4, 300, 3)
    expected = numbers(ckernel.fit(x, 3))
    assert numbers(ckernel.fit(np.asfortranarray(x), 3)) == expected
    assert numbers(ckernel.fit(np.repeat(x, 2, axis=1)[:, ::2], 3)) == expected
    assert numbers(ckernel.fit(x.tolist(), 3)) == expected
    x.flags.writeable = False
    assert numbers(ckernel.fit(x, 3)) == expected
    small = x.astype(np.float32)
    assert numbers(ckernel.fit(small, 3)) == numbers(ckernel.fit(small.astype(np.float64), 3))


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_covariances_expand_the_parameters(covariance: str) -> None:
    x = mixture(6, 300, 3)
    fit = ckernel.fit(x, 4, covariance)
    parameters = fit.model.parameters
    assert parameters.shape == ckernel.parameters_shape(covariance, 4, 3)
    assert fit.covariances.shape == (4, 3, 3)
    for k, s in enumerate(fit.covariances):
        own = parameters if covariance in ("diag-tied", "full-tied") else parameters[k % len(parameters)]
        expected = {"spher": own * np.eye(3), "diag": own * np.eye(3), "full": own}
        np.testing.assert_array_equal(s, expected[covariance.split("-")[0]])
        np.testing.assert_array_equal(s, s.T)


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_permuted_rows(covariance: str) -> None:
    x = mixture(13, 300, 3)
    labels = first_labels(x, 4, covariance, 1)
    order = np.random.default_rng(0).permutation(300)
    fit = ckernel.fit(x, 4, covariance, initial_labels=labels)
    permuted = ckernel.fit(x[order], 4, covariance, initial_labels=labels[order])
    np.testing.assert_array_equal(permuted.labels, fit.labels[order])
    assert permuted.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(permuted.centers, fit.centers, rtol=1e-9)


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_permuted_columns(covariance: str) -> None:
    """Seeding included: distances in the frame do not depend on the order of the columns."""
    x = mixture(14, 300, 4)
    order = [2, 0, 3, 1]
    fit = ckernel.fit(x, 4, covariance)
    permuted = ckernel.fit(x[:, order], 4, covariance)
    np.testing.assert_array_equal(permuted.labels, fit.labels)
    assert permuted.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(permuted.centers, fit.centers[:, order], rtol=1e-9)
    np.testing.assert_allclose(
        permuted.covariances, fit.covariances[:, order][:, :, order], rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize("rule", ckernel.ASSIGNMENTS)
@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_shifted_and_scaled_data(covariance: str, rule: str) -> None:
    """One unit for all columns if spherical, one for each if diagonal, any linear map if full."""
    x = mixture(15, 400, 3)
    x /= x.std(axis=0)
    shift = np.array([1e4, -3.0, 70.0])
    linear = {
        "spher": 0.01 * np.eye(3),
        "diag": np.diag([1e-3, 1.0, 1e4]),
        "full": np.array([[1e-2, 3.0, 0.0], [0.0, 20.0, -7.0], [0.5, 0.0, 1e3]]),
    }[covariance.split("-")[0]]
    fit = ckernel.fit(x, 3, covariance, assignment=rule)
    moved = ckernel.fit(x @ linear.T + shift, 3, covariance, assignment=rule)
    assert (moved.n_iter, moved.converged) == (fit.n_iter, fit.converged)
    assert moved.log_likelihood == pytest.approx(
        fit.log_likelihood - 400 * np.linalg.slogdet(linear)[1], rel=1e-9
    )
    # Canonical numbers may change with the centers, where two clusters are equally large.
    assert (np.unique(fit.counts).size, np.unique(moved.counts).size) == (3, 3)
    np.testing.assert_array_equal(moved.labels, fit.labels)
    np.testing.assert_allclose(moved.centers, fit.centers @ linear.T + shift, rtol=1e-7, atol=1e-7)
