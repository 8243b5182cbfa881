"""The questions that docs/scaling.md answers, and the table of their answers."""

from __future__ import annotations

from pathlib import Path

from tests.scaling.policy import ScalingPolicy
from tests.scaling.simulation import Site, simulate

__all__ = ["CASES", "DOCUMENT", "table"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "scaling.md"

# Most workers, and the site.
CASES: tuple[tuple[int, Site], ...] = tuple(
    (most, Site(store_results_per_second=results))
    for results in (75.0, 2_000.0, 20_000.0)
    for most in (10, 1_000, 10_000)
)

_HEAD = (
    "| at most | results/s | drained in | workers at once | worker-hours | of these computing | limit |\n"
    "| --- | --- | --- | --- | --- | --- | --- |\n"
)


def table(policy: ScalingPolicy) -> str:
    """One row for each case, in Markdown."""
    return _HEAD + "".join(_row(policy, most, site) for most, site in CASES)


def _row(policy: ScalingPolicy, most: int, site: Site) -> str:
    outcome = simulate(policy, site, max_workers=most)
    return (
        f"| {most:,} | {site.store_results_per_second:,.0f} | {_span(outcome.drain_seconds)} "
        f"| {outcome.most_workers:,} | {outcome.worker_seconds / 3600:,.0f} "
        f"| {outcome.useful_share:.0%} | {outcome.bound_by} |\n"
    )


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"
