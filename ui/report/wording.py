"""Names and numbers as plots and tables show them."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "cluster_name",
    "counted",
    "name_angle",
    "name_height",
    "number",
    "plot_text",
    "share",
    "shortened",
    "squeezed",
    "tick_names",
]

MAX_NAME_CHARACTERS = 40
_TICK_CHARACTERS = 26
# Of a line of small print, less the room between names, on the narrowest page.
_LINE_CHARACTERS = 70


def plot_text(text: str, max_characters: int = MAX_NAME_CHARACTERS) -> str:
    """A user's text as Plotly shows it word for word: Plotly reads HTML and `%{...}` in every text."""
    plain = shortened(text, max_characters).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("%{", "&#37;{")


def shortened(text: str, max_characters: int = MAX_NAME_CHARACTERS) -> str:
    """The text in one line, cut with an ellipsis where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= max_characters else f"{line[: max_characters - 1]}…"


def squeezed(text: str, max_characters: int) -> str:
    """The text in one line, cut in its middle: names that begin alike often end otherwise."""
    line = " ".join(text.split())
    if len(line) <= max_characters:
        return line
    end = (max_characters - 1) // 2
    return f"{line[: max_characters - 1 - end]}…{line[-end:]}"


def tick_names(names: Sequence[str]) -> list[str]:
    """Names of columns beside the cells of a heat map, word for word or cut in their middle."""
    return [plot_text(squeezed(name, _TICK_CHARACTERS)) for name in names]


def name_angle(names: Sequence[str]) -> int:
    """How the names of columns stand below a plot as wide as a page: in a line, or upright."""
    return 0 if sum(map(len, names)) <= _LINE_CHARACTERS else -90


def name_height(names: Sequence[str]) -> int:
    """The height in pixels that names below a plot need beyond that of a line."""
    longest = max(map(len, names), default=0)
    return 0 if name_angle(names) == 0 else round(6.6 * min(longest, _TICK_CHARACTERS))


def cluster_name(label: int) -> str:
    """`Cluster 0`, numbered as labels are everywhere; rows without a label are `No label`."""
    return f"Cluster {label}" if label >= 0 else "No label"


def number(value: float) -> str:
    """Four significant digits, without an exponent where that stays readable; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 1e7 or magnitude < 1e-4:
        return f"{value:.3e}".replace("-", "−")
    decimals = max(0, 3 - math.floor(math.log10(magnitude)))
    text = f"{value:,.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def counted(value: int, noun: str) -> str:
    """`1 cluster`, `2 clusters`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def share(value: float) -> str:
    """A share from 0 to 1 in percent: `32 %`; one decimal below ten."""
    percent = 100 * value
    return f"{percent:.1f} %" if percent < 10 else f"{percent:.0f} %"
