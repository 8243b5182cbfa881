"""What the Dockerfile installs is a working program: by its own steps, in folders that stand for the image's.

The packages come by their hashes into virtual environments that have nothing else, the wheel is built of
exactly what is copied, and what is taken out at the end is taken out. Not covered without an engine: the base
image, and Debian's compiler in it.
"""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.containers.image import Image, build_image
from tests.e2e.conftest import EXAMPLES, PATIENCE_SECONDS
from tests.servers.ports import choose_ports

ROOT = Path(__file__).parents[2]

# The build takes a minute or two, of which most is the installation.
pytestmark = pytest.mark.timeout(900)

_IMPORT_ALL = """
import importlib, pkgutil, ckernel, kmeans.v1.job_pb2, kmeans_client, services, ui
places = {module.__file__ for module in (ckernel, kmeans.v1.job_pb2, kmeans_client, services, ui)}
for package in (services, kmeans_client, ui):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if found.name != "ui.app":  # Streamlit's script: it draws when it is imported
            places.add(importlib.import_module(found.name).__file__)
print(*places, sep="\\n")
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_image(ROOT, tmp_path_factory.mktemp("image"))


def run(image: Image, *command: str | Path) -> str:
    done = subprocess.run(
        [*map(str, command)],
        cwd=image.root / "tmp",
        env=dict(image.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def as_delivered(image: Image) -> Iterator[None]:
    """Nothing is written outside of /tmp: the root of the image can be read only."""
    before = set(image.root.rglob("*"))
    yield
    written = {path for path in set(image.root.rglob("*")) - before if image.root / "tmp" not in path.parents}
    assert written == set()


def test_the_main_job_runs_in_it(image: Image) -> None:
    arguments = ("--max-k", "3", "--experiments", "1", "--json")
    with as_delivered(image):
        fitted = run(image, image.program, "fit", EXAMPLES / "wine.csv", *arguments)
    assert json.loads(fitted)["n"] == 178


def test_every_module_of_ours_finds_what_it_needs(image: Image) -> None:
    with as_delivered(image):
        places = run(image, image.installed / "bin" / "python", "-P", "-c", _IMPORT_ALL).split()
    assert len(places) > 150
    assert all(Path(place).is_relative_to(image.installed) for place in places), "another checkout was found"


def test_the_dashboard_starts_in_it_and_ends_when_it_is_asked(image: Image) -> None:
    port = str(choose_ports(["ui"])["ui"])
    with as_delivered(image):
        dashboard = subprocess.Popen(
            [str(image.program), "ui", "--ui-port", port],
            cwd=image.root / "tmp",
            env=dict(image.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert dashboard.stdout is not None
            # Printed once its health check answers.
            assert f":{port} " in dashboard.stdout.readline()
        finally:
            dashboard.terminate()
            _, complaints = dashboard.communicate(timeout=PATIENCE_SECONDS)
    assert dashboard.returncode == 0, complaints


def test_the_wheel_carries_what_is_ours_and_nothing_else(image: Image) -> None:
    (wheel,) = (image.root / "dist").glob("kmeans_service-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "ui/samples/wine.csv" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "ckernel",
        "kmeans",
        "kmeans_client",
        "services",
        "ui",
    }


def test_nothing_that_only_builds_is_left_in_it(image: Image) -> None:
    there = {path.name.partition("-")[0] for path in image.installed.glob("lib/python*/site-packages/*")}
    assert {"streamlit", "services", "opentelemetry"} <= there
    assert {"pip", "setuptools", "Cython", "grpc_tools", "pytest", "mypy"} & there == set()
    assert list(image.installed.rglob("tests")) == []


def test_the_documented_size_is_the_size(image: Image) -> None:
    said = re.search(r"(\d+) MiB of packages", (ROOT / "docs" / "deploy.md").read_text())
    assert said is not None
    print(f"{image.megabytes} MiB are installed")
    # Of wheels for other versions of Python the sizes differ a little.
    assert abs(image.megabytes - int(said[1])) <= int(said[1]) / 10
