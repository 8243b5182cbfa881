"""Figures show what they were given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from kmeans.v1 import dataset_pb2, report_pb2, task_pb2
from numpy.typing import NDArray

from ui.report import (
    agreement,
    boxes,
    correlation,
    counted,
    histogram,
    map,
    matrix,
    parallel,
    scatter,
    scores,
    sizes,
)
from ui.report.palette import cluster_look, covariance_look
from ui.report.panels import Axis, Panel
from ui.report.sample import Sample
from ui.report.theme import THEMES, ground


def traces(figure: Any, name: str) -> list[Any]:
    return [trace for trace in figure.data if trace.name == name]


def test_scores_are_the_means_and_bounds_of_the_points(report: report_pb2.Report) -> None:
    drawn = scores.figure(report.covariances, "bic", interval_method="95 % by t", best=report.best)
    (curve,) = traces(drawn, "full-untied")
    assert list(curve.x) == [1, 2, 3]
    assert list(curve.y) == [-150, -110, None]
    assert list(curve.error_y.array) == [2, 8, None]
    assert list(curve.error_y.arrayminus) == [2, 8, None]
    assert not curve.connectgaps
    (ring,) = traces(drawn, "recommended")
    assert (list(ring.x), list(ring.y)) == ([2], [-100])
    assert "95 % by t" in drawn.layout.title.subtitle.text
    aic = scores.figure(report.covariances, "aic")
    assert list(traces(aic, "full-untied")[0].y) == [-140, -99, None]
    assert "AIC" in aic.layout.title.text


def test_one_experiment_has_no_interval() -> None:
    alone = report_pb2.ScorePoint(k=1, counted=1, bic=report_pb2.Interval(mean=-9, lower=-9, upper=-9))
    (curve,) = scores.figure([report_pb2.CovarianceReport(covariance=1, points=[alone])]).data
    assert list(curve.error_y.array) == [None]
    assert "no interval" in curve.customdata[0][1]
    assert "95 %" not in str(curve.hovertemplate)


def test_scores_far_below_do_not_press_the_others_flat() -> None:
    low, high = scores.upper_range([-9000, *range(-110, -100)]) or (0, 0)
    assert -111 < low < -110
    assert -101 < high < -100
    assert scores.upper_range(list(range(-110, -100))) is None
    assert scores.upper_range([-9000, -1]) is None


def test_scores_of_a_job_that_has_just_begun() -> None:
    entry = report_pb2.CovarianceReport(covariance=1, points=[report_pb2.ScorePoint(k=1)])
    assert list(scores.figure([entry]).data[0].y) == [None]
    assert len(scores.figure([]).data) == 0


def test_counted_experiments_by_covariance_and_k(report: report_pb2.Report) -> None:
    (cells,) = counted.figure(report.covariances[:1], 3, 30).data
    assert np.array(cells.z).tolist() == [[3, 2, 0]]
    assert np.array(cells.customdata).tolist() == [[[0, 0], [1, 0], [0, 3]]]


def test_correlations_in_the_order_of_the_file_with_gaps(columns: list[str]) -> None:
    values = [1, 0.5, math.nan, 0.5, 1, math.nan, math.nan, math.nan, math.nan]
    message = dataset_pb2.Correlation(columns=columns, values=values, row_count=7)
    drawn = correlation.figure(message)
    np.testing.assert_array_equal(drawn.data[0].z, np.reshape(values, (3, 3)))
    assert list(drawn.data[0].text[0]) == ["1.00", "0.50", ""]
    assert "7 complete rows" in drawn.layout.title.text


def test_a_cluster_keeps_its_colour_in_every_plot(
    sample: Sample, labels: NDArray[np.int64], clusters: list[task_pb2.Cluster], columns: list[str]
) -> None:
    axes = [sample.axis(name) for name in columns]
    panel = Panel("p", labels, clusters, columns)
    for label in (0, 1):
        colour = cluster_look(label).colour
        name = f"Cluster {label}"
        assert traces(scatter.figure(axes[0], axes[1], panel), name)[0].marker.color == colour
        assert traces(map.figure(axes[0], axes[1], panel), name)[0].marker.color == colour
        assert traces(histogram.figure(axes[0], panel), name)[0].marker.color == colour
        assert traces(parallel.figure(axes, labels), name)[0].marker.color == colour
        assert traces(matrix.figure(axes, labels), name)[0].marker.color == colour
        assert traces(boxes.figure(axes, labels), str(label))[0].line.color == colour
        assert sizes.figure([60, 40]).data[0].marker.color[label] == colour


def test_points_are_the_rows_of_their_cluster(
    sample: Sample, labels: NDArray[np.int64], clusters: list[task_pb2.Cluster], columns: list[str]
) -> None:
    x, y = sample.axis("a"), sample.axis("c")
    drawn = scatter.figure(x, y, Panel("p", labels, clusters, columns), title="A title")
    points = traces(drawn, "Cluster 1")[0]
    np.testing.assert_array_equal(points.x, x.values[60:100])
    np.testing.assert_array_equal(points.y, y.values[60:100])
    # Rows without a label miss a value of x here, so there is nothing to draw of them, nor to name.
    assert traces(drawn, "No label") == []
    assert drawn.layout.title.text == "A title"
    ellipse = traces(drawn, "Cluster 1, 95 % ellipse")[-1]
    across, along = (np.array(values, dtype=np.float64) for values in (ellipse.x, ellipse.y))
    squared = (across - 10) ** 2 / 1.0 + (along - 5) ** 2 / 2.25
    # To the digits of a line that are sent.
    np.testing.assert_allclose(squared, 5.991464547, rtol=1e-4)


def test_an_axis_that_is_no_column_of_the_fit_has_no_ellipse(
    sample: Sample, labels: NDArray[np.int64], clusters: list[task_pb2.Cluster]
) -> None:
    drawn = scatter.figure(sample.axis("a"), sample.axis("c"), Panel("p", labels, clusters, ["a", "b", "d"]))
    assert {trace.name for trace in drawn.data} == {"Cluster 0", "Cluster 1"}


def test_six_fits_share_one_legend_and_a_missing_one_says_why(
    sample: Sample, labels: NDArray[np.int64], clusters: list[task_pb2.Cluster], columns: list[str]
) -> None:
    fit = Panel("full-untied, K = 2", labels, clusters, columns, is_best=True)
    none = Panel("diag-tied", note="No fit qualifies: 3 degenerate.")
    drawn = scatter.grid(sample.axis("a"), sample.axis("c"), [fit, none, fit, fit, none, fit])
    shown = [trace.name for trace in drawn.data if trace.showlegend is not False]
    assert shown == ["Cluster 0", "Cluster 1"]
    texts = " ".join(annotation.text.replace("<br>", " ") for annotation in drawn.layout.annotations)
    assert texts.count("No fit qualifies: 3 degenerate.") == 2
    assert "★" in texts


def test_fifty_clusters_look_different() -> None:
    looks = [(cluster_look(label).colour, cluster_look(label).symbol) for label in range(50)]
    assert len(set(looks)) == 50
    names = ("full-tied", "full-untied", "diag-tied", "diag-untied", "spher-tied", "spher-untied")
    assert len({covariance_look(name) for name in names}) == 6


def test_fifty_clusters_and_one_cluster_are_drawn() -> None:
    labels = np.arange(500) % 50
    values = np.random.default_rng(0).normal(size=(2, 500))
    x, y = Axis("x", values[0]), Axis("y", values[1])
    clusters = [
        task_pb2.Cluster(label=label, count=10, center=[0, label], covariance=[1, 0, 0, 1])
        for label in range(50)
    ]
    drawn = scatter.figure(x, y, Panel("p", labels, clusters, ["x", "y"]))
    assert len({trace.legendgroup for trace in drawn.data}) == 50
    one = scatter.figure(x, y, Panel("p", np.zeros(500, dtype=np.int64), clusters[:1], ["x", "y"]))
    assert {trace.legendgroup for trace in one.data} == {"Cluster 0"}
    assert len(boxes.figure([x, y], labels).data) == 100


def test_one_column_is_counted_in_bins() -> None:
    x = Axis("x", np.array([0.0, 0.1, 0.2, 5.0, 5.1, np.nan]))
    drawn = histogram.figure(x, Panel("p", np.array([0, 0, 0, 1, 1, -1])))
    assert [sum(trace.y) for trace in drawn.data] == [3, 2]


def test_a_degree_on_the_map_is_as_long_as_on_the_ground(sample: Sample, labels: NDArray[np.int64]) -> None:
    longitude, latitude = sample.axis("a"), Axis("lat", np.array([59.0, 61.0, np.nan]))
    assert math.isclose(map.degree_ratio(latitude), 2.0)
    at_60 = Axis("lat", np.full(102, 60.0))
    figure = map.figure(longitude, at_60, Panel("p", labels))
    assert figure.layout.yaxis.scaleanchor == "x"
    assert math.isclose(figure.layout.yaxis.scaleratio, 2.0)
    grid = map.grid(longitude, at_60, [Panel("p", labels)] * 6)
    anchored = [axis for axis in grid.select_yaxes() if axis.scaleanchor]
    assert [math.isclose(axis.scaleratio, 2.0) for axis in anchored] == [True]


def test_many_points_are_drawn_by_webgl(sample: Sample) -> None:
    values = np.zeros(10_000)
    panel = Panel("p", np.zeros(10_000, dtype=np.int64))
    assert scatter.figure(Axis("x", values), Axis("y", values), panel).data[0].type == "scattergl"


def test_boxes_are_quartiles_with_the_whiskers_of_tukey() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 100])
    assert boxes.five_numbers(values) == (1, 3, 5, 7, 8)
    assert boxes.five_numbers(np.array([4.0])) == (4, 4, 4, 4, 4)
    (box,) = boxes.figure([Axis("x", values)], np.zeros(9, dtype=np.int64)).data
    assert (box.q1[0], box.median[0], box.q3[0], box.lowerfence[0], box.upperfence[0]) == (3, 5, 7, 1, 8)


def test_agreement_is_drawn_and_told(material: Any) -> None:
    (bars,) = agreement.figure(material.agreement).data
    assert (list(bars.y), bars.name) == ([1.0, 0.9, 0.7], "full-untied")
    text = agreement.sentence(material.agreement)
    assert "0.80 (0.70 to 0.90)" in text
    assert "100 rows" in text
    alone = report_pb2.Agreement(best="t", experiments=[report_pb2.ExperimentAgreement(task="t")])
    assert "nothing to compare" in agreement.sentence(alone)


@pytest.mark.parametrize("theme", THEMES)
def test_figures_stand_on_the_ground_of_their_theme(report: report_pb2.Report, theme: Any) -> None:
    drawn = scores.figure(report.covariances, theme=theme)
    assert drawn.layout.template.layout.paper_bgcolor == ground(theme).paper


def test_names_of_columns_are_shown_word_for_word(
    sample: Sample, labels: NDArray[np.int64], clusters: list[task_pb2.Cluster], columns: list[str]
) -> None:
    drawn = scatter.figure(sample.axis(columns[1]), sample.axis("c"), Panel("p", labels, clusters, columns))
    for text in (drawn.layout.xaxis.title.text, drawn.data[0].hovertemplate):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert "%{y} $" not in text


def test_ellipses_stand_above_points_that_webgl_draws(
    clusters: list[task_pb2.Cluster], columns: list[str]
) -> None:
    axis = Axis("a", np.zeros(10_000))
    panel = Panel("p", np.zeros(10_000, dtype=np.int64), clusters[:1], columns)
    drawn = scatter.figure(axis, Axis("c", np.zeros(10_000)), panel).data
    # In one layer and in order: a line, or a trace of SVG, would be hidden below the points.
    assert [trace.type for trace in drawn] == ["scattergl"] * 4
    assert {trace.mode for trace in drawn} == {"markers"}
    assert "ellipse" in drawn[1].name


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-9, 1e9, 1e300])
def test_ellipses_of_any_size_are_drawn(size: float) -> None:
    cluster = task_pb2.Cluster(label=0, count=2, center=[0, 0], covariance=[size, 0, 0, size])
    values = np.array([-1.0, 1.0])
    panel = Panel("p", np.zeros(2, dtype=np.int64), [cluster], ["a", "b"])
    drawn = scatter.figure(Axis("a", values), Axis("b", values), panel)
    (line,) = traces(drawn, "Cluster 0, 95 % ellipse")[1:]
    radius = math.sqrt(size * 5.991464547)
    np.testing.assert_allclose(float(max(line.x)), radius, rtol=1e-4)
