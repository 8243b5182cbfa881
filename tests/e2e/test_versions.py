"""The version before works with this one: what a cluster runs while it is upgraded, or set back."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from tests.e2e.conftest import await_that
from tests.e2e.test_processes import SMALL, Shared, end, scores
from tests.e2e.test_processes import shared as shared
from tests.servers.mongodb import drop_database

ROOT = Path(__file__).parents[2]
PREVIOUS = (Path(__file__).parent / "previous_version").read_text().strip()
ENDED = {"DONE", "DEGENERATE", "done", "degenerate"}


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of the version before, its kernel included."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs the history of the project: this is a copy of its files alone")
    if git("cat-file", "-e", f"{PREVIOUS}^{{commit}}").returncode:
        said = "the history ends before the commit in tests/e2e/previous_version: git fetch --unshallow"
        # It is CI that would let an upgrade go untried for ever.
        pytest.fail(said, pytrace=False) if os.environ.get("CI") else pytest.skip(said)
    folder = tmp_path_factory.mktemp("older")
    archive = folder.with_suffix(".tar")
    archive.write_bytes(git("archive", PREVIOUS).stdout)
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    # Generated, and only ever with more fields.
    for stubs in ROOT.glob("protos/kmeans/v1/*_pb2*"):
        shutil.copy(stubs, folder / stubs.relative_to(ROOT))
    if git("diff", "--quiet", PREVIOUS, "--", "ckernel", "setup.py").returncode:
        subprocess.run(
            [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
            cwd=folder,
            capture_output=True,
            check=True,
        )
    else:
        for built in ROOT.glob("ckernel/*.so"):
            shutil.copy(built, folder / "ckernel")
    return folder


@pytest.fixture(params=["sqlite", "mongodb"])
def upgraded(request: pytest.FixtureRequest, shared: Shared) -> Iterator[Shared]:
    """Processes that share a job store: a file, or a database of their own on the MongoDB-wire server."""
    if request.param == "sqlite":
        yield shared
        return
    server = request.getfixturevalue("mongodb_url")
    url = urlsplit(server)._replace(path=f"/t-{secrets.token_hex(8)}").geturl()
    shared.variables["KMEANS_STORE_URL"] = url
    yield shared
    for process in shared.started:
        process.kill()
        process.wait()
    with MongoClient[dict[str, Any]](url) as client:
        drop_database(client, client.get_default_database().name)


class Older:
    """Starts services of the version before, and says whether it was really that one that ran."""

    def __init__(self, shared: Shared, folder: Path) -> None:
        self._shared = shared
        self._folder = folder
        self._logs: list[Path] = []

    def serve(self, *arguments: str) -> subprocess.Popen[str]:
        command = (
            "import services.cli.entry as entry, ckernel; "
            "print(entry.__file__, ckernel.__file__, flush=True); entry.run()"
        )
        log = self._shared.folder / f"older-{len(self._shared.started)}.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", command, *arguments],
                cwd=self._shared.folder,
                env=self._shared.environment | {"PYTHONPATH": f"{self._folder}:{self._folder / 'protos'}"},
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._shared.started.append(process)
        self._logs.append(log)
        await_that(
            lambda: '"service started"' in log.read_text() or process.poll() is not None, "the older one"
        )
        assert process.poll() is None, log.read_text()
        return process

    def check(self) -> None:
        """That it ran, and met nothing that it could not read."""
        for log in self._logs:
            told = log.read_text()
            ours = f"{self._folder}/services/cli/entry.py {self._folder}/ckernel/__init__.py"
            assert ours in told, "another version ran"
            assert '"level": "error"' not in told, told


@pytest.mark.parametrize("old", ["worker", "scheduler"])
def test_services_of_two_versions_run_a_job_together(
    upgraded: Shared, older: Path, penguins: Path, old: str
) -> None:
    address = upgraded.gateway()
    previous = Older(upgraded, older)
    if old == "worker":
        upgraded.serve("scheduler")
        previous.serve("worker", "--slots", "1")
    else:
        upgraded.serve("worker", "--slots", "1")
        previous.serve("scheduler")
    result = upgraded.json("fit", penguins, "--target", address, *SMALL)
    assert len(scores(result)) == 6 * 4 * 6
    assert {score["state"] for score in result["scores"]} <= ENDED
    assert [end(process) for process in upgraded.started] == [0, 0, 0]
    previous.check()


def test_schedulers_of_two_versions_take_turns_at_one_job(
    upgraded: Shared, older: Path, penguins: Path
) -> None:
    """As in a rollout: both for a while, then the older alone, then the newer alone."""
    address = upgraded.gateway()
    upgraded.serve("worker", "--slots", "1")
    previous = Older(upgraded, older)
    old, new = previous.serve("scheduler"), upgraded.serve("scheduler")
    result = upgraded.json("fit", penguins, "--target", address, *SMALL)
    job = result["job"]

    def run_again(task: str) -> None:
        """Retry one task, and find the scores that were there before."""
        again = upgraded("retry", job, task, "--target", address)
        assert again.returncode == 0, again.stderr
        watched = upgraded("watch", job, "--target", address)
        assert watched.returncode == 0, watched.stderr
        assert scores(upgraded.json("report", job, "--target", address)) == scores(result)

    assert end(new) == 0
    run_again("0-3-full-untied")
    new = upgraded.serve("scheduler")
    assert end(old) == 0
    run_again("1-2-diag-tied")
    assert {process.poll() or end(process) for process in upgraded.started} == {0}
    previous.check()
