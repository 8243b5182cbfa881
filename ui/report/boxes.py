"""Box plots: one small plot per column, in its own units, one box per cluster."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from ui.report.palette import cluster_look
from ui.report.panels import Axis, present_labels
from ui.report.theme import Theme, finished
from ui.report.wording import cluster_name, number, plot_text, squeezed

__all__ = ["MAX_COLUMNS", "figure", "five_numbers"]

MAX_COLUMNS = 12

# Of a third of the narrowest page.
_TITLE_CHARACTERS = 24


def five_numbers(values: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """Lower whisker, quartiles and upper whisker of values (m,), at least one.

    Whiskers reach to the last value within 1.5 interquartile ranges of the box (Tukey 1977).
    """
    first, middle, third = (float(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    reach = 1.5 * (third - first)
    inside = values[(values >= first - reach) & (values <= third + reach)]
    low, high = (inside.min(), inside.max()) if len(inside) else (first, third)
    return min(float(low), first), first, middle, third, max(float(high), third)


def figure(
    axes: Sequence[Axis],
    labels: NDArray[np.int64],
    *,
    columns: int = 3,
    places: Sequence[int] = (),
    theme: Theme = "light",
) -> go.Figure:
    """Draw the quartiles of each column within each cluster, of the rows (r,) that have a label.

    Of at most MAX_COLUMNS columns.
    """
    axes = axes[:MAX_COLUMNS]
    wide = min(columns, len(axes)) or 1
    rows = math.ceil(len(axes) / wide) or 1
    drawn = make_subplots(
        rows=rows,
        cols=wide,
        subplot_titles=[plot_text(squeezed(axis.name, _TITLE_CHARACTERS)) for axis in axes],
        horizontal_spacing=0.16 / wide,
        vertical_spacing=0.28 / rows,
    )
    clusters = [label for label in present_labels(labels) if label >= 0]
    for index, axis in enumerate(axes):
        row, column = divmod(index, wide)
        for label in clusters:
            values = axis.values[(labels == label) & np.isfinite(axis.values)]
            if not len(values):
                continue
            low, first, middle, third, high = five_numbers(values)
            look, name = cluster_look(label, places), cluster_name(label)
            drawn.add_trace(
                go.Box(
                    name=str(label),
                    legendgroup=name,
                    showlegend=False,
                    # Quartiles, not rows: a million rows draw as fast as a hundred.
                    x=[str(label)],
                    lowerfence=[low],
                    q1=[first],
                    median=[middle],
                    q3=[third],
                    upperfence=[high],
                    line={"color": look.colour, "width": 1.6},
                    hoverinfo="text",
                    hovertext=f"<b>{name}</b><br>median {number(middle)}<br>half between {number(first)} and "
                    f"{number(third)}<br>whiskers {number(low)} to {number(high)}",
                ),
                row=row + 1,
                col=column + 1,
            )
    finished(drawn, "How each column is distributed within each cluster", theme, height=110 + 250 * rows)
    drawn.update_xaxes(type="category", showgrid=False, title_text=None)
    drawn.update_xaxes(title_text="cluster", row=rows)
    drawn.update_layout(margin_t=82)
    return drawn
