"""A table of a million rows and ten columns: uploaded through the page, and each page drawn twice.

The first time a page asks the service for its data; the second time the data has arrived.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
from kmeans.v1 import job_pb2

from bench.dashboard.service import Service
from bench.dashboard.session import PageFailed, Session, open_session
from kmeans_client import Client

__all__ = ["SECTIONS", "measure", "write_table"]

_ROWS = 1_000_000
_COLUMNS = 10
_BLOCK = 20_000
SECTIONS = ("Clusters", "What differs", "Map", "Scores", "Stability", "Columns")
_TASK_SECTIONS = ("Two columns", "Every pair", "What differs", "Map", "Sizes")


def measure(service: Service, folder: Path) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Figures of the upload and of memory, and for each page the seconds of its first and its second time."""
    file = write_table(folder / "million.csv")
    figures: dict[str, float] = {"rows": _ROWS, "columns": _COLUMNS, "size_mb": file.stat().st_size / 1e6}
    for server in (service.gateway, service.dashboard):
        server.forget_peak()
    dataset = asyncio.run(_upload(service.url, file, figures))
    figures["gateway_peak_mib_of_upload"] = service.gateway.peak_bytes() / 2**20
    figures["dashboard_peak_mib_of_upload"] = service.dashboard.peak_bytes() / 2**20
    with Client(service.target) as client:
        spec = job_pb2.JobSpec(dataset=dataset, max_k=3, n_experiments=2, n_init=1)
        job = client.create_job(spec).job.name
        began = time.perf_counter()
        *_, last = client.watch_job(job, job_only=True)
        figures["job_seconds"] = time.perf_counter() - began
        best = client.get_report(job).best.task
        assert last.job.state == job_pb2.JOB_STATE_SUCCEEDED, last.job
    for server in (service.gateway, service.dashboard):
        server.forget_peak()
    pages = asyncio.run(_pages(service.url, dataset, job, best))
    figures["gateway_peak_mib_of_pages"] = service.gateway.peak_bytes() / 2**20
    figures["dashboard_peak_mib_of_pages"] = service.dashboard.peak_bytes() / 2**20
    for server in (service.gateway, service.dashboard):
        server.forget_peak()
    figures["dashboard_mib_before_labels"] = service.dashboard.resident_bytes() / 2**20
    asyncio.run(_labels(service.url, job, best, figures))
    figures["dashboard_peak_mib_of_labels"] = service.dashboard.peak_bytes() / 2**20
    figures["gateway_peak_mib_of_labels"] = service.gateway.peak_bytes() / 2**20
    return figures, pages


def write_table(file: Path) -> Path:
    """Three clusters in ten columns, two of which are coordinates."""
    rng = np.random.default_rng(11)
    centers = rng.uniform(0, 100, (3, _COLUMNS))
    names = ["longitude", "latitude", *(f"c{number}" for number in range(_COLUMNS - 2))]
    with file.open("w") as out:
        out.write(",".join(names) + "\n")
        for _ in range(_ROWS // _BLOCK):
            values = rng.normal(centers[rng.integers(3, size=_BLOCK)], 6.0)
            values[:, 0] = 8 + values[:, 0] / 1_000
            values[:, 1] = 50 + values[:, 1] / 1_000
            np.savetxt(out, values, fmt="%.6f", delimiter=",")
    return file


async def _upload(url: str, file: Path, figures: dict[str, float]) -> str:
    async with open_session(url) as session:
        await session.show()
        arrived, drawn = await session.upload("uploader-0", file)
        figures["to_the_dashboard_seconds"] = arrived
        figures["to_the_service_and_drawn_seconds"] = drawn
        figures["steps_of_the_progress_bar"] = len(set(session.bars))
        return "datasets/" + session.query.partition("dataset=")[2].partition("&")[0]


async def _pages(url: str, dataset: str, job: str, task: str) -> dict[str, tuple[float, float]]:
    place = f"id={job.removeprefix('jobs/')}"
    addresses = {
        "New analysis": ("", f"dataset={dataset.removeprefix('datasets/')}"),
        "Jobs": ("jobs", ""),
        "Progress": ("job", f"{place}&view=Progress"),
        "Tasks": ("job", f"{place}&view=Tasks"),
    }
    found = {}
    for name, (page, query) in addresses.items():
        async with open_session(url, page, query) as session:
            found[name] = (await session.show(), await session.show())
    async with open_session(url, "job", f"{place}&view=Report") as session:
        opened = await session.show()
        for section in SECTIONS:
            found[f"Report: {section}"] = await _twice(session, "section", section)
        found[f"Report: {SECTIONS[0]}"] = (opened, found[f"Report: {SECTIONS[0]}"][1])
    async with open_session(url, "job", f"{place}&view=Task&task={task.rpartition('/')[2]}") as session:
        opened = await session.show()
        for section in _TASK_SECTIONS:
            found[f"Task: {section}"] = await _twice(session, "task-section", section)
        found[f"Task: {_TASK_SECTIONS[0]}"] = (opened, found[f"Task: {_TASK_SECTIONS[0]}"][1])
    return found


async def _labels(url: str, job: str, task: str, figures: dict[str, float]) -> None:
    async with open_session(url, "job", f"id={job.removeprefix('jobs/')}&view=Report") as session:
        await session.show()
        seconds, size = await session.download(f"download-labels-{task}")
        figures["labels_seconds"] = seconds
        figures["labels_mb"] = size / 1e6


async def _twice(session: Session, key: str, section: str) -> tuple[float, float]:
    first, again = await session.choose(key, section), await session.show()
    if not session.plots:
        raise PageFailed(f"{section} shows no plot")
    return first, again
