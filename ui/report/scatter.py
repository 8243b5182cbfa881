"""Rows of one fit or of six on two axes, each cluster in its colour, with its ellipse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import plotly.graph_objects as go
from kmeans.v1 import task_pb2
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from ui.report.ellipses import PROBABILITY, marginal, outline
from ui.report.palette import cluster_look
from ui.report.panels import Axis, Panel, present_labels
from ui.report.theme import Theme, drawn_once, finished, ground
from ui.report.wording import cluster_name, plot_text

__all__ = ["figure", "grid"]

# Above this many points the browser draws with WebGL; below it SVG is sharper, and works everywhere.
_MAX_SVG_POINTS = 6_000


def figure(
    x: Axis,
    y: Axis,
    panel: Panel,
    *,
    probability: float = PROBABILITY,
    scale_ratio: float | None = None,
    title: str = "",
    theme: Theme = "light",
) -> go.Figure:
    """Draw one fit.

    Args:
        x: column on the horizontal axis.
        y: column on the vertical axis.
        panel: the fit.
        probability: of the ellipses; see `ellipses.outline`.
        scale_ratio: length of one unit of y over that of one of x; None for axes of their own.
        title: shown above.
        theme: light or dark.
    """
    drawn = go.Figure()
    for trace in _traces(x, y, panel, probability, theme, with_webgl=_is_many([panel], x)):
        drawn.add_trace(trace)
    finished(drawn, title, theme, height=560)
    drawn.update_xaxes(title_text=plot_text(x.name))
    drawn.update_yaxes(title_text=plot_text(y.name))
    _keep_scale(drawn, scale_ratio)
    if panel.labels is None:
        drawn.add_annotation(
            text=plot_text(panel.note, 200), showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper"
        )
    return drawn_once(drawn)


def grid(
    x: Axis,
    y: Axis,
    panels: Sequence[Panel],
    *,
    columns: int = 3,
    probability: float = PROBABILITY,
    scale_ratio: float | None = None,
    title: str = "",
    theme: Theme = "light",
) -> go.Figure:
    """Draw fits side by side on the same axes: zooming into one zooms into all."""
    columns = max(1, min(columns, len(panels)))
    rows = math.ceil(len(panels) / columns)
    drawn = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[_heading(panel) for panel in panels],
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.03,
        vertical_spacing=0.1,
        x_title=plot_text(x.name),
        y_title=plot_text(y.name),
    )
    told: set[str] = set()
    with_webgl = _is_many(panels, x)
    traces: list[go.Scatter | go.Scattergl] = []
    rows_of: list[int] = []
    columns_of: list[int] = []
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        for trace in _traces(x, y, panel, probability, theme, with_webgl=with_webgl):
            # One entry per cluster in the legend hides and shows it in every panel.
            if trace.showlegend is not False:
                trace.showlegend = trace.legendgroup not in told
                told.add(trace.legendgroup)
            traces.append(trace)
            rows_of.append(row + 1)
            columns_of.append(column + 1)
        if panel.labels is None:
            drawn.add_annotation(
                text=_wrapped(panel.note),
                showarrow=False,
                x=0.5,
                y=0.5,
                xref="x domain",
                yref="y domain",
                row=row + 1,
                col=column + 1,
                font={"color": ground(theme).faint},
            )
    # All at once: one by one, each would be checked together with those before it.
    drawn.add_traces(traces, rows=rows_of, cols=columns_of)
    finished(drawn, title, theme, height=90 + 300 * rows)
    drawn.update_layout(margin={"l": 64, "b": 56, "t": 76 if title else 44})
    _keep_scale(drawn, scale_ratio)
    return drawn_once(drawn)


def _heading(panel: Panel) -> str:
    text = plot_text(panel.title)
    return f"<b>{text} ★</b>" if panel.is_best else text


def _wrapped(text: str, characters: int = 34) -> str:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < characters:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "<br>".join(plot_text(line, 80) for line in lines)


def _is_many(panels: Sequence[Panel], x: Axis) -> bool:
    return len(x.values) * sum(panel.labels is not None for panel in panels) > _MAX_SVG_POINTS


def _keep_scale(drawn: go.Figure, scale_ratio: float | None) -> None:
    if scale_ratio is None:
        return
    # Axes that match another take its scale.
    for axis in drawn.select_yaxes(lambda axis: axis.matches is None):
        number = (axis.plotly_name or "yaxis").removeprefix("yaxis")
        axis.update(scaleanchor=f"x{number}", scaleratio=scale_ratio)
    drawn.update_yaxes(constrain="domain")
    drawn.update_xaxes(constrain="domain")


def _traces(
    x: Axis, y: Axis, panel: Panel, probability: float, theme: Theme, *, with_webgl: bool
) -> Iterator[go.Scatter | go.Scattergl]:
    if panel.labels is None:
        return
    here = ~(np.isnan(x.values) | np.isnan(y.values))
    kind = go.Scattergl if with_webgl else go.Scatter
    size = 6.5 if len(x.values) <= 500 else 5 if len(x.values) <= 4000 else 3.5
    for label in present_labels(panel.labels):
        look = cluster_look(label, panel.places)
        mine = here & (panel.labels == label)
        if not mine.any():
            continue
        name, group = cluster_name(label), panel.group(label)
        yield kind(
            name=group,
            legendgroup=group,
            legendrank=panel.rank(label),
            x=_listed(x.values[mine]),
            y=_listed(y.values[mine]),
            mode="markers",
            marker={
                "color": look.colour,
                "symbol": look.symbol,
                "size": size,
                "opacity": 0.65 if label >= 0 else 0.4,
                "line": {"width": 0},
            },
            hovertemplate=f"<b>{name}</b><br>{plot_text(x.name)}: %{{x:.5~g}}"
            f"<br>{plot_text(y.name)}: %{{y:.5~g}}<extra></extra>",
        )
    places = [list(panel.columns).index(axis.name) if axis.name in panel.columns else -1 for axis in (x, y)]
    if min(places) < 0:
        return
    for cluster in panel.clusters:
        yield from _outline(panel, cluster, places[0], places[1], probability, theme, with_webgl=with_webgl)


def _listed(values: NDArray[np.float64]) -> NDArray[np.object_]:
    # Numbers of Python, which are written as a list (see `drawn_once`), and are not checked one by one.
    return values.astype(object)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To a hundred-thousandth of their extent: nobody sees more of a line, and each digit is sent."""
    extent = float(np.ptp(values))
    if not 0 < extent < math.inf:
        return values
    return np.round(values, 5 - math.floor(math.log10(extent)))


def _outline(
    panel: Panel,
    cluster: task_pb2.Cluster,
    first: int,
    second: int,
    probability: float,
    theme: Theme,
    *,
    with_webgl: bool,
) -> Iterator[go.Scatter | go.Scattergl]:
    kind = go.Scattergl if with_webgl else go.Scatter
    look, name = cluster_look(cluster.label, panel.places), cluster_name(cluster.label)
    group = panel.group(cluster.label)
    d = len(cluster.center)
    center: NDArray[np.float64] = np.array(cluster.center)[[first, second]]
    if len(cluster.covariance) == d * d:
        covariance = np.array(cluster.covariance).reshape(d, d)
        # WebGL draws every line below every marker, so there the line is one of close markers.
        corners = 300 if with_webgl else 72
        points = outline(center, marginal(covariance, first, second), probability, corners)
        # A line of paper under the line of colour keeps it visible on its own points.
        for width, colour in ((4.5, ground(theme).paper), (2.0, look.colour)):
            yield kind(
                name=f"{name}, {100 * probability:g} % ellipse",
                legendgroup=group,
                showlegend=False,
                x=_listed(_rounded(points[:, 0])),
                y=_listed(_rounded(points[:, 1])),
                mode="markers" if with_webgl else "lines",
                line=None if with_webgl else {"color": colour, "width": width},
                marker={"color": colour, "size": width + 0.5, "line": {"width": 0}} if with_webgl else None,
                hoverinfo="skip",
            )
    yield kind(
        name=f"{name}, center",
        legendgroup=group,
        showlegend=False,
        x=_listed(center[:1]),
        y=_listed(center[1:]),
        mode="markers",
        marker={
            "symbol": look.symbol,
            "size": 12,
            "color": look.colour,
            "line": {"color": ground(theme).ink, "width": 1.5},
        },
        hovertemplate=f"<b>{name}</b>, center<br>{cluster.count:,} rows"
        "<br>%{x:.5~g}, %{y:.5~g}<extra></extra>",
    )
