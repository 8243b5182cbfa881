"""Colours can be told apart by everybody, and one cluster has one colour."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from ui.report.matching import matched
from ui.report.palette import COLOURS, cluster_look
from ui.report.panels import Panel

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# Differences of 10 are plain at a glance (2.3 can just be seen).
PLAIN = 15


def linear(colour: str) -> NDArray[np.float64]:
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089])
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("vision", VISIONS)
def test_twelve_colours_are_told_apart_with_any_vision(vision: str) -> None:
    assert len(COLOURS) == 12
    seen = {colour: lab(VISIONS[vision] @ linear(colour)) for colour in COLOURS}
    for one, other in combinations(COLOURS, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > PLAIN, (one, other)


def test_neighbours_differ_in_their_symbols_as_well() -> None:
    assert len({cluster_look(label).symbol for label in range(9)}) == 9


def test_clusters_of_two_fits_are_paired_by_the_rows_they_share() -> None:
    best = np.array([0] * 50 + [1] * 30 + [2] * 20 + [-1])
    same = np.array([2] * 50 + [0] * 30 + [1] * 20 + [0])
    assert matched(same, best, 3, 3) == [1, 2, 0]
    # One more cluster, cut from the largest, has a look that the best fit has not.
    cut = np.array([0] * 35 + [3] * 15 + [1] * 30 + [2] * 20 + [-1])
    assert matched(cut, best, 4, 3) == [0, 1, 2, 3]
    merged = np.array([1] * 50 + [0] * 50 + [-1])
    assert matched(merged, best, 2, 3) == [1, 0]


def test_a_paired_cluster_looks_like_its_pair_and_is_called_so_in_the_legend() -> None:
    panel = Panel("p", places=[1, 0, 2], n_best=2)
    assert cluster_look(0, panel.places) == cluster_look(1)
    assert [panel.group(label) for label in (0, 1, 2, -1)] == [
        *("Cluster 1", "Cluster 0", "Further cluster 1", "No label"),
    ]
    assert sorted((0, 1, 2, -1), key=panel.rank) == [1, 0, 2, -1]
