"""BIC and AIC against K, a curve per covariance model with 95 % intervals over the experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import plotly.graph_objects as go
from kmeans.v1 import report_pb2

from kmeans_client import covariance_name
from ui.report.palette import covariance_look
from ui.report.theme import Theme, finished, ground

__all__ = ["Criterion", "figure"]

Criterion = Literal["bic", "aic"]


def figure(
    covariances: Sequence[report_pb2.CovarianceReport],
    criterion: Criterion = "bic",
    *,
    interval_method: str = "",
    best: report_pb2.Recommendation | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the mean score of the experiments that count; a K without any is a gap.

    Args:
        covariances: of a report, of a job that may still run.
        criterion: which score.
        interval_method: how the intervals are made, for the caption.
        best: the recommended fit, which is marked with a star at its own score.
        theme: light or dark.
    """
    name = criterion.upper()
    drawn = go.Figure()
    for entry in covariances:
        model = covariance_name(entry.covariance)
        look = covariance_look(model)
        scores = [getattr(point, criterion) if point.HasField(criterion) else None for point in entry.points]
        drawn.add_trace(
            go.Scatter(
                name=model,
                x=[point.k for point in entry.points],
                y=[None if score is None else score.mean for score in scores],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [0.0 if score is None else score.upper - score.mean for score in scores],
                    "arrayminus": [0.0 if score is None else score.mean - score.lower for score in scores],
                    "thickness": 1.2,
                    "width": 4,
                },
                customdata=[
                    [point.counted, *(("", "") if score is None else (score.lower, score.upper))]
                    for point, score in zip(entry.points, scores, strict=True)
                ],
                mode="lines+markers",
                connectgaps=False,
                line={"color": look.colour, "dash": look.dash, "width": 2},
                marker={"symbol": look.symbol, "size": 8, "color": look.colour},
                hovertemplate=f"<b>{model}</b>, K = %{{x}}<br>mean {name} %{{y:,.1f}}"
                "<br>95 % interval %{customdata[1]:,.1f} to %{customdata[2]:,.1f}"
                "<br>experiments that count: %{customdata[0]}<extra></extra>",
            )
        )
    if best is not None:
        model = covariance_name(best.covariance)
        drawn.add_trace(
            go.Scatter(
                name="recommended",
                x=[best.k],
                y=[getattr(best.result, criterion)],
                mode="markers",
                marker={
                    "symbol": "star",
                    "size": 17,
                    "color": covariance_look(model).colour,
                    "line": {"color": ground(theme).ink, "width": 1.5},
                },
                hovertemplate=f"<b>recommended</b><br>{model}, K = %{{x}}<br>{name} %{{y:,.1f}}"
                f"<br>experiment {best.experiment}<extra></extra>",
            )
        )
    caption = f"{name} over K (higher is better)"
    finished(drawn, caption, theme, height=460)
    drawn.update_xaxes(title_text="number of clusters K", dtick=_step(covariances), tick0=1)
    drawn.update_yaxes(title_text=name, tickformat="~s")
    drawn.update_layout(
        hovermode="closest",
        legend={"orientation": "h", "y": -0.18, "yanchor": "top", "x": 0},
        meta={"interval_method": interval_method},
    )
    if interval_method:
        drawn.update_layout(title={"subtitle": {"text": f"Bars: {interval_method}", "font": {"size": 12}}})
        drawn.update_layout(margin_t=74)
    return drawn


def _step(covariances: Sequence[report_pb2.CovarianceReport]) -> int:
    highest = max((point.k for entry in covariances for point in entry.points), default=1)
    return 1 if highest <= 20 else 5
