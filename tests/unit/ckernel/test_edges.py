"""Data and arguments at the edges: each has a stated outcome."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import ckernel
from tests.unit.ckernel.data import mixture

TIED = [name for name in ckernel.COVARIANCES if name.endswith("-tied")]
UNTIED = [name for name in ckernel.COVARIANCES if name.endswith("-untied")]
RULES = ckernel.ASSIGNMENTS


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_one_cluster_is_mean_and_covariance(covariance: str, rule: str) -> None:
    x = mixture(1, 200, 3)
    fit = ckernel.fit(x, 1, covariance, assignment=rule)
    assert not fit.degenerate
    assert not fit.regularized
    assert fit.converged
    assert fit.n_iter == 1
    assert (fit.labels == 0).all()
    np.testing.assert_allclose(fit.centers[0], x.mean(axis=0), rtol=1e-12)
    sample = np.cov(x.T, bias=True)
    expected = {
        "spher": np.trace(sample) / 3 * np.eye(3),
        "diag": np.diag(np.diag(sample)),
        "full": sample,
    }[covariance.split("-")[0]]
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(fit.covariances[0] / scale, expected / scale, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_as_many_clusters_as_rows_is_degenerate(covariance: str) -> None:
    x = mixture(2, 12, 2)
    fit = ckernel.fit(x, 12, covariance, n_init=2)
    assert fit.degenerate
    assert fit.regularized
    assert np.isfinite(fit.log_likelihood)
    assert np.isfinite(fit.bic)
    assert fit.counts.sum() == 12


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_one_row(covariance: str) -> None:
    fit = ckernel.fit([[1.0, 2.0]], 1, covariance)
    assert fit.degenerate
    np.testing.assert_array_equal(fit.centers, [[1.0, 2.0]])


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_one_column_knows_one_shape(covariance: str) -> None:
    """With d = 1 spher, diag and full are the same model."""
    x = mixture(3, 300, 1)
    fit = ckernel.fit(x, 3, covariance)
    twin = ckernel.fit(x, 3, covariance.replace("diag", "spher").replace("full", "spher"))
    assert not fit.degenerate
    np.testing.assert_array_equal(fit.labels, twin.labels)
    assert fit.log_likelihood == pytest.approx(twin.log_likelihood, rel=1e-12)
    assert fit.n_parameters == twin.n_parameters


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_duplicated_rows_double_the_likelihood(covariance: str) -> None:
    x = mixture(4, 200, 3)
    labels = np.arange(200) % 3
    fit = ckernel.fit(x, 3, covariance, initial_labels=labels)
    twice = ckernel.fit(np.repeat(x, 2, axis=0), 3, covariance, initial_labels=np.repeat(labels, 2))
    np.testing.assert_array_equal(twice.labels, np.repeat(fit.labels, 2))
    assert twice.log_likelihood == pytest.approx(2 * fit.log_likelihood, rel=1e-9)


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_fewer_distinct_rows_than_clusters(covariance: str) -> None:
    """Four points, each thirty times: five clusters cannot all have members, and none has spread."""
    x = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [3.0, 3.0]]), 30, axis=0)
    fit = ckernel.fit(x, 5, covariance)
    assert fit.degenerate
    assert np.isfinite(fit.log_likelihood)
    np.testing.assert_array_equal(ckernel.assign(x, fit.model), fit.labels)


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_identical_rows(covariance: str) -> None:
    fit = ckernel.fit(np.full((50, 2), 7.25), 2, covariance)
    assert fit.degenerate
    assert fit.diagnosis
    np.testing.assert_array_equal(fit.centers[0], [7.25, 7.25])


@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_constant_column(covariance: str) -> None:
    """Harmless to a spherical model; for the others the likelihood has no maximum."""
    x = mixture(5, 300, 3)
    x[:, 1] = 0.1
    fit = ckernel.fit(x, 3, covariance)
    assert fit.degenerate == (not covariance.startswith("spher"))
    if fit.degenerate:
        assert fit.diagnosis.startswith("Column 1 is constant")
        assert fit.regularized
    assert fit.centers[:, 1] == pytest.approx(0.1)
    assert np.isfinite(fit.log_likelihood)


@pytest.mark.parametrize("covariance", ["full-tied", "full-untied"])
def test_a_column_that_follows_from_others(covariance: str) -> None:
    x = mixture(6, 300, 3)
    x[:, 2] = 3 * x[:, 0] - x[:, 1]
    fit = ckernel.fit(x, 2, covariance)
    assert fit.degenerate
    assert "Column 2" in fit.diagnosis
    assert "linear combination" in fit.diagnosis
    assert not ckernel.fit(x, 2, covariance.replace("full", "diag")).degenerate


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_half_of_a_column_one_value(covariance: str, rule: str) -> None:
    """A cluster of the equal half is singular in that column: floored, reported, not degenerate."""
    x = mixture(7, 600, 3, n_components=1)
    x[:300, 2] = x[:, 2].max() + x[:, 2].std()
    labels = np.repeat([0, 1], 300)
    fit = ckernel.fit(x, 2, covariance, assignment=rule, initial_labels=labels)
    assert not fit.degenerate
    assert fit.regularized == (covariance in ("diag-untied", "full-untied"))
    if fit.regularized:
        k = fit.labels[0]
        assert (fit.labels[:300] == k).all()
        pooled = np.einsum("k,kij->ij", fit.weights, fit.covariances)
        ratio = fit.covariances[k][2, 2] / pooled[2, 2]
        assert 1e-7 < ratio < 1e-5


def test_small_clusters_are_degenerate_when_full() -> None:
    """Four points far away: fewer than d + 1 = 5 members, so no full covariance of their own."""
    rng = np.random.default_rng(0)
    x = np.vstack([rng.normal(size=(200, 4)), rng.normal(size=(4, 4)) + 50])
    labels = np.repeat([0, 1], [200, 4])
    fit = ckernel.fit(x, 2, "full-untied", initial_labels=labels)
    assert fit.degenerate
    assert fit.diagnosis == (
        "Cluster 1 ended with 4 members; a full covariance of 4 columns needs at least 5."
    )
    for covariance in ckernel.COVARIANCES[:-1]:
        assert not ckernel.fit(x, 2, covariance, initial_labels=labels).degenerate


def test_too_few_rows_for_a_tied_full_covariance() -> None:
    fit = ckernel.fit(mixture(8, 5, 4), 2, "full-tied")
    assert fit.degenerate
    assert "at least 6" in fit.diagnosis


def test_a_degenerate_start_never_wins_over_a_sound_one() -> None:
    """A tight pair makes a spike of high likelihood; a sound start must win all the same."""
    rng = np.random.default_rng(1)
    x = np.vstack([rng.normal(size=(60, 2)), [[4, 4], [4.001, 4]]])
    singles = [ckernel.fit(x, 2, n_init=1, first_start=start) for start in range(40)]
    degenerate = [fit for fit in singles if fit.degenerate]
    sound = [fit for fit in singles if not fit.degenerate]
    assert degenerate
    assert sound
    assert max(f.log_likelihood for f in degenerate) > max(f.log_likelihood for f in sound)
    whole = ckernel.fit(x, 2, n_init=40)
    assert not whole.degenerate
    assert whole.log_likelihood == max(fit.log_likelihood for fit in sound)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("covariance", ckernel.COVARIANCES)
def test_an_empty_cluster_is_seeded_anew(covariance: str, rule: str) -> None:
    """The partition leaves cluster 2 empty, though the data have three."""
    rng = np.random.default_rng(2)
    centers = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    x = np.repeat(centers, 60, axis=0) + rng.normal(size=(180, 2))
    labels = np.repeat([0, 1, 1], 60)
    fit = ckernel.fit(x, 3, covariance, assignment=rule, initial_labels=labels)
    assert (fit.counts > 0).all()
    if rule == "likelihood":
        # An untied full covariance of its own makes a small cluster worth more than the true one.
        assert list(fit.counts) == [60, 60, 60] or covariance == "full-untied"
        assert fit.log_likelihood > fit.trace[0]
        assert (np.diff(fit.trace) >= 0).all()


def test_an_outlier_far_away() -> None:
    """Floors follow the pooled covariance, so one absurd value does not wash out the rest."""
    rng = np.random.default_rng(3)
    x = np.vstack([rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + 12, [[1e5, 0]]])
    fit = ckernel.fit(x, 3, "diag-tied")
    assert not fit.regularized
    assert list(fit.counts) == [300, 300, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(value: float) -> None:
    x = mixture(9, 100, 3)
    model = ckernel.fit(x, 2).model
    x[70, 1] = value
    x[80, 0] = np.nan
    for call in (
        lambda: ckernel.fit(x, 2),
        lambda: ckernel.assign(x, model),
        lambda: ckernel.score(x, np.zeros(100, int)),
    ):
        with pytest.raises(ValueError, match=f"row 70, column 1 holds {value}"):
            call()


def test_too_large() -> None:
    x = mixture(9, 100, 3)
    x[3, 2] = -1e200
    with pytest.raises(ValueError, match=r"row 3, column 2 holds -1e\+200\. Rescale"):
        ckernel.fit(x, 2)


def test_large_and_small_units() -> None:
    x = mixture(10, 200, 2)
    x /= x.std(axis=0)
    expected = ckernel.fit(x, 3)
    for unit in (1e-100, 1e130):
        fit = ckernel.fit(x * unit, 3)
        assert not fit.degenerate
        np.testing.assert_array_equal(fit.labels, expected.labels)


def test_fewer_rows_than_clusters() -> None:
    with pytest.raises(ValueError, match=r"3 rows, 4 clusters\. Lower n_clusters"):
        ckernel.fit(np.eye(3), 4)
    with pytest.raises(ValueError, match="0 rows, 1 clusters"):
        ckernel.fit(np.empty((0, 2)), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": np.arange(4.0)}, "two dimensions.*it has 1.*reshape"),
        ({"data": np.zeros((3, 0))}, "at least one column"),
        ({"data": [["a", "b"]]}, "table of numbers"),
        ({"data": np.eye(4) * 1j}, "table of numbers"),
        ({"n_clusters": 0}, "n_clusters must be between 1 and 65535; it is 0"),
        ({"covariance": "full"}, "covariance must be one of spher-tied, .*; it is 'full'"),
        ({"assignment": "soft"}, "assignment must be one of likelihood, mahalanobis; it is 'soft'"),
        ({"n_init": 0}, "n_init must be between 1 and"),
        ({"max_iter": 0}, "max_iter must be between 1 and"),
        ({"threads": 0}, "threads must be between 1 and 256"),
        ({"seed": -1}, "seed must be between 0 and"),
        ({"first_start": -1}, "first_start must be between 0 and"),
        ({"initial_labels": [0, 1]}, r"shape \(4,\), one per row; it is \(2,\)"),
        ({"initial_labels": [0, 1, 2, 0]}, "between 0 and 1; row 2 holds 2"),
        ({"initial_labels": [0.0, 1.0, 1.0, 0.0]}, "must be integers"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ckernel.fit(**{"data": np.eye(4), "n_clusters": 2, **arguments})


def test_wrong_types() -> None:
    for wrong in (2.0, "2", True, None):
        with pytest.raises(TypeError, match="n_clusters must be an integer"):
            ckernel.fit(np.eye(4), wrong)


def test_assign_wants_the_columns_of_the_model() -> None:
    model = ckernel.fit(mixture(11, 50, 3), 2).model
    with pytest.raises(ValueError, match="the 3 columns that the model was fitted to; it has 2"):
        ckernel.assign(np.zeros((4, 2)), model)
    assert ckernel.assign(np.zeros((0, 3)), model).shape == (0,)
    broken = ckernel.Model("diag-tied", "likelihood", model.weights, model.centers, model.parameters)
    with pytest.raises(ValueError, match=r"parameters of shape\s+\(3,\)"):
        ckernel.assign(np.zeros((4, 3)), broken)


def test_score_wants_labels_with_members() -> None:
    with pytest.raises(ValueError, match=r"1 has none and 2 has\. Renumber"):
        ckernel.score(np.eye(3), [0, 2, 0])
    with pytest.raises(ValueError, match="row 1 holds -1"):
        ckernel.score(np.eye(3), [0, -1, 0])


def test_public_names() -> None:
    assert set(ckernel.__all__) == {
        name
        for name, value in vars(ckernel).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
