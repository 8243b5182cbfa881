"""Agreement: how far the experiments of a job find the same partition. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.core.tasks import Task

__all__ = [
    "MAX_COMPARED_ROWS",
    "Agreement",
    "ExperimentAgreement",
    "adjusted_rand_index",
    "choose_compared",
    "count_pairs",
]

# Enough for two decimals of the index, and bounded work however large the dataset is.
MAX_COMPARED_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class ExperimentAgreement:
    """How far the best task of one experiment agrees with the best overall; 1 is the same partition."""

    task: Task
    adjusted_rand_index: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the experiments of a job agree with its best task.

    Attributes:
        experiments: one entry per experiment in which some fit qualifies, by experiment.
        row_count: rows whose labels were compared.
        sampled: whether these are a sample.
    """

    best: Task
    experiments: tuple[ExperimentAgreement, ...]
    row_count: int
    sampled: bool


def choose_compared(n: int) -> NDArray[np.int64] | None:
    """Which of n complete rows are compared, ascending from 0; None for all. The same for the same n."""
    if n <= MAX_COMPARED_ROWS:
        return None
    return np.sort(np.random.default_rng(0).choice(n, MAX_COMPARED_ROWS, replace=False))


def count_pairs(first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.int64]:
    """The contingency table of two labellings (n,) from 0: entry (i, j) counts rows with label i and j."""
    width = int(second.max(initial=-1)) + 1
    height = int(first.max(initial=-1)) + 1
    pairs = first.astype(np.int64) * width + second
    return np.bincount(pairs, minlength=height * width).reshape(height, width)


def adjusted_rand_index(table: NDArray[np.int64]) -> float:
    """Adjusted Rand index of two partitions (Hubert & Arabie 1985, equation 5), at most 1.

    1 when they are the same partition, about 0 when they agree no more than by chance. Computed in
    integers of any size until the last division.

    Args:
        table: their contingency table, (K1, K2) counts.
    """
    joint = sum(_pairs(count) for count in table.ravel().tolist())
    first = sum(_pairs(count) for count in table.sum(axis=1).tolist())
    second = sum(_pairs(count) for count in table.sum(axis=0).tolist())
    every = _pairs(int(table.sum()))
    # (joint - expected) / (mean - expected) with expected = first * second / every, times 2 * every.
    agreed = 2 * (joint * every - first * second)
    possible = (first + second) * every - 2 * first * second
    # Both partitions are one cluster, or both are all singletons: the same partition.
    return agreed / possible if possible else 1.0


def _pairs(count: int) -> int:
    return count * (count - 1) // 2
