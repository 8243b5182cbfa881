"""BIC and AIC against K, a curve per covariance model with 95 % intervals over the experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from kmeans.v1 import report_pb2

from kmeans_client import covariance_name
from ui.report.palette import covariance_look
from ui.report.theme import Theme, finished, ground

__all__ = ["Criterion", "figure", "upper_range"]

Criterion = Literal["bic", "aic"]

_MIN_FOR_FENCE = 8


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
        best: the recommended fit, which is marked with a ring at its own score.
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
                    # One experiment has no interval; a bar of no length would strike its marker out.
                    "array": [
                        _length(score, score.upper - score.mean) if score else None for score in scores
                    ],
                    "arrayminus": [
                        _length(score, score.mean - score.lower) if score else None for score in scores
                    ],
                    "thickness": 1.2,
                    "width": 4,
                },
                customdata=[
                    [point.counted, "" if score is None else _interval(point, score)]
                    for point, score in zip(entry.points, scores, strict=True)
                ],
                mode="lines+markers",
                connectgaps=False,
                line={"color": look.colour, "dash": look.dash, "width": 2},
                marker={"symbol": look.symbol, "size": 8, "color": look.colour},
                hovertemplate=f"<b>{model}</b>, K = %{{x}}<br>mean {name} %{{y:,.1f}}"
                "%{customdata[1]}<br>experiments that count: %{customdata[0]}<extra></extra>",
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
                    # A ring leaves the curve visible that it stands on.
                    "symbol": "circle-open",
                    "size": 18,
                    "color": ground(theme).ink,
                    "line": {"width": 2.5},
                },
                hovertemplate=f"<b>recommended</b><br>{model}, K = %{{x}}<br>{name} %{{y:,.1f}}"
                f"<br>experiment {best.experiment}<extra></extra>",
            )
        )
    caption = f"{name} over K (higher is better)"
    finished(drawn, caption, theme, height=460)
    drawn.update_xaxes(title_text="number of clusters K", dtick=_step(covariances), tick0=1)
    drawn.update_yaxes(title_text=name, tickformat="~s")
    shown = upper_range(_values(covariances, criterion, best))
    if shown is not None:
        drawn.update_yaxes(range=shown)
    drawn.update_layout(
        hovermode="closest",
        # Wide enough to tell dashes from a line.
        legend={
            "orientation": "h",
            "y": -0.18,
            "yanchor": "top",
            "x": 0,
            "itemwidth": 44,
            "itemsizing": "trace",
        },
        meta={"interval_method": interval_method},
    )
    if interval_method:
        drawn.update_layout(title={"subtitle": {"text": f"Bars: {interval_method}", "font": {"size": 12}}})
        drawn.update_layout(margin_t=74)
    return drawn


def upper_range(values: Sequence[float]) -> tuple[float, float] | None:
    """The range to draw at first: without scores far below the others, which would press those flat.

    Far is below the lower fence of Tukey (1977), 1.5 interquartile ranges under the first quartile. None
    where no score is that far.
    """
    if len(values) < _MIN_FOR_FENCE:
        return None
    first, third = (float(value) for value in np.quantile(values, [0.25, 0.75]))
    near = [value for value in values if value >= first - 1.5 * (third - first)]
    if len(near) == len(values):
        return None
    low, high = min(near), max(near)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _values(
    covariances: Sequence[report_pb2.CovarianceReport],
    criterion: Criterion,
    best: report_pb2.Recommendation | None,
) -> list[float]:
    points = [point for entry in covariances for point in entry.points if point.HasField(criterion)]
    values = [float(getattr(point, criterion).mean) for point in points]
    return values if best is None else [*values, float(getattr(best.result, criterion))]


def _length(score: report_pb2.Interval, half: float) -> float | None:
    return half if score.upper > score.lower else None


def _interval(point: report_pb2.ScorePoint, score: report_pb2.Interval) -> str:
    if point.counted < 2:
        return "<br>no interval: one experiment counts"
    return f"<br>95 % interval {score.lower:,.1f} to {score.upper:,.1f}".replace("-", "−")


def _step(covariances: Sequence[report_pb2.CovarianceReport]) -> int:
    highest = max((point.k for entry in covariances for point in entry.points), default=1)
    return 1 if highest <= 20 else 5
