"""Commands of the client against a real gateway."""

from __future__ import annotations

from typing import Any

import pytest
from kmeans.v1 import dataset_pb2, job_pb2
from structlog.testing import capture_logs
from typer.testing import CliRunner

from kmeans_client import Client, KMeansError
from services.cli.main import app


@pytest.fixture(name="name")
def make_job(client: Client, dataset: dataset_pb2.Dataset) -> str:
    return client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=2, n_experiments=1)).job.name


def run(port: int, *arguments: str) -> Any:
    # The gateway runs in this very process: its log is not the command's output.
    with capture_logs():
        return CliRunner().invoke(app, [*arguments, "--target", f"127.0.0.1:{port}"])


def test_retry_says_what_it_did(client: Client, bench: Any, done: Any, port: int, name: str) -> None:
    keys = bench.start(name)
    bench.finish(keys[:5], done)
    client.cancel_job(name)
    assert run(port, "retry", name).stdout == f"{name} running: 7 of 12 tasks to run\n"
    refused = run(port, "retry", name).exception
    assert isinstance(refused, KMeansError)
    assert refused.reason == "NOTHING_TO_RETRY"
    named = run(port, "retry", name, keys[0].short_id)
    assert named.stdout == f"{name} running: 8 of 12 tasks to run\n"


def test_a_report_of_a_cancelled_job_is_not_taken_for_a_whole_one(
    client: Client, bench: Any, done: Any, port: int, name: str
) -> None:
    bench.finish(bench.start(name)[:5], done)
    client.cancel_job(name)
    printed = " ".join(run(port, "report", name).stdout.split())
    assert "5 of 12 tasks in " in printed
    assert "7 of 12 tasks were cancelled and are missing here. Retry the job to run them." in printed
