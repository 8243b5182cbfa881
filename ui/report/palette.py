"""Colours, symbols, dashes and patterns: what a cluster and a covariance model look like in every plot.

The first six colours are those of Okabe & Ito (2008, "Color Universal Design"); black and yellow are left
out, since one vanishes on a dark ground and the other on a white one. Six more were chosen among those that
show on both grounds, each as far as can be from all before it in CIELAB, as seen with normal vision and with
each of the three kinds of dichromacy (Machado et al. 2009). Symbols change with every cluster, so that colour
is never the only cue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "COLOURS",
    "DIVERGING",
    "NO_LABEL",
    "PATTERNS",
    "SEQUENTIAL",
    "SYMBOLS",
    "Look",
    "cluster_look",
    "covariance_look",
]

COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"),
    *("#783C1E", "#9678FF", "#C3C378", "#E10F4B", "#4B3CB4", "#5A3C69"),
)
SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "x",
    "triangle-down",
    "star",
    "pentagon",
)
PATTERNS = ("", "/", "x", ".", "-", "\\", "|", "+")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

# Rows without a label, and whatever belongs to no cluster.
NO_LABEL = "#8A929E"

# From -1 through 0 to 1: blue and orange differ with any colour vision; the middle suits both grounds.
DIVERGING = (
    (0.0, "#1F5FA8"),
    (0.25, "#7FA6D1"),
    (0.5, "#E9E6E0"),
    (0.75, "#E5A66A"),
    (1.0, "#B4530A"),
)
SEQUENTIAL = ((0.0, "#E6ECF3"), (0.5, "#7FA6D1"), (1.0, "#1F5FA8"))

# Muted tones that are none of the clusters': a curve of a model is no cluster.
_FAMILY = {
    "full": ("#4477AA", "circle"),
    "diag": ("#B5651D", "square"),
    "spher": ("#8E5AA8", "diamond"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """How one thing is drawn wherever it appears."""

    colour: str
    symbol: str
    dash: str
    pattern: str = ""


def cluster_look(label: int, places: Sequence[int] = ()) -> Look:
    """The look of cluster `label` (from 0): unique up to 108 clusters; -1 is a row without a label.

    Args:
        label: of the cluster in its own fit.
        places: for each label the one whose look it has, where a fit takes those of another (`matching`).
    """
    if label < 0:
        return Look(NO_LABEL, "circle-open", "dot")
    place = places[label] if label < len(places) else label
    turn, colour = divmod(place, len(COLOURS))
    return Look(
        COLOURS[colour],
        SYMBOLS[(place + turn) % len(SYMBOLS)],
        _DASHES[place % len(_DASHES)],
        PATTERNS[turn % len(PATTERNS)],
    )


def covariance_look(name: str) -> Look:
    """The look of a covariance model such as `full-untied`: tied ones are open and dashed."""
    family, _, kind = name.partition("-")
    colour, symbol = _FAMILY.get(family, (NO_LABEL, "circle"))
    tied = kind == "tied"
    return Look(colour, f"{symbol}-open" if tied else symbol, "dash" if tied else "solid")
