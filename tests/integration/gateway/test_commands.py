"""Commands of the client against a real gateway."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from kmeans.v1 import dataset_pb2, job_pb2
from pyarrow import csv as pa_csv
from pyarrow import parquet
from structlog.testing import capture_logs
from typer.testing import CliRunner

from kmeans_client import Client, KMeansError
from services.cli.main import app
from services.core.errors import InvalidInput


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


@pytest.fixture(name="fitted")
def fit_job(client: Client, bench: Any, dataset: dataset_pb2.Dataset) -> str:
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=3, n_experiments=1, n_init=2)
    name = client.create_job(spec).job.name
    bench.run(name)
    return name


def test_predict_writes_labels_beside_the_rows(
    client: Client, port: int, fitted: str, table: bytes, tmp_path: Path
) -> None:
    plain, packed, out = (tmp_path / name for name in ("t.csv", "t.csv.gz", "out.csv"))
    plain.write_bytes(table)
    packed.write_bytes(gzip.compress(table))
    turned = pa_csv.read_csv(io.BytesIO(table)).select(["b", "farm", "a"])
    turned = turned.append_column("label", pa.array(range(150)))
    parquet.write_table(turned, tmp_path / "t.parquet")
    expected = [label for run in client.stream_labels(fitted) for label in run.labels]
    best = client.get_report(fitted).best.task
    for file, named in ((plain, fitted), (packed, best), (tmp_path / "t.parquet", fitted.partition("/")[2])):
        ended = run(port, "predict", named, str(file), "--out", str(out))
        assert (ended.exit_code, ended.stdout) == (0, ""), ended.exception
        printed = run(port, "predict", named, str(file))
        assert printed.stdout == out.read_text()
        rows = list(csv.DictReader(io.StringIO(printed.stdout)))
        label = "label_2" if file.suffix == ".parquet" else "label"
        assert [int(row[label] or -1) for row in rows] == expected
        assert [row["farm"] for row in rows] == ["South", "North"] * 75
        for row, known in zip(rows, expected, strict=True):
            empty = ("", "") if known < 0 else (row["squared_distance"], "false")
            assert (row["squared_distance"], row["outlier"]) == empty
            assert known < 0 or 0 <= float(row["squared_distance"]) < 13.8
    outliers = run(port, "predict", fitted, str(plain), "--outlier-probability", "0.000001").stdout
    assert outliers.count("true") > 140


def test_predict_goes_on_over_many_batches(
    client: Client, port: int, fitted: str, table: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cli.models._BATCH_ROWS", 7)
    file = tmp_path / "t.csv"
    file.write_bytes(table)
    expected = [label for answer in client.stream_labels(fitted) for label in answer.labels]
    rows = csv.DictReader(io.StringIO(run(port, "predict", fitted, str(file)).stdout))
    assert [int(row["label"] or -1) for row in rows] == expected


def test_predict_refuses_what_it_cannot_label(port: int, fitted: str, name: str, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    for content, named, words in (
        ("a,c\n1,2\n", fitted, "There is no column 'b'. The columns are 'a', 'c'."),
        ("a,b\n1,2\n1,x\n", fitted, "row 2 holds 'x'"),
        ("a,b\n1,2\n", name, f"'{name}' has no best task. No fit has ended yet."),
        ("a,b\n1,2\n", f"{fitted}/tasks/0-9-full-tied", "There is no task"),
        ("a,b\n1,2\n", "jobs/none", "There is no job 'jobs/none'."),
        ("a,b\n1e300,2\n", fitted, "row 1 holds '1e300'"),
        ("a,b\n", fitted, "no rows"),
    ):
        file = tmp_path / "t.csv"
        file.write_text(content)
        refused = run(port, "predict", named, str(file), "--out", str(out)).exception
        assert isinstance(refused, InvalidInput | KMeansError)
        assert words in str(refused)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".csv"] == ["t.csv"]
    same = run(port, "predict", fitted, str(file), "--out", str(file)).exception
    assert "is the table itself" in str(same)


def test_export_writes_a_model(client: Client, port: int, fitted: str, name: str, tmp_path: Path) -> None:
    out = tmp_path / "model.json"
    assert run(port, "export", fitted, "--out", str(out)).exit_code == 0
    best = client.get_report(fitted).best.task
    assert json.loads(out.read_text())["task"] == best
    assert run(port, "export", best).stdout == out.read_text()
    refused = run(port, "export", name, "--out", str(tmp_path / "none.json")).exception
    assert "has no best task" in str(refused)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".json"] == ["model.json"]


def test_a_client_hears_what_its_batches_raised(client: Client, fitted: str) -> None:
    def broken() -> Any:
        yield [0.0, 0.0]
        raise RuntimeError("no more rows")

    task = client.get_report(fitted).best.task
    answers = client.predict(task, broken())
    with pytest.raises(RuntimeError, match="no more rows"):
        list(answers)
    (answer,) = client.predict(task, [[0.0, 6.0, 6.0, 0.0]], columns=["b", "a"])
    assert len(answer.labels) == 2
