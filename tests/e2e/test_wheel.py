"""The wheel that the image installs is a working program: kernel, stubs, client and console script are in it.

It is built of exactly what the Dockerfile copies, by the command of its build stage, and run as its last
stage would, with the same variables. Not covered without an engine: the base image, Debian's compiler in it,
and that requirements/*.txt install there (they do on this machine, by the same command).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.containers.dockerfile import copy_context, read_stages

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_the_wheel_holds_a_working_program(tmp_path: Path) -> None:
    build, run = read_stages(ROOT / "Dockerfile")
    source = tmp_path / "source"
    copy_context(ROOT, build, source)
    assert not list(source.rglob("*_pb2*")), "what was built here would hide that it is not built there"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            tmp_path,
            source,
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("kmeans_service-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
        assert "ui/samples/wine.csv" in archive.namelist()
        tops = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" not in name}
    assert tops == {"ckernel", "kmeans", "kmeans_client", "services", "ui"}

    delivered = set(installed.rglob("*"))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    told = {
        name: value.replace("/tmp", str(temporary), 1)
        for name, value in run.environment.items()
        if name != "PATH"
    }

    # With the unpacked wheel first on the path, the checkout's own packages are out of the picture.
    script = (
        "import ckernel, kmeans.v1.job_pb2, kmeans_client, services, sys\n"
        "loaded = (ckernel, kmeans.v1.job_pb2, kmeans_client, services)\n"
        "assert all(sys.argv[1] in module.__file__ for module in loaded), loaded\n"
        "sys.argv[:2] = ['kmeans-service']\n"
        "from services.cli.entry import run; run()"
    )
    arguments = ("fit", ROOT / "examples" / "wine.csv", "--max-k", "3", "--experiments", "1", "--json")
    fitted = subprocess.run(
        [sys.executable, "-P", "-c", script, installed, *arguments],
        cwd=temporary,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary), "PYTHONPATH": str(installed), **told},
        capture_output=True,
        text=True,
        check=False,
    )
    assert fitted.returncode == 0, fitted.stderr
    assert set(installed.rglob("*")) == delivered, "the image's root can be read only"
    assert json.loads(fitted.stdout)["n"] == 178
