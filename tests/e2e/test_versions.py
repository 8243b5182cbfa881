"""The version before works with this one: what a cluster runs while it is upgraded, or set back."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.e2e.conftest import await_that
from tests.e2e.test_processes import SMALL, Shared, end, scores
from tests.e2e.test_processes import shared as shared

ROOT = Path(__file__).parents[2]
PREVIOUS = (Path(__file__).parent / "previous_version").read_text().strip()


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder with the code of the version before; what it is compiled from must not have changed since."""
    if shutil.which("git") is None or git("cat-file", "-e", f"{PREVIOUS}^{{commit}}").returncode:
        pytest.skip("needs the history of the project, with the commit named in tests/e2e/previous_version")
    if git("diff", "--quiet", PREVIOUS, "--", "ckernel").returncode:
        pytest.skip("the kernel has changed since the version before: name a later one in previous_version")
    folder = tmp_path / "older"
    archive = tmp_path / "older.tar"
    archive.write_bytes(git("archive", PREVIOUS).stdout)
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    # Generated: the compiled kernel is that of the same sources, and the stubs only ever gain fields.
    for built in [*ROOT.glob("ckernel/*.so"), *ROOT.glob("protos/kmeans/v1/*_pb2*")]:
        shutil.copy(built, folder / built.relative_to(ROOT))
    return folder


@pytest.mark.parametrize("old", ["worker", "scheduler"])
def test_services_of_two_versions_run_a_job_together(
    shared: Shared, older: Path, penguins: Path, old: str
) -> None:
    address = shared.gateway()
    new = "scheduler" if old == "worker" else "worker"
    shared.serve(new, *(["--slots", "1"] if new == "worker" else []))
    log = shared.folder / "older.log"
    command = (
        "import services.cli.entry as entry, ckernel; print(entry.__file__, ckernel.__file__); entry.run()"
    )
    path = f"{older}:{older / 'protos'}"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", command, old],
            cwd=shared.folder,
            env=shared.environment | {"PYTHONPATH": path},
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
        )
    shared.started.append(process)
    await_that(lambda: '"service started"' in log.read_text() or process.poll() is not None, "the older one")
    result = shared.json("fit", penguins, "--target", address, *SMALL)
    assert len(scores(result)) == 6 * 4 * 6
    assert {score["state"] for score in result["scores"]} <= {"DONE", "DEGENERATE", "done", "degenerate"}
    assert [end(process) for process in shared.started] == [0, 0, 0]
    told = log.read_text()
    assert f"{older}/services/cli/entry.py {older}/ckernel/__init__.py" in told, "another version ran"
    assert '"level": "error"' not in told
