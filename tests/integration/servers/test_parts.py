"""A job in parts on real servers: the bits of the same job run embedded and in one go."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from kmeans.v1 import job_pb2
from pymongo import MongoClient

from kmeans_client import Client
from services.core.settings import read_settings
from services.embedded.service import EmbeddedService
from tests.servers.mongodb import drop_database


def make_table() -> bytes:
    numbers = np.random.default_rng(5)
    values = np.concatenate([numbers.normal(5 * zone, 1, (100, 2)) for zone in range(3)])
    text = io.StringIO("a,b\n")
    text.seek(0, io.SEEK_END)
    np.savetxt(text, values, fmt="%.3f", delimiter=",")
    return text.getvalue().encode()


def run(home: Path, **settings: Any) -> dict[str, tuple[int, bytes, bytes]]:
    """State, scores and model of every task, to the last bit; each is seen once, and counted once."""
    chosen = read_settings(home=home, worker_slots=2, sweep_seconds=0.2, **settings)
    with EmbeddedService(chosen) as service, Client(service.start("127.0.0.1:0")) as client:
        client.wait_until_ready(30.0)
        dataset = client.upload_dataset(io.BytesIO(make_table()), display_name="zones.csv")
        spec = job_pb2.JobSpec(dataset=dataset.name, max_k=3, n_experiments=1, n_init=6)
        job = client.create_job(spec).job
        told: set[str] = set()
        for step in client.watch_job(job.name):
            job = step.job
            told.update(task.name for task in step.tasks)
        tasks = [client.get_task(task.name) for task in client.list_tasks(job.name)]
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert job.task_counts.total == len(tasks) == 18
    assert told == {task.name for task in tasks}
    return {
        task.name.split("/")[-1]: (
            task.state,
            task.result.SerializeToString(deterministic=True),
            b"".join(cluster.SerializeToString(deterministic=True) for cluster in task.clusters),
        )
        for task in tasks
    }


def test_parts_on_real_servers_give_the_same_bits(
    tmp_path: Path, mongodb_url: str, rabbitmq_url: str, s3_url: str
) -> None:
    name = f"parts-{secrets.token_hex(6)}"
    store_url = urlsplit(mongodb_url)._replace(path=f"/{name}").geturl()
    urls = {
        "store_url": store_url,
        "queue_url": f"{rabbitmq_url}?prefix={name}",
        "objects_url": f"{s3_url}/{name}",
        "s3_endpoint_url": os.environ.get("KMEANS_S3_ENDPOINT_URL"),
    }
    whole = run(tmp_path / "whole")
    try:
        assert run(tmp_path / "parts", part_seconds=1e-6, **urls) == whole
        with MongoClient[dict[str, Any]](store_url) as client:
            database = client.get_default_database()
            tasks = [task for block in database["blocks"].find() for task in block["tasks"]]
            assert sum("@" in task["id"] for task in tasks) == 18 * 6
            # The models of parts are gone but those of the best, which are their tasks'.
            named = {task["model"]["name"] for task in tasks if task["model"] is not None}
            assert len(named) == sum("@" not in task["id"] for task in tasks) == 18
            assert {name for pack in database["models"].find() for name in pack["models"]} == named
    finally:
        with MongoClient[dict[str, Any]](store_url) as client:
            drop_database(client, name)
