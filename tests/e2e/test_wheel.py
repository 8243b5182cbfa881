"""`pip install .` gives a working program: kernel, stubs, client and console script are all in the wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_the_wheel_holds_a_working_program(tmp_path: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    source = tmp_path / "source"
    for name in filter(None, tracked.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
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
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed), "KMEANS_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert fitted.returncode == 0, fitted.stderr
    assert json.loads(fitted.stdout)["n"] == 178
