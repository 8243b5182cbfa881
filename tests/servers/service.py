"""The whole service on the servers, each part a process of its own: started together, ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from kmeans_client import Client, KMeansError
from tests.servers.server import ServerFailed

__all__ = ["Service"]

_PROGRAM = Path(sys.executable).parent / "kmeans-service"
_READY_SECONDS = 90.0
_GRACE_SECONDS = 35.0  # the service's own grace is 25 s
_POLL_SECONDS = 0.2
_LOG_TAIL_LINES = 12


class Service:
    """Gateway, scheduler, workers and, unless it is not wanted, the dashboard."""

    def __init__(
        self, environment: Mapping[str, str], folder: Path, address: str, workers: int, *, with_ui: bool
    ) -> None:
        """Nothing is started yet; logs go to `folder`."""
        self.address = address
        self.folder = folder
        self._environment = {**os.environ, **environment, "KMEANS_ADDRESS": address}
        slots = str(max(1, (os.cpu_count() or 1) // workers))
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        self._commands: dict[str, list[str]] = {"gateway": ["gateway"], "scheduler": ["scheduler"]}
        self._commands |= {name: ["worker", "--slots", slots] for name in names}
        self._ui = ["ui", "--target", address] if with_ui else None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._asked = threading.Event()

    def run(self) -> None:
        """Until SIGINT or SIGTERM, then end everything; ServerFailed when a part ends by itself."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, command in self._commands.items():
                self._start(name, command)
            self._wait_until_ready()
            if self._asked.is_set():
                return
            parts = ", ".join(f"{name} ({process.pid})" for name, process in self._processes.items())
            print(f"The service listens on {self.address}: {parts}.", flush=True)
            print(f"Logs: {self.folder}. Stop it with Ctrl-C.", flush=True)
            if self._ui is not None:
                self._start("ui", self._ui)
            while not self._asked.wait(_POLL_SECONDS):
                self._check()
        finally:
            self._end()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked.set()

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [str(_PROGRAM), *command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                # The dashboard says itself where it is to be found.
                stdout=None if name == "ui" else log,
                stderr=log,
                # Ctrl-C is ours to pass on: in order, and once.
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        with Client(self.address) as client:
            while not self._asked.is_set():
                self._check()
                try:
                    client.wait_until_ready(1.0)
                    return
                except KMeansError as error:
                    if time.monotonic() > deadline:
                        raise ServerFailed(
                            f"The gateway does not answer after {_READY_SECONDS:g} s ({error}). "
                            f"{self._tail('gateway')}"
                        ) from error

    def _check(self) -> None:
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None:
                raise ServerFailed(
                    f"{name} ended by itself (exit code {code}), so the rest is ended, too. "
                    f"{self._tail(name)}"
                )

    def _tail(self, name: str) -> str:
        log = self.folder / f"{name}.log"
        return "\n".join(
            [f"The end of {log}:", *log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]]
        )

    def _end(self) -> None:
        # The gateway first: what still comes in would only be left for the next start.
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        for name, process in self._processes.items():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                print(f"{name} does not end; it is killed.", file=sys.stderr)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
