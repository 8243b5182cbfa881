"""`python -m bench.dashboard`: many sessions on one job, then a large table; at most three minutes.

Service, dashboard and sessions share the machine. Figures go to bench/results/dashboard.json as well.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from bench.dashboard import large_table, watching
from bench.dashboard.service import service

__all__ = ["main"]

_RESULTS = Path(__file__).parent.parent / "results" / "dashboard.json"


def main() -> None:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="kmeans-bench-") as folder:
        # One core computes, so that the other is there for those who look.
        with service(Path(folder), workers=1) as running:
            print("Sessions that look at one running job")
            results["watching"] = watching.measure(running)
            _print(results["watching"])
        with service(Path(folder), workers=2) as running:
            print("A table of a million rows")
            results["large_table"], pages = large_table.measure(running, Path(folder))
            _print(results["large_table"])
    print("Seconds until a page is drawn, the first time and with its data there")
    for name, (first, again) in pages.items():
        print(f"  {name:<36} {first:10.2f} {again:10.2f}", flush=True)
    results["pages"] = {name: {"first": first, "again": again} for name, (first, again) in pages.items()}
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def _print(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        shown = f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
        print(f"  {name:<36} {shown:>10}", flush=True)


if __name__ == "__main__":
    main()
