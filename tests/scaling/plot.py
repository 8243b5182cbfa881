"""The plot of a rehearsal: bundles and workers over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.scaling.autoscaler import Sample

__all__ = ["PLOT", "draw"]

PLOT = Path(__file__).parents[2] / "docs" / "images" / "scaling.svg"


def draw(samples: Sequence[Sample], path: Path = PLOT) -> None:
    """Write an SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "scaling", "font.size": 9})
    from matplotlib import pyplot as plt

    seconds = [sample.at_seconds for sample in samples]
    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, figsize=(7.2, 3.6), height_ratios=(3, 2), layout="constrained"
    )
    working = [sample.depth.unacknowledged for sample in samples]
    waiting = [sample.depth.ready for sample in samples]
    above.stackplot(
        seconds, working, waiting, labels=["being worked on", "waiting"], colors=["#0f6cbd", "#b9d3ea"]
    )
    above.set_ylabel("bundles")
    above.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    below.step(seconds, [sample.workers for sample in samples], where="post", color="#1b2733")
    below.set_ylabel("workers")
    below.set_xlabel("seconds")
    below.set_ylim(bottom=0)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(left=0)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
