"""Backoff: how long to wait before trying again what just failed. Pure."""

from __future__ import annotations

__all__ = ["backoff_seconds"]


def backoff_seconds(
    failures: int, jitter: float, *, first_seconds: float = 0.1, longest_seconds: float = 10.0
) -> float:
    """Pause after this many failures in a row, in seconds: doubling, bounded, half of it random.

    Args:
        failures: 1 for the first failure.
        jitter: a random number in [0, 1), so that processes that failed together do not return together.
    """
    # The exponent is bounded too: 2.0**1024 overflows after some hours of an outage.
    ceiling = min(longest_seconds, first_seconds * 2.0 ** min(max(failures, 1) - 1, 32))
    return ceiling * (0.5 + 0.5 * jitter)
