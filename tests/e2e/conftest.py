"""The program as its user has it: the installed console script, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.servers.browser import open_browser
from tests.servers.server import ServerMissing

PROGRAM = Path(sys.executable).parent / "kmeans-service"
EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_SECONDS = 90.0


@dataclass
class Program:
    """Runs `kmeans-service` in a folder of its own, on a home of its own."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KMEANS_")}
        return clean | {"KMEANS_HOME": str(self.home), "KMEANS_SWEEP_SECONDS": "0.2"} | self.variables

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert isinstance(result, dict)
        return result

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def address(self) -> str:
        """Where the service on this home listens, once it does."""
        announced = self.home / "service.json"
        await_that(announced.exists, "the service to say where it listens")
        return str(json.loads(announced.read_text())["address"])

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


def await_that(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Poll another process's doings; there is no event to wait on across processes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    runner = Program(tmp_path)
    yield runner
    for process in runner.started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def soil_field() -> Path:
    return EXAMPLES / "soil_field.csv"


@pytest.fixture
def penguins() -> Path:
    return EXAMPLES / "palmer_penguins.csv"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with open_browser() as opened:
            yield opened
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"chromium is needed. {missing}", pytrace=False)
        pytest.skip(f"chromium is needed. {missing}")
