"""What a report says in words and numbers."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator

import numpy as np
import pytest
from kmeans.v1 import job_pb2, report_pb2, task_pb2

from services.cli.options import parse_columns
from tests.unit.ui.report.conftest import make_report, recommendation
from ui.report import agreement, profiles, summary
from ui.report.ellipses import marginal, outline, squared_radius
from ui.report.notes import warning_words
from ui.report.repeat import command_line
from ui.report.sample import Sample, drawn_sentence
from ui.report.wording import name_angle, name_height, number, share, squeezed


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
    assert cards["diag-tied"].note == (
        "No task of this model counts: 3 have a cluster of fewer than 30 rows."
    )
    assert not cards["spher-tied"].asked


def test_a_warning_of_one_row_is_in_the_singular() -> None:
    assert warning_words("1 of 1,600 rows were left out.") == "1 of 1,600 rows was left out."
    assert warning_words("11 of 600 rows were left out.") == "11 of 600 rows were left out."


def test_a_score_that_is_as_high_is_not_zero_below() -> None:
    report = make_report()
    report.covariances[1].best.CopyFrom(recommendation([50, 50], report.best.result.bic - 0.004))
    report.covariances[1].best.task = "jobs/j/tasks/0-2-diag-tied"
    tie = {card.covariance: card for card in summary.cards(report)}["diag-tied"]
    assert tie.behind == "as high as the best"
    report.covariances[1].best.result.bic -= 20.35
    assert summary.cards(report)[1].behind == "20.4 below the best"


def test_columns_may_be_called_as_ours_are() -> None:
    cluster = task_pb2.Cluster(label=0, count=10, weight=1, center=[3, 4], standard_deviation=[1, 2])
    titles, rows = summary.center_table(task_pb2.Task(clusters=[cluster]), ["Share", "Rows"])
    assert titles == ["Cluster", "Rows", "Share", "Share", "Rows"]
    assert rows == [["0", "10", "100 %", "3 ± 1", "4 ± 2"]]


def test_the_answer_is_told_in_plain_words() -> None:
    job = job_pb2.Job(row_count=100, spec=job_pb2.JobSpec(scale=True))
    assert summary.plain_words(job, make_report()) == (
        "Your 100 rows fall into 2 groups of 40 to 60 rows; full-untied means ellipses in any direction, "
        "each of its own shape."
    )
    assert "Ask for smaller clusters" in summary.plain_words(job, make_report(qualifies=False))


def test_experiments_that_disagree_on_k_are_told_of() -> None:
    ks = [9, 5, 7, 7, 5, 5, 7, 9, 10, 6]
    assert agreement.ks_sentence(ks, 9) == (
        "The 10 experiments do not agree on the number of clusters: "
        "their best K is 5 to 10, and 2 of 10 say 9."
    )
    assert agreement.ks_sentence([3, 3], 3) == "Both experiments say K = 3."
    assert agreement.ks_sentence([3], 3) == ""


def test_the_best_k_of_each_experiment_is_that_of_its_best_task_that_counts() -> None:
    def task(experiment: int, k: int, smallest: int, state: int = task_pb2.TASK_STATE_DONE) -> task_pb2.Task:
        return task_pb2.Task(experiment=experiment, k=k, state=state, result={"counts": [90, smallest]})  # type: ignore[arg-type]

    def read() -> Iterator[task_pb2.Task]:
        yield task(1, 9, 5)
        yield task(1, 7, 40, task_pb2.TASK_STATE_DEGENERATE)
        yield task(1, 6, 40)
        yield task(1, 5, 40)
        yield task(0, 4, 40)
        pytest.fail("All experiments are known: no more need be asked for.")

    assert agreement.best_ks(read(), 2, 30) == [4, 6]


def test_rows_without_a_place_are_not_said_to_be_drawn(sample: Sample) -> None:
    assert drawn_sentence(sample, "c") == "All 102 rows are drawn."
    assert drawn_sentence(sample, "a", "c").startswith("100 of 102 rows are drawn")
    part = Sample(sample.rows, sample.columns, 5000)
    assert "A random sample of 102 of 5,000 rows" in drawn_sentence(part)
    assert "2 of them without a value" in drawn_sentence(part, "a")


def test_few_of_many_rows_are_spread_over_all_of_them(sample: Sample) -> None:
    few = sample.few(10)
    assert (len(few), few[0], few[-1]) == (10, 0, 101)
    part = sample.taken(few)
    assert (len(part.rows), part.is_all, part.row_count) == (10, False, 102)
    np.testing.assert_array_equal(part.columns["c"], sample.columns["c"][few])
    assert sample.taken(sample.few(102)).is_all


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


def test_long_names_differ_where_they_are_cut() -> None:
    names = [f"a very long name of a column {number}" for number in range(9)]
    assert len({squeezed(name, 24) for name in names}) == 9
    assert {len(squeezed(name, 24)) for name in names} == {24}
    assert (name_angle(["a", "b"]), name_height(["a", "b"])) == (0, 0)
    # Names that stand upright have their height beside that of the cells.
    assert name_angle(names) == -90
    assert name_height(names) > 150


def test_shares_are_percents() -> None:
    assert (share(0.614), share(0.0123)) == ("61 %", "1.2 %")
