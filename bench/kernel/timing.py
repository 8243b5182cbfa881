"""How things are timed here: interleaved, several rounds, the least of each."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import ckernel
from ckernel import _core


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def least_seconds(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least time of each piece of work. The rounds go through all of them in turn, so that whatever else
    the machine does falls on all alike."""
    least = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            least[name] = min(least[name], seconds(work))
    return least


def best_fma_rate() -> float:
    """Fused multiply-adds per second of one core, from a loop that does nothing else."""
    rounds = 200_000
    rates = []
    for _ in range(20):
        began = time.perf_counter()
        count = _core.multiply_adds(-1, rounds)
        rates.append(count / (time.perf_counter() - began))
    return max(rates)


def assignment_fma_share(x: np.ndarray, n_clusters: int, peak: float) -> tuple[float, float]:
    """Least seconds of a full-untied assignment pass in which every cost is computed (no boxes), and the
    share of the peak that its d (d + 1) / 2 + d multiply-adds per point and cluster come to."""
    n, d = x.shape
    code = ckernel.COVARIANCES.index("full-untied")
    least = min(
        float(_core.assignment_seconds(x, n_clusters, code, 0, 3, 1, 12, -1, True).min()) for _ in range(4)
    )
    return least, n * n_clusters * (d * (d + 1) // 2 + d) / least / peak


def iteration_seconds(
    x: np.ndarray,
    labels: np.ndarray,
    n_clusters: int,
    covariance: str,
    *,
    assignment: str = "likelihood",
    steps: int = 20,
    rounds: int = 8,
    threads: int = 1,
    plain: bool = False,
) -> float:
    """Least seconds per iteration (estimate, assignment, statistics) of one start of at most `steps` from a
    partition, by the kernel's own clock: seeding and the last pass, made once per start, are not counted."""
    key = np.zeros(2, dtype=np.uint64)
    least = float("inf")
    for _ in range(rounds):
        result = _core.fit_starts(
            x,
            n_clusters,
            ckernel.COVARIANCES.index(covariance),
            ckernel.ASSIGNMENTS.index(assignment),
            1,
            steps,
            key,
            threads,
            0,
            labels,
            -1,
            plain,
        )
        least = min(least, result["seconds"] / result["n_iter"])
    return least


def first_labels(x: np.ndarray, n_clusters: int, covariance: str, start: int) -> np.ndarray:
    """The partition that start number `start` of `ckernel.fit(..., seed=0)` begins with."""
    key = np.random.SeedSequence(0).generate_state(2, np.uint64)
    return _core.first_labels(x, n_clusters, ckernel.COVARIANCES.index(covariance), np.asarray(key), start)
