"""`python -m bench.dashboard.browsers [COUNT]`: real Chromium pages look at one running job, each a session.

Fifty of them take two cores some eight minutes to draw: what is measured is the gateway beside them, and
`python -m bench.dashboard` does the same without a browser.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

from kmeans.v1 import job_pb2
from playwright.sync_api import Browser

from bench.dashboard.service import service
from bench.dashboard.watching import SESSIONS, latencies, percentiles
from bench.job import make_table
from kmeans_client import Client, has_ended
from tests.servers.browser import open_browser

__all__ = ["main"]

_CALLS = 500
_PATIENCE_SECONDS = 900


def main(count: int) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="kmeans-bench-") as folder,
        service(Path(folder), workers=1) as running,
        Client(running.target) as client,
        open_browser() as browser,
    ):
        dataset = client.upload_dataset(io.BytesIO(make_table(20_000)), display_name="bench.csv")
        spec = job_pb2.JobSpec(dataset=dataset.name, max_k=30, n_experiments=20, n_init=50)
        job = client.create_job(spec).job.name
        latencies(client, job, _CALLS // 10)
        figures: dict[str, float] = {"pages": count}
        figures |= percentiles(latencies(client, job, _CALLS), "alone")
        began = time.perf_counter()
        _open(browser, f"{running.url}/job?id={job.removeprefix('jobs/')}&view=Progress", count)
        figures["all_drawn_seconds"] = time.perf_counter() - began
        figures |= percentiles(latencies(client, job, _CALLS), "watched")
        figures["watch_streams_on_the_gateway"] = running.watches()
        figures["dashboard_mib"] = running.dashboard.resident_bytes() / 2**20
        figures["gateway_mib"] = running.gateway.resident_bytes() / 2**20
        if has_ended(client.get_job(job)):
            raise RuntimeError("the job ended before it was measured; it needs more work")
        client.cancel_job(job)
    for name, value in figures.items():
        print(f"  {name:<36} {value:10,.2f}")


def _open(browser: Browser, address: str, count: int) -> None:
    pages = [browser.new_context(viewport={"width": 1280, "height": 900}).new_page() for _ in range(count)]
    for page in pages:
        page.goto(address, wait_until="commit", timeout=_PATIENCE_SECONDS * 1e3)
    for page in pages:
        page.get_by_text("What this job computes").wait_for(timeout=_PATIENCE_SECONDS * 1e3)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS)
