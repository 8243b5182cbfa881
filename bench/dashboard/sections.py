"""`python -m bench.dashboard.sections`: a real Chromium draws the report of a table of a million rows.

Of each section, from the click until the browser rests: for a second, no frame took longer than a glance.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from kmeans.v1 import job_pb2
from playwright.sync_api import Page

from bench.dashboard.large_table import SECTIONS, write_table
from bench.dashboard.service import service
from kmeans_client import Client
from tests.servers.browser import open_browser, open_page

__all__ = ["main"]

_ROUNDS = 5
_RESTED = """() => new Promise(resolve => {
    let busy = performance.now(), before = busy;
    const look = () => {
        const now = performance.now();
        if (now - before > 60 || !document.querySelector('.js-plotly-plot .main-svg')) busy = now;
        before = now;
        if (now - busy > 1000) resolve(busy - window.clicked); else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})"""


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="kmeans-bench-") as folder,
        service(Path(folder), workers=2) as running,
        Client(running.target) as client,
        open_browser() as browser,
    ):
        dataset = client.upload_dataset(write_table(Path(folder) / "million.csv"))
        for max_k in (3, 8):
            spec = job_pb2.JobSpec(dataset=dataset.name, max_k=max_k, n_experiments=2, n_init=1)
            job = client.create_job(spec).job.name
            for _ in client.watch_job(job, job_only=True):
                pass
            print(
                f"Up to {max_k} clusters: seconds from the click until the browser rests, median and longest"
            )
            with open_page(browser) as opened:
                opened.page.goto(f"{running.url}/job?id={job.removeprefix('jobs/')}")
                # The first round also asks the service for the data.
                rounds = [_round(opened.page) for _ in range(1 + _ROUNDS)][1:]
            for section in SECTIONS:
                found = [each[section] for each in rounds]
                print(f"  {section:<20} {statistics.median(found):8.2f} {max(found):8.2f}", flush=True)


def _round(page: Page) -> dict[str, float]:
    return {section: _draw(page, section) for section in (*SECTIONS[1:], SECTIONS[0])}


def _draw(page: Page, section: str) -> float:
    control = page.get_by_test_id("stButtonGroup").get_by_text(section, exact=True)
    control.wait_for()
    page.evaluate("window.clicked = performance.now()")
    control.click()
    page.get_by_text(f"Drawing: {section}").wait_for(state="detached")
    return float(page.evaluate(_RESTED)) / 1e3


if __name__ == "__main__":
    main()
