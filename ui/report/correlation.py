"""Pearson correlations of the numeric columns."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from kmeans.v1 import dataset_pb2

from ui.report.palette import DIVERGING
from ui.report.theme import Theme, finished
from ui.report.wording import name_angle, name_height, plot_text, tick_names

__all__ = ["figure"]

_MAX_WRITTEN = 14
_MAX_TICKS = 60


def figure(correlation: dataset_pb2.Correlation, *, theme: Theme = "light") -> go.Figure:
    """Draw a heat map of all numeric columns; a column that does not vary stays empty."""
    names = [plot_text(name) for name in correlation.columns]
    c = len(names)
    values = np.array(correlation.values, dtype=np.float64).reshape(c, c)
    drawn = go.Figure(
        go.Heatmap(
            # Places, not names: two long names may be the same once cut.
            x=list(range(c)),
            y=list(range(c)),
            z=values,
            customdata=[[(row, column) for column in names] for row in names],
            zmin=-1,
            zmax=1,
            colorscale=DIVERGING,
            text=[
                ["" if np.isnan(value) else f"{value:.2f}".replace("-", "−") for value in row]
                for row in values
            ]
            if c <= _MAX_WRITTEN
            else None,
            texttemplate="%{text}" if c <= _MAX_WRITTEN else None,
            xgap=1 if c <= _MAX_TICKS else 0,
            ygap=1 if c <= _MAX_TICKS else 0,
            hoverongaps=False,
            colorbar={
                "title": {"text": "r"},
                "thickness": 12,
                "len": 240,
                "lenmode": "pixels",
                "y": 1,
                "yanchor": "top",
                "outlinewidth": 0,
                "tickvals": [-1, -0.5, 0, 0.5, 1],
            },
            hovertemplate="%{customdata[0]}<br>%{customdata[1]}<br>r = %{z:.3f}<extra></extra>",
        )
    )
    finished(
        drawn,
        f"Correlation of the numeric columns ({correlation.row_count:,} complete rows)",
        theme,
        height=max(320, min(760, 120 + 42 * c)) + name_height(names),
    )
    ticks = {
        "tickvals": list(range(c)),
        "ticktext": tick_names(correlation.columns),
        "showgrid": False,
        "showline": False,
    }
    shown = ticks if c <= _MAX_TICKS else {"showticklabels": False, "showgrid": False, "showline": False}
    drawn.update_xaxes(**shown, constrain="domain", tickangle=name_angle(names))
    drawn.update_yaxes(
        **shown, autorange="reversed", scaleanchor="x", constrain="domain", constraintoward="top"
    )
    return drawn
