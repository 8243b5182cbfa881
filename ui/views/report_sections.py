"""The sections of a report; only the chosen one asks the service for anything, so that each is quick."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st
from kmeans.v1 import dataset_pb2, job_pb2, report_pb2

from kmeans_client import Client
from ui.choices import choice
from ui.report import agreement, correlation, counted, histogram, map, scatter, scores
from ui.report.material import deviations, panels
from ui.report.panels import Panel
from ui.report.profiles import differences, most_distinctive
from ui.report.sample import MAX_GRID_ROWS, Sample, drawn_sentence, map_columns, numeric_columns
from ui.report.wording import shortened
from ui.views import fetching, profile
from ui.views.figures import choose_image, draw
from ui.views.theme import theme
from ui.words import plain

__all__ = ["choose_axes", "distinctive_columns", "ellipses_note", "show"]

_CLUSTERS, _DIFFERENT, _MAP = "Clusters", "What differs", "Map"
_SCORES, _STABILITY, _COLUMNS = "Scores", "Stability", "Columns"

_ICONS = {
    _CLUSTERS: ":material/scatter_plot:",
    _DIFFERENT: ":material/compare:",
    _MAP: ":material/map:",
    _SCORES: ":material/show_chart:",
    _STABILITY: ":material/join_inner:",
    _COLUMNS: ":material/grid_on:",
}


def show(client: Client, job: job_pb2.Job, report: report_pb2.Report) -> None:
    """Draw the choice of sections and the chosen one."""
    dataset = fetching.dataset(client, job)
    has_best = report.HasField("best")
    sections: dict[str, Callable[[], None]] = {}
    if has_best:
        sections[_CLUSTERS] = lambda: _clusters(client, job, report, dataset)
        sections[_DIFFERENT] = lambda: profile.show(client, job, dataset, report.best.task)
        if map_columns(dataset):
            sections[_MAP] = lambda: _map(client, job, report, dataset)
    sections[_SCORES] = lambda: _scores(job, report)
    if has_best:
        sections[_STABILITY] = lambda: _stability(client, job, report)
    sections[_COLUMNS] = lambda: draw(
        correlation.figure(fetching.correlation(client, job), theme=theme()), "correlation"
    )
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        chosen = st.segmented_control(
            "Section",
            list(sections),
            format_func=lambda name: f"{_ICONS[name]} {name}",
            default=choice("section", next(iter(sections)), list(sections)),
            key="section",
            required=True,
            label_visibility="collapsed",
        )
        choose_image()
    with st.spinner(f"Drawing: {chosen}", show_time=False):
        sections[str(chosen)]()


def _panels(
    client: Client, job: job_pb2.Job, report: report_pb2.Report, rows: Sample
) -> tuple[Sample, list[Panel]]:
    """The six fits, and of the rows those that such small plots show."""
    few = rows.few(MAX_GRID_ROWS)
    names = [entry.best.task for entry in report.covariances if entry.HasField("best")]
    return rows.taken(few), panels(
        report,
        list(job.spec.columns),
        {name: fetching.task(client, job, name) for name in names},
        {name: fetching.labels(client, job, name, rows)[few] for name in names},
    )


def _clusters(
    client: Client, job: job_pb2.Job, report: report_pb2.Report, dataset: dataset_pb2.Dataset
) -> None:
    axes = choose_axes(client, job, dataset, report.best.task, "report")
    rows, fits = _panels(client, job, report, fetching.sample(client, job, axes))
    x = rows.axis(axes[0])
    if len(axes) == 1:
        draw(histogram.grid(x, fits, theme=theme()), "clusters")
    else:
        draw(scatter.grid(x, rows.axis(axes[1]), fits, theme=theme()), "clusters")
    notes = [drawn_sentence(rows, *axes), *ellipses_note(job, axes)]
    st.caption(" ".join([*notes, "Click a cluster in the legend to hide it.", *_colours_note(report)]))


def _colours_note(report: report_pb2.Report) -> list[str]:
    if sum(entry.HasField("best") for entry in report.covariances) < 2:
        return []
    return [
        "Colours and numbers in the legend are those of the best fit (★); a cluster of another fit has the "
        "colour of the one with which it shares most rows, and its own number where the pointer rests."
    ]


def ellipses_note(job: job_pb2.Job, axes: Sequence[str]) -> list[str]:
    """What the ellipses are, where there are any."""
    if len(axes) < 2 or not set(axes) <= set(job.spec.columns):
        return []
    return ["Ellipses hold 95 % of each cluster by its model."]


def _map(client: Client, job: job_pb2.Job, report: report_pb2.Report, dataset: dataset_pb2.Dataset) -> None:
    places = map_columns(dataset)
    if places is None:
        return
    rows, fits = _panels(client, job, report, fetching.sample(client, job, places))
    draw(map.grid(rows.axis(places[0]), rows.axis(places[1]), fits, theme=theme()), "map")
    st.caption(
        " ".join(
            [
                drawn_sentence(rows, *places),
                "A kilometre is as long in both directions.",
                *_colours_note(report),
            ]
        )
    )


def _scores(job: job_pb2.Job, report: report_pb2.Report) -> None:
    best = report.best if report.HasField("best") else None
    if any(point.counted for each in report.covariances for point in each.points):
        _curves(report, best)
    else:
        st.info(
            "No score to draw: no fit that has ended has clusters of the size asked for.",
            icon=":material/show_chart:",
        )
    draw(
        counted.figure(report.covariances, job.spec.n_experiments, report.min_members, theme=theme()),
        "counted",
    )


def _curves(report: report_pb2.Report, best: report_pb2.Recommendation | None) -> None:
    for place, criterion in zip(st.columns(2, gap="medium"), ("bic", "aic"), strict=True):
        with place:
            drawn = scores.figure(
                report.covariances,
                "bic" if criterion == "bic" else "aic",
                best=best,
                theme=theme(),
            )
            draw(drawn, criterion)
    st.caption(
        "The ring is the recommended task. Scores far below the others are outside the range that is drawn "
        f"at first: double-click a plot to see all. Intervals: {plain(report.interval_method)}."
    )


def _stability(client: Client, job: job_pb2.Job, report: report_pb2.Report) -> None:
    with st.spinner("Comparing the experiments. A large table takes a while the first time."):
        found = fetching.agreement(client, job, report.min_members)
    st.markdown(plain(agreement.sentence(found)))
    if len(found.experiments) > 1:
        draw(agreement.figure(found, theme=theme()), "agreement")
        st.caption("Each bar compares the best fit of one experiment with the best of all, which has 1.")


def choose_axes(
    client: Client, job: job_pb2.Job, dataset: dataset_pb2.Dataset, task: str, key: str
) -> tuple[str, ...]:
    """Let the reader choose two columns of the table; the two that tell the clusters apart best at first."""
    columns = numeric_columns(dataset)
    if len(columns) < 2:
        return tuple(columns)
    first = distinctive_columns(client, job, dataset, task)
    default = [*first[:2], *(name for name in columns if name not in first)][:2]
    if len(first) == 1 and st.toggle(
        "One column alone", choice(f"one-column-{key}", True), key=f"one-column-{key}"
    ):
        return (first[0],)
    chosen = []
    for place, label, name in zip(st.columns(2), ("Horizontal", "Vertical"), default, strict=True):
        picked = place.selectbox(
            label,
            columns,
            index=columns.index(choice(f"{label}-{key}", name, columns)),
            format_func=shortened,
            key=f"{label}-{key}",
        )
        chosen.append(str(picked))
    return (chosen[0], chosen[1]) if chosen[0] != chosen[1] else (chosen[0],)


def distinctive_columns(
    client: Client, job: job_pb2.Job, dataset: dataset_pb2.Dataset, task: str
) -> list[str]:
    """The job's columns, the one that tells the clusters of a task apart best first."""
    columns = list(job.spec.columns)
    clusters = fetching.task(client, job, task).clusters
    if not clusters:
        return columns
    found = differences(clusters, deviations(dataset, columns))
    order = most_distinctive(found, [cluster.count for cluster in clusters])
    return [columns[place] for place in order]
