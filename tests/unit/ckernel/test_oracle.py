"""The kernel against plain NumPy, from the same partitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import ckernel
from ckernel import _core
from tests.unit.ckernel import oracle
from tests.unit.ckernel.data import covariances, first_labels, mixture, rules, seeds

TOLERANCE = 1e-9


def assert_close(actual: np.ndarray, expected: np.ndarray, scale: np.ndarray | float) -> None:
    """Equal to TOLERANCE of the size of what is compared."""
    assert np.abs((actual - expected) / scale).max() <= TOLERANCE


def assert_same_fit(fit: ckernel.Fit, x: np.ndarray, expected: oracle.Run) -> None:
    labels, estimate = oracle.canonical(expected.labels, expected.estimate)
    scale = x.std(axis=0)
    assert fit.log_likelihood == pytest.approx(estimate.log_likelihood, rel=TOLERANCE)
    np.testing.assert_array_equal(fit.labels, labels)
    assert_close(fit.weights, estimate.weights, 1)
    assert_close(fit.centers, estimate.centers, scale)
    if fit.model.covariance.startswith("spher"):
        scale = np.full_like(scale, np.sqrt(x.var(axis=0).mean()))
    assert_close(fit.covariances, estimate.covariances, np.outer(scale, scale))


@settings(max_examples=150, deadline=None)
@given(
    seed=seeds,
    n=st.integers(20, 150),
    d=st.integers(1, 12),
    n_clusters=st.integers(1, 5),
    covariance=covariances,
    rule=rules,
)
def test_one_start_agrees(seed: int, n: int, d: int, n_clusters: int, covariance: str, rule: str) -> None:
    assume(n >= 4 * n_clusters + 2 * d)
    x = mixture(seed, n, d)
    labels = first_labels(x, n_clusters, covariance, seed)
    try:
        expected = oracle.run(x, labels, n_clusters, covariance, rule)
    except oracle.EmptiedError:
        assume(False)
    assume(expected.converged)
    fit = ckernel.fit(x, n_clusters, covariance, assignment=rule, initial_labels=labels)
    assert fit.converged
    assert fit.n_iter == expected.n_iter
    assert fit.regularized == expected.estimate.regularized
    assert_close(fit.trace, np.array(expected.trace), abs(fit.log_likelihood) + n)
    assert_same_fit(fit, x, expected)


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 17, 33, 70])
def test_every_dimension_agrees(d: int, covariance: str) -> None:
    """Each d has loops of its own in the tile kernels, up to 8 and by remainders above."""
    n = 40 * d + 130
    x = mixture(d, n, d, far=3.0)
    labels = first_labels(x, 3, covariance, d)
    expected = oracle.run(x, labels, 3, covariance, "likelihood")
    fit = ckernel.fit(x, 3, covariance, initial_labels=labels)
    assert expected.converged
    assert_same_fit(fit, x, expected)
    np.testing.assert_allclose(
        ckernel.distances(x, fit.model),
        oracle.squared_distances(x, fit.centers, fit.covariances)[np.arange(n), fit.labels],
        rtol=1e-7,
        atol=1e-9,
    )


def within(x: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Rows (n, d) less the center of their cluster, in units of the columns' standard deviations."""
    centers = np.array([x[labels == k].mean(axis=0) for k in range(n_clusters)])
    rows: np.ndarray = (x - centers[labels]) / x.std(axis=0)
    return rows


@settings(max_examples=150, deadline=None)
@given(seed=seeds, n=st.integers(8, 80), d=st.integers(1, 6), covariance=covariances, data=st.data())
def test_score_agrees_on_any_labels(seed: int, n: int, d: int, covariance: str, data: st.DataObject) -> None:
    """Also on labels that give singular covariances: then the floor acts, here and there alike."""
    x = mixture(seed, n, d)
    n_clusters = data.draw(st.integers(1, min(n, 6)))
    labels = np.array(data.draw(st.lists(st.integers(0, n_clusters - 1), min_size=n, max_size=n)))
    labels[:n_clusters] = np.arange(n_clusters)
    if data.draw(st.booleans(), label="half of a column one value"):
        x[n // 2 :, 0] = x[0, 0]
    assume((np.linalg.eigvalsh(np.corrcoef(x.T).reshape(d, d)) > 1e-2).all())
    # With a singular pooled covariance two floors multiply, and rounding errors are all that they scale.
    assume(np.linalg.matrix_rank(within(x, labels, n_clusters), tol=1e-3) == d)
    expected = oracle.Estimator(x, n_clusters, covariance)(labels)
    log_likelihood, n_parameters = ckernel.score(x, labels, covariance)
    assert n_parameters == ckernel.count_parameters(covariance, n_clusters, d)
    # Where the floor acts, the oracle divides rounding errors of its own by the floor.
    slack = 1e-7 * n if expected.regularized else 1e-9 * n
    assert log_likelihood == pytest.approx(expected.log_likelihood, rel=TOLERANCE, abs=slack)


@pytest.mark.parametrize("covariance", ["spher-untied", "diag-untied", "full-untied"])
def test_fit_agrees_while_the_floor_acts(covariance: str) -> None:
    x = mixture(5, 300, 3)
    x[:150, 1] = x[0, 1]
    x[:150, 0] += 20 * x[:, 0].std()
    labels = np.repeat([0, 1, 2], 100)
    expected = oracle.run(x, labels, 3, covariance, "likelihood")
    fit = ckernel.fit(x, 3, covariance, initial_labels=labels)
    assert fit.regularized == expected.estimate.regularized == (covariance != "spher-untied")
    assert_same_fit(fit, x, expected)


def test_classic_rule_stops_at_a_cycle_with_its_best_iterate() -> None:
    """A start that the plain rule never ends: found by trying seeds, kept as a regression."""
    for seed in range(60):
        x = mixture(seed, 100, 2, spread=1.5)
        labels = first_labels(x, 4, "spher-untied", seed)
        try:
            expected = oracle.run(x, labels, 4, "spher-untied", "mahalanobis", max_iter=500)
        except oracle.EmptiedError:
            continue
        if not expected.converged and expected.n_iter < 200 and not expected.estimate.regularized:
            break
    else:
        pytest.fail("no seed gave a cycle; choose others")
    fit = ckernel.fit(x, 4, "spher-untied", assignment="mahalanobis", max_iter=1000, initial_labels=labels)
    assert not fit.converged
    assert fit.n_iter < 1000
    assert fit.trace.max() == pytest.approx(max(expected.trace), rel=TOLERANCE)
    # The stored model is that of the best iterate; the labels are what it assigns.
    _, best = oracle.canonical(expected.labels, expected.estimate)
    assert sorted(fit.weights) == pytest.approx(sorted(best.weights), rel=TOLERANCE)
    np.testing.assert_array_equal(fit.labels, ckernel.assign(x, fit.model))


@pytest.mark.parametrize("rule", ckernel.ASSIGNMENTS)
@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_assign_is_the_cheapest_cluster(covariance: str, rule: str) -> None:
    x = mixture(11, 500, 3)
    fit = ckernel.fit(x, 4, covariance, assignment=rule, n_init=3)
    estimate = oracle.Estimate(fit.weights, fit.centers, fit.covariances, 0, False)
    fresh = mixture(12, 333, 3)
    np.testing.assert_array_equal(
        ckernel.assign(fresh, fit.model), oracle.costs(fresh, estimate, rule).argmin(axis=1)
    )


def test_seeding_spreads_with_the_squared_distance() -> None:
    """k-means++ in one dimension: the second center is drawn in proportion to the squared distance."""
    x = np.array([[0.0], [1.0], [3.0]])
    second = np.zeros((3, 3))
    for start in range(6000):
        labels = first_labels(x, 2, "spher-tied", 1, start)
        # The partition tells the pair of centers: {0,1}, {0,3} or {1,3}.
        second[int(labels[1] == labels[0]), int(labels[2] == labels[1])] += 1
    # P(pair a,b) = (1/3) [ab^2 / (sum of squares from a) + ab^2 / (sum from b)].
    pair_01 = (1 / 10 + 1 / 5) / 3
    pair_13 = (4 / 5 + 4 / 13) / 3
    pair_03 = (9 / 10 + 9 / 13) / 3
    assert second[0, 1] / 6000 == pytest.approx(pair_01, abs=0.02)  # 3 joins 1
    assert second[1, 0] / 6000 == pytest.approx(pair_13 + pair_03, abs=0.02)  # 0 and 1 together


def test_instruction_sets_agree() -> None:
    x = mixture(3, 2000, 5)
    y = mixture(3, 400, 19)
    names = [_core.instruction_set_name(code) for code in range(3)]
    assert names[0] == "baseline"
    for covariance in ckernel.COVARIANCES:
        for table in (x, y):
            fits = [
                ckernel.fit(table, 4, covariance, n_init=3, _instruction_set=code)
                for code in range(3)
                if names[code] is not None
            ]
            for other in fits[1:]:
                assert other.log_likelihood == pytest.approx(fits[0].log_likelihood, rel=TOLERANCE)
                np.testing.assert_array_equal(other.labels, fits[0].labels)
