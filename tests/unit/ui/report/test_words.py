"""What a report says in words and numbers."""

from __future__ import annotations

import math
import shlex

import numpy as np
import pytest
from kmeans.v1 import job_pb2, report_pb2, task_pb2

from services.cli.options import parse_columns
from tests.unit.ui.report.conftest import make_report
from ui.report import profiles, summary
from ui.report.ellipses import marginal, outline, squared_radius
from ui.report.repeat import command_line
from ui.report.wording import number, share


def test_ellipses_lie_where_the_distance_is_the_quantile() -> None:
    generator = np.random.default_rng(0)
    root = generator.normal(size=(4, 4))
    covariance = root @ root.T
    center = np.array([3.0, -1.0])
    part = marginal(covariance, 3, 1)
    np.testing.assert_array_equal(part, covariance[np.ix_([3, 1], [3, 1])])
    points = outline(center, part, 0.95) - center
    squared = np.einsum("ij,jk,ik->i", points, np.linalg.inv(part), points)
    np.testing.assert_allclose(squared, 5.991464547107979)
    drawn = generator.multivariate_normal([0, 0], part, size=200_000)
    inside = np.einsum("ij,jk,ik->i", drawn, np.linalg.inv(part), drawn) <= squared_radius(0.95)
    assert abs(inside.mean() - 0.95) < 0.003
    np.testing.assert_array_equal(points[0], points[-1])


def test_a_singular_covariance_gives_a_line() -> None:
    points = outline(np.zeros(2), np.array([[1.0, 1.0], [1.0, 1.0]]))
    np.testing.assert_allclose(points[:, 0], points[:, 1], atol=1e-7)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_a_share_must_be_a_share(probability: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1"):
        squared_radius(probability)


def test_differences_are_those_of_the_mean_from_the_other_rows() -> None:
    clusters = [
        task_pb2.Cluster(label=label, count=count, center=center)
        for label, count, center in ((0, 50, [0, 1]), (1, 30, [10, 1]), (2, 20, [20, 1]))
    ]
    found = profiles.differences(clusters, [5.0, 0.0])
    np.testing.assert_allclose(found[:, 0], [(0 - 14) / 5, (10 - 400 / 70) / 5, (20 - 300 / 80) / 5])
    np.testing.assert_array_equal(found[:, 1], 0)
    np.testing.assert_array_equal(profiles.differences(clusters[:1], [5.0, 1.0]), [[0, 0]])
    assert profiles.most_distinctive(found[:, ::-1], [50, 30, 20]) == [1, 0]


def test_a_cluster_is_told_by_its_largest_differences(clusters: list[task_pb2.Cluster]) -> None:
    found = np.array([[-1.0, 0.1, 0.3], [0.0, 0.0, 0.0]])
    first, second = profiles.profiles(clusters, ["a", "b", "c"], found)
    assert first.text == "Much lower a (mean 0, −1.0 sd), slightly higher c (mean 5, +0.3 sd)."
    assert (first.count, first.weight) == (60, 0.6)
    assert "differs in spread or shape" in second.text


def test_six_cards_whatever_the_job_fits() -> None:
    cards = {card.covariance: card for card in summary.cards(make_report())}
    assert list(cards)[:3] == ["full-tied", "diag-tied", "spher-tied"]
    best = cards["full-untied"]
    assert (best.k, best.is_best, best.behind, best.smallest) == (2, True, "", "40")
    assert cards["diag-tied"].note == "No fit qualifies: 3 degenerate."
    assert not cards["spher-tied"].asked


def test_the_headline_is_the_answer() -> None:
    assert summary.headline(make_report()) == "2 clusters, full-untied"
    assert summary.headline(make_report(qualifies=False)) == "No fit has clusters of at least 30 members"
    assert summary.headline(report_pb2.Report()) == "No recommendation yet"


@pytest.mark.parametrize(("max_k", "more"), [(3, 8), (10, 15), (20, 30), (40, 50), (50, 50)])
def test_more_clusters_are_tried_within_the_bound(max_k: int, more: int) -> None:
    assert summary.next_max_k(job_pb2.JobSpec(max_k=max_k)) == more


def test_the_command_repeats_the_job() -> None:
    names = ["plain", "with, comma", 'say "hi"', "it's"]
    spec = job_pb2.JobSpec(
        columns=names,
        max_k=4,
        n_experiments=2,
        n_init=3,
        covariances=[1, 4],
        assignment=2,
        scale=False,
        seed=9,
    )
    words = shlex.split(command_line(job_pb2.Job(spec=spec), "-my file.csv", 12))
    assert words[:3] == ["kmeans-service", "fit", "./-my file.csv"]
    options = dict(zip(words[3::2], words[4::2], strict=False))
    assert parse_columns(options["--columns"]) == tuple(names)
    assert options["--covariances"] == "full-untied,diag-tied"
    assert "--no-scale" in words
    assert words[-4:] == ["--min-members", "12", "--seed", "9"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (70.6712, "70.67"),
        (-1234.5, "−1,234"),
        (0.00123456, "0.001235"),
        (12_345_678, "1.235e+07"),
        (5.0, "5"),
        (math.nan, "–"),
    ],
)
def test_numbers_have_four_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_shares_are_percents() -> None:
    assert (share(0.614), share(0.0123)) == ("61 %", "1.2 %")
