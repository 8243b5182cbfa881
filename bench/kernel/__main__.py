"""Measure the kernel beside its peers, print one table, write bench/results/kernel.json.

    python -m bench.kernel [--quick]

One thread throughout unless a row says otherwise; every time is the least of several rounds. A peer's time
per iteration is the difference between a longer and a shorter run from the same partition, over the
iterations between; ours is the kernel's own clock around the same iterations.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy
import sklearn
from threadpoolctl import threadpool_limits

import ckernel
from bench.kernel import peers
from bench.kernel.tables import overlapping, survey
from bench.kernel.timing import (
    assignment_fma_share,
    best_fma_rate,
    first_labels,
    iteration_seconds,
    least_seconds,
    seconds,
)
from ckernel import _core

RESULTS = Path(__file__).parents[1] / "results" / "kernel.json"
ROUNDS = 5


@dataclass
class Row:
    """One line of the table; `ratio` is the peer's time over ours, or what the line names."""

    what: str
    ours: float
    peer: float | None
    unit: str
    ratio: float | None
    bar: float | None
    note: str = ""

    def __str__(self) -> str:
        peer = "" if self.peer is None else f"{self.peer:11.3f}"
        ratio = "" if self.ratio is None else f"{self.ratio:8.1f}"
        bar = "" if self.bar is None else f"{self.bar:6.1f}"
        verdict = "" if self.bar is None or self.ratio is None else "  " if self.ratio >= self.bar else " !"
        return (
            f"{self.what:58s} {self.ours:10.3f} {peer:>11s} {self.unit:3s} {ratio:>8s} {bar:>6s}"
            f"{verdict} {self.note}"
        )


HEADER = f"{'what':58s} {'ours':>10s} {'peer':>11s} {'':3s} {'ratio':>8s} {'bar':>6s}   (! below the bar)"


def check(condition: bool, sentence: str) -> None:
    if not condition:
        raise SystemExit(f"The bench does not hold: {sentence}")


def per_iteration(
    runs: dict[str, Callable[[int], int]], steps: dict[str, tuple[int, int]], rounds: int
) -> dict[str, float]:
    """Seconds per iteration of each run, a function from the most iterations to those made."""
    made: dict[str, int] = {}

    def work(name: str, steps: int) -> Callable[[], None]:
        def run() -> None:
            made[f"{name} {steps}"] = runs[name](steps)

        return run

    works = {f"{name} {step}": work(name, step) for name in runs for step in steps[name]}
    least = least_seconds(works, rounds)
    result = {}
    for name in runs:
        short, long = (f"{name} {step}" for step in steps[name])
        check(made[long] > made[short], f"{name} converged after {made[short]} iterations")
        result[name] = (least[long] - least[short]) / (made[long] - made[short])
    return result


def full_untied_rows(n: int, peak: float, rounds: int) -> list[Row]:
    """Time per iteration against GaussianMixture and SciPy, and the share of the peak."""
    rows = []
    bars = {2: (100, 50), 3: (100, 50), 8: (30, 20), 32: (12, 9)}
    for d, (mixture_bar, scipy_bar) in bars.items():
        x = overlapping(n, d)
        labels = first_labels(x, 10, "full-untied", 0)

        def mixture(steps: int, x: np.ndarray = x, labels: np.ndarray = labels) -> int:
            return peers.gaussian_mixture(x, labels, 10, steps).n_iter

        def plain(steps: int, x: np.ndarray = x, labels: np.ndarray = labels) -> int:
            return peers.scipy_fit(x, labels, 10, "full-untied", steps).n_iter

        least = {"ours": iteration_seconds(x, labels, 10, "full-untied", rounds=4 * rounds)}
        least |= per_iteration(
            {"mixture": mixture, "scipy": plain}, {"mixture": (1, 5), "scipy": (1, 5)}, max(2, rounds // 2)
        )
        one, share = assignment_fma_share(x, 10, peak)
        what = f"full-untied, n {n:,}, d {d}, K 10, per iteration"
        for peer, name, bar in (
            ("mixture", "GaussianMixture", mixture_bar),
            ("scipy", "SciPy", scipy_bar),
        ):
            ratio = least[peer] / least["ours"]
            rows.append(Row(f"{what} / {name}", least["ours"] * 1e3, least[peer] * 1e3, "ms", ratio, bar))
        rows.append(
            Row(
                f"assignment step, every cost computed, d {d}: % of FMA peak",
                one * 1e3,
                None,
                "ms",
                share * 100,
                65 if d == 32 else 40,
            )
        )
        # The same start reaches the same likelihood in SciPy, unless it lost a cluster there.
        some = np.ascontiguousarray(x[:5000])
        begin = first_labels(some, 10, "full-untied", 0)
        theirs = peers.scipy_fit(some, begin, 10, "full-untied")
        fit = ckernel.fit(some, 10, initial_labels=begin)
        if theirs.converged and np.bincount(theirs.labels, minlength=10).min() > d:
            score = ckernel.score(some, theirs.labels)[0]
            check(
                abs(fit.log_likelihood - score) <= 1e-9 * abs(score),
                f"d {d}: ours {fit.log_likelihood}, SciPy {score}",
            )
            rows[-1].note = f"log-likelihoods of 5,000 rows agree ({score:.3f})"
    return rows


def lloyd_rows(n: int, rounds: int) -> list[Row]:
    """spher-tied under the classic rule is Lloyd's algorithm."""
    rows = []
    for d, bar in {2: 2.0, 8: 2.0, 32: 1.2}.items():
        x = overlapping(n, d)
        labels = first_labels(x, 10, "spher-tied", 0)

        def lloyd(steps: int, x: np.ndarray = x, labels: np.ndarray = labels) -> int:
            return peers.lloyd(x, labels, 10, steps).n_iter

        least = per_iteration({"lloyd": lloyd}, {"lloyd": (1, 21)}, 2 * rounds)
        least["ours"] = iteration_seconds(
            x, labels, 10, "spher-tied", assignment="mahalanobis", rounds=4 * rounds
        )
        theirs = peers.lloyd(x, labels, 10, 500)
        fit = ckernel.fit(x, 10, "spher-tied", assignment="mahalanobis", max_iter=500, initial_labels=labels)
        score = ckernel.score(x, theirs.labels, "spher-tied")[0]
        note = ""
        if theirs.converged and fit.converged:
            check(
                abs(fit.log_likelihood - score) <= 1e-6 * abs(score),
                f"Lloyd at d {d}: ours {fit.log_likelihood}, KMeans {score}",
            )
            note = f"log-likelihoods {fit.log_likelihood:.3f} and {score:.3f}"
        rows.append(
            Row(
                f"spher-tied, n {n:,}, d {d}, K 10, per iteration / KMeans",
                least["ours"] * 1e3,
                least["lloyd"] * 1e3,
                "ms",
                least["lloyd"] / least["ours"],
                bar,
                note,
            )
        )
    return rows


def small_fit_rows(rounds: int) -> list[Row]:
    """Ten starts on a survey-sized table, SciPy from the same ten partitions (its seeding not counted)."""
    rows = []
    x = survey()
    for covariance in ckernel.COVARIANCES:
        for n_clusters in (5, 10):
            starts = [first_labels(x, n_clusters, covariance, start) for start in range(10)]
            outcomes: list[peers.Outcome] = []
            theirs = float("inf")
            for _ in range(max(1, rounds - 2)):
                outcomes.clear()
                theirs = min(
                    theirs,
                    seconds(
                        lambda starts=starts, covariance=covariance, outcomes=outcomes, k=n_clusters: (
                            outcomes.extend(peers.scipy_fit(x, labels, k, covariance) for labels in starts)
                        )
                    ),
                )
            ours = least_seconds(
                {"fit": lambda covariance=covariance, k=n_clusters: ckernel.fit(x, k, covariance)},
                4 * rounds,
            )["fit"]
            # Of each start, the fixed point is the same or better (SciPy re-seeds no emptied cluster).
            for labels, outcome in zip(starts, outcomes, strict=True):
                fit = ckernel.fit(x, n_clusters, covariance, initial_labels=labels)
                kept = np.bincount(outcome.labels, minlength=n_clusters).min() > x.shape[1]
                if outcome.converged and kept and not fit.regularized:
                    score = ckernel.score(x, outcome.labels, covariance)[0]
                    check(
                        fit.log_likelihood >= score - 1e-9 * abs(score),
                        f"{covariance}, K {n_clusters}: ours {fit.log_likelihood}, SciPy {score}",
                    )
            rows.append(
                Row(
                    f"ten starts, {covariance}, n 3,232, d 3, K {n_clusters} / SciPy",
                    ours * 1e3,
                    theirs * 1e3,
                    "ms",
                    theirs / ours,
                    50,
                    f"{sum(outcome.n_iter for outcome in outcomes)} iterations",
                )
            )
    return rows


def memory_rows() -> list[Row]:
    """Peak memory above the data, in a process of its own."""
    program = """
import sys
from pathlib import Path
import numpy as np
import ckernel

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

n, d, k = map(int, sys.argv[1:])
x = np.empty((n, d))
np.random.default_rng(0).standard_normal(out=x)
Path("/proc/self/clear_refs").write_text("5")
before = most()
ckernel.fit(x, k, n_init=2, max_iter=3)
print((most() - before) / x.nbytes)
"""
    rows = []
    for n, d, n_clusters in ((4_000_000, 1, 10), (4_000_000, 2, 10), (1_000_000, 8, 50), (300_000, 32, 50)):
        what = f"memory above the data, n {n:,}, d {d}, K {n_clusters} (bar: at most 2)"
        sizes = [str(n), str(d), str(n_clusters)]
        ended = subprocess.run(
            [sys.executable, "-c", program, *sizes], check=False, capture_output=True, text=True
        )
        if ended.returncode == 0:
            rows.append(Row(what, float(ended.stdout), None, "x", None, None))
        else:
            rows.append(Row(what, float("nan"), None, "x", None, None, "cannot be measured here"))
    return rows


def thread_rows(rounds: int) -> list[Row]:
    """Two threads against one, and the same bits. What the machine had to give meanwhile is told by two
    one-thread fits side by side, which share nothing."""
    rows = []
    cases = (
        (100_000, 3, 8),
        (100_000, 8, 8),
        (100_000, 8, 1),
        (100_000, 32, 1),
        (1_000_000, 3, 1),
    )
    for n, d, n_init in cases:
        x = overlapping(n, d)

        def fit(threads: int, x: np.ndarray = x, n_init: int = n_init) -> ckernel.Fit:
            return ckernel.fit(x, 10, n_init=n_init, max_iter=30, threads=threads)

        def side_by_side(fit: Callable[[int], ckernel.Fit] = fit) -> None:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(fit, (1, 1)))

        one, two = fit(1), fit(2)
        check(one.labels.tobytes() == two.labels.tobytes(), "labels differ between 1 and 2 threads")
        check(one.log_likelihood == two.log_likelihood, "likelihoods differ between 1 and 2 threads")
        least = least_seconds(
            {"1": lambda fit=fit: fit(1), "2": lambda fit=fit: fit(2), "side": side_by_side}, 2 * rounds
        )
        rows.append(
            Row(
                f"two threads / one, n {n:,}, d {d}, {n_init} starts, whole fit",
                least["2"] * 1e3,
                least["1"] * 1e3,
                "ms",
                least["1"] / least["2"],
                1.8,
                f"same bits; two fits side by side reach {2 * least['1'] / least['side']:.2f}",
            )
        )
    return rows


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main(arguments: list[str] | None = None) -> None:
    quick = "--quick" in (sys.argv[1:] if arguments is None else arguments)
    rounds = 2 if quick else ROUNDS
    n = 20_000 if quick else 100_000
    with threadpool_limits(1):
        peak = best_fma_rate()
        about = {
            "processor": processor(),
            "instruction_set": _core.instruction_set_name(-1),
            "fma_peak_per_second": peak,
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "scipy": scipy.__version__,
                "scikit-learn": sklearn.__version__,
            },
        }
        print(
            f"{about['processor']}, {about['instruction_set']}, {peak / 1e9:.1f} billion FMA/s on one core; "
            + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        )
        print(HEADER)
        rows: list[Row] = []
        for measure in (
            lambda: full_untied_rows(n, peak, rounds),
            lambda: lloyd_rows(n, rounds),
            lambda: small_fit_rows(rounds),
            memory_rows,
            lambda: thread_rows(rounds),
        ):
            for row in measure():
                print(row, flush=True)
                rows.append(row)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    print(f"Written to {RESULTS.relative_to(Path(__file__).parents[2])}.")


if __name__ == "__main__":
    main()
