"""The report as one HTML file that needs nothing else: no server, no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from kmeans_client import assignment_name, state_name
from ui.report import (
    agreement,
    boxes,
    correlation,
    counted,
    histogram,
    map,
    matrix,
    parallel,
    profiles,
    repeat,
    scatter,
    scores,
    sizes,
    summary,
)
from ui.report.ellipses import PROBABILITY
from ui.report.material import Material, deviations, panels
from ui.report.notes import columns_note, warning_words
from ui.report.sample import MAX_GRID_ROWS, drawn_sentence, map_columns
from ui.report.theme import FONT, ground
from ui.report.wording import share

__all__ = ["render"]

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class _Plot:
    """A figure in its place in the file.

    Attributes:
        name: of the element, and of a picture that is downloaded.
        data: the figure as JSON that can stand in a script element.
        height: in pixels.
    """

    name: str
    data: str
    height: int


def render(material: Material) -> str:
    """The text of the file, in UTF-8.

    Every name that a user gave is escaped, in the page and in the plots. Plotly's code is in the file once;
    nothing is asked of any host.
    """
    job, best = material.job, material.best
    plots = {plot.name: plot for plot in _plots(material)}
    columns = material.distinctive_columns()
    return _TEMPLATES.get_template("report.html.jinja").render(
        job=job,
        dataset=material.dataset,
        report=material.report,
        state=state_name(job),
        created=job.create_time.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        headline=summary.headline(material.report),
        plain_words=summary.plain_words(job, material.report),
        subheadline=summary.subheadline(job, material.report),
        cards=summary.cards(material.report),
        best=best,
        profiles=_profiles(material),
        centers=([], []) if best is None else summary.center_table(best, job.spec.columns),
        columns=columns,
        plots=plots,
        sample=material.sample,
        probability=f"{100 * PROBABILITY:g} %",
        agreement=None if material.agreement is None else agreement.sentence(material.agreement),
        drawn=_drawn(material),
        sampled="" if material.sample.is_all else drawn_sentence(material.sample),
        boxes_note=columns_note(boxes.MAX_COLUMNS, len(columns)),
        parallel_note=columns_note(parallel.MAX_COLUMNS, len(columns)),
        share=share,
        warning_words=warning_words,
        agreed_k=_agreed_k(material),
        assignment=assignment_name(job.spec.assignment),
        command=repeat.command_line(job, material.dataset.display_name, material.report.min_members),
        spec=repeat.spec_json(job),
        light=ground("light"),
        dark=ground("dark"),
        font=FONT,
        themes=_script_json({"light": _colours("light"), "dark": _colours("dark")}),
        plotly=get_plotlyjs(),
    )


def _drawn(material: Material) -> str:
    shown = material.sample.taken(material.sample.few(MAX_GRID_ROWS))
    return drawn_sentence(shown, *material.distinctive_columns()[:2])


def _agreed_k(material: Material) -> str:
    if material.agreement is None:
        return ""
    return agreement.ks_sentence(
        [entry.k for entry in material.agreement.experiments], material.report.best.k
    )


def _plots(material: Material) -> Iterator[_Plot]:
    report, spec, sample = material.report, material.job.spec, material.sample
    columns = material.distinctive_columns()
    few = sample.few(MAX_GRID_ROWS)
    shown, labels = sample.taken(few), {name: each[few] for name, each in material.labels.items()}
    fits = panels(report, list(spec.columns), material.tasks, labels)
    if any(panel.labels is not None for panel in fits):
        x = shown.axis(columns[0])
        drawn = scatter.grid(x, shown.axis(columns[1]), fits) if len(columns) > 1 else histogram.grid(x, fits)
        yield _plot("clusters", drawn)
        places = map_columns(material.dataset)
        if places is not None:
            yield _plot("map", map.grid(shown.axis(places[0]), shown.axis(places[1]), fits))
    best = report.best if report.HasField("best") else None
    for criterion in ("bic", "aic"):
        yield _plot(
            criterion,
            scores.figure(
                report.covariances,
                "bic" if criterion == "bic" else "aic",
                interval_method=report.interval_method,
                best=best,
            ),
        )
    yield _plot("counted", counted.figure(report.covariances, spec.n_experiments, report.min_members))
    if len(material.correlation.columns) > 1:
        yield _plot("correlation", correlation.figure(material.correlation))
    if material.agreement is not None and len(material.agreement.experiments) > 1:
        yield _plot("agreement", agreement.figure(material.agreement))
    yield from _best_plots(material, columns)


def _best_plots(material: Material, columns: list[str]) -> Iterator[_Plot]:
    task = material.best
    if task is None:
        return
    labels = material.labels[task.name]
    yield _plot("sizes", sizes.figure(task.result.counts))
    found = profiles.differences(task.clusters, deviations(material.dataset, material.job.spec.columns))
    if len(task.clusters) > 1:
        yield _plot("differences", profiles.figure(task.clusters, material.job.spec.columns, found))
    axes = [material.sample.axis(name) for name in columns]
    yield _plot("boxes", boxes.figure(axes, labels))
    if len(columns) > 1:
        yield _plot("parallel", parallel.figure(axes, labels))
    if len(columns) > 2:
        yield _plot("matrix", matrix.figure(axes, labels, column_count=len(columns)))


def _profiles(material: Material) -> list[profiles.Profile]:
    if material.best is None or len(material.best.clusters) < 2:
        return []
    columns = material.job.spec.columns
    found = profiles.differences(material.best.clusters, deviations(material.dataset, columns))
    return profiles.profiles(material.best.clusters, columns, found)


def _plot(name: str, figure: go.Figure) -> _Plot:
    return _Plot(name, _safe(figure.to_json()), int(figure.layout.height))


def _colours(theme: str) -> dict[str, str]:
    on = ground("dark" if theme == "dark" else "light")
    return {"paper": on.paper, "ink": on.ink, "faint": on.faint, "grid": on.grid, "card": on.card}


def _script_json(value: object) -> str:
    return _safe(json.dumps(value))


def _safe(text: str) -> str:
    """JSON that no parser of HTML takes for the end of its script element, or for a comment."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
