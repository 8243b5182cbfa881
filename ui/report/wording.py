"""Names and numbers as plots and tables show them."""

from __future__ import annotations

import math

__all__ = ["cluster_name", "counted", "number", "plot_text", "share", "shortened"]

MAX_NAME_CHARACTERS = 40


def plot_text(text: str, max_characters: int = MAX_NAME_CHARACTERS) -> str:
    """A user's text as Plotly shows it word for word: Plotly reads HTML and `%{...}` in every text."""
    plain = shortened(text, max_characters).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("%{", "&#37;{")


def shortened(text: str, max_characters: int = MAX_NAME_CHARACTERS) -> str:
    """The text in one line, cut with an ellipsis where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= max_characters else f"{line[: max_characters - 1]}…"


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
