"""Time per iteration against n, d, K and threads; a plot in docs/images, numbers in bench/results.

python -m bench.kernel.scaling [--quick]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from threadpoolctl import threadpool_limits

from bench.kernel.tables import overlapping
from bench.kernel.timing import best_fma_rate, first_labels, iteration_seconds

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "kernel-scaling.json"
PLOT = ROOT / "docs" / "images" / "kernel-scaling.svg"

Points = list[tuple[int, float]]


def measure(
    x: np.ndarray, n_clusters: int, covariance: str, *, plain: bool = False, threads: int = 1
) -> float:
    """Seconds per iteration of the first start; more rounds where one is short."""
    labels = first_labels(x, n_clusters, covariance, 0)
    rounds = int(np.clip(2_000_000 // len(x), 5, 50))
    return iteration_seconds(x, labels, n_clusters, covariance, rounds=rounds, plain=plain, threads=threads)


def against_n(sizes: list[int]) -> dict[str, Points]:
    curves: dict[str, Points] = {}
    for n in sizes:
        x = overlapping(n, 3)
        for name, covariance, plain in (
            ("full-untied", "full-untied", False),
            ("full-untied, every cost computed", "full-untied", True),
            ("spher-tied", "spher-tied", False),
        ):
            took = measure(x, 10, covariance, plain=plain)
            curves.setdefault(name, []).append((n, took))
    return curves


def against_d(dimensions: list[int], n: int) -> dict[str, Points]:
    curves: dict[str, Points] = {}
    for d in dimensions:
        x = overlapping(n, d)
        for covariance in ("full-untied", "full-tied", "diag-untied", "spher-tied"):
            curves.setdefault(covariance, []).append((d, measure(x, 10, covariance)))
    return curves


def against_clusters(counts: list[int], n: int) -> dict[str, Points]:
    curves: dict[str, Points] = {}
    for d in (2, 3, 8):
        x = overlapping(n, d)
        for n_clusters in counts:
            took = measure(x, n_clusters, "full-untied")
            curves.setdefault(f"full-untied, d {d}", []).append((n_clusters, took))
    return curves


def against_threads(sizes: list[int]) -> dict[str, Points]:
    curves: dict[str, Points] = {}
    for d in (3, 8, 32):
        for n in sizes:
            x = overlapping(n, d)
            one = measure(x, 10, "full-untied")
            two = measure(x, 10, "full-untied", threads=2)
            curves.setdefault(f"full-untied, d {d}", []).append((n, one / two))
    return curves


def draw(study: dict[str, dict[str, Points]], n_fixed: int, peak: float) -> None:
    mpl.rcParams.update({"svg.hashsalt": "kernel-scaling", "font.size": 9})
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), constrained_layout=True)
    titles = {
        "n": ("points (d 3, K 10)", "milliseconds per iteration"),
        "d": (f"columns (n {n_fixed:,}, K 10)", "milliseconds per iteration"),
        "K": (f"clusters (n {n_fixed:,})", "milliseconds per iteration"),
        "threads": ("points (K 10)", "two threads over one"),
    }
    for axis, (key, (below, beside)) in zip(axes.flat, titles.items(), strict=True):
        for name, points in study[key].items():
            places, values = np.array(points).T
            values = values if key == "threads" else values * 1e3
            axis.plot(places, values, marker="o", markersize=3, label=name)
        if key == "n":
            places = np.array([point[0] for point in study["n"]["full-untied"]])
            axis.plot(places, places * 10 * 9 / peak * 1e3, "k:", label="its multiply-adds at the FMA peak")
        if key == "d":
            places = np.array([point[0] for point in study["d"]["full-untied"]])
            work = n_fixed * 10 * (places * (places + 1) / 2 + places)
            axis.plot(places, work / peak * 1e3, "k:", label="full-untied at the FMA peak")
        axis.set_xscale("log")
        if key != "threads":
            axis.set_yscale("log")
        axis.set_xlabel(below)
        axis.set_ylabel(beside)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    n = 20_000 if quick else 100_000
    largest = 5 if quick else 7
    mpl.use("svg")
    with threadpool_limits(1):
        peak = best_fma_rate()
        study = {
            "n": against_n([10**power for power in range(3, largest + 1)]),
            "d": against_d([2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128][: 8 if quick else None], n),
            "K": against_clusters([1, 2, 3, 5, 7, 10, 15, 20, 30, 50], n),
            "threads": against_threads([n // 10, n, 10 * n]),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"fma_peak_per_second": peak, **study}, indent=1) + "\n")
    draw(study, n, peak)
    for key, curves in study.items():
        for name, points in curves.items():
            unit = 1 if key == "threads" else 1e3
            print(f"{key:8s}{name:36s}", "  ".join(f"{at:,}: {value * unit:.4g}" for at, value in points))


if __name__ == "__main__":
    main()
