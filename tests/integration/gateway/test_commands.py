"""Commands of the client against a real gateway."""

from __future__ import annotations

from pathlib import Path
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


def test_a_table_with_labels_goes_to_a_file_or_to_stdout(
    client: Client, bench: Any, port: int, name: str, tmp_path: Path
) -> None:
    bench.run(name)
    expected = b"".join(client.export_labels(name))
    out = tmp_path / "labelled.csv"
    assert run(port, "labels", name, "--table", "--output", str(out)).exit_code == 0
    assert out.read_bytes() == expected
    assert run(port, "labels", name, "--table").stdout_bytes == expected
    assert run(port, "labels", name, "--table", "--output", str(out), "--min-members", "999").exit_code
    assert out.read_bytes() == expected


def test_a_report_goes_to_an_html_file(bench: Any, port: int, name: str, tmp_path: Path) -> None:
    bench.run(name)
    out = tmp_path / "report.html"
    printed = run(port, "report", name, "--html", str(out))
    assert printed.exit_code == 0
    text = out.read_text(encoding="utf-8")
    assert 'data-plot="map"' not in text
    assert 'data-plot="clusters"' in text
    assert "2 of 150 rows were left out" in text
    # Nothing qualifies: a report all the same, that says so.
    assert run(port, "report", name, "--html", str(out), "--min-members", "999").exit_code == 0
    assert "No fit has clusters of at least 999 members" in out.read_text(encoding="utf-8")
