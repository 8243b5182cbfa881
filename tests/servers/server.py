"""What every private server can do: start, answer, stop, be killed, come back with or without its data."""

from __future__ import annotations

import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tests.servers.ports import choose_ports, is_free
from tests.servers.process import POLL_SECONDS, ServerProcess, spawn
from tests.servers.state import ServerState, locked, read_state, write_state

__all__ = ["Server", "ServerFailed", "ServerMissing"]

_LOG_TAIL_LINES = 15


class ServerMissing(Exception):
    """A server is not installed and cannot be; says what to do."""


class ServerFailed(Exception):
    """A server did not start or does not answer; shows the end of its log."""


class Server(ABC):
    """A server under `folder`: data, logs and state are there and nowhere else.

    Several processes may use the same folder; they start and stop it one after the other.
    """

    name: ClassVar[str]
    port_names: ClassVar[Sequence[str]]
    start_seconds: ClassVar[float] = 90.0
    stop_seconds: ClassVar[float] = 30.0

    def __init__(self, folder: Path, given_url: str = "") -> None:
        """With a URL given, the server there is used, and never started or stopped."""
        self.given_url = given_url
        self.folder = folder.absolute() / self.name
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self._state_file = self.folder / "state.json"
        self._lock_file = self.folder / "lock"

    @property
    def url(self) -> str:
        """Where clients find it; ServerFailed before the first start."""
        return self.given_url or self.own_url()

    @abstractmethod
    def own_url(self) -> str:
        """Where clients find the one that we started."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client's environment needs besides the URL."""
        return {}

    @property
    def is_ours(self) -> bool:
        """Whether we start and stop it; False for one that was given."""
        return not self.given_url

    @abstractmethod
    def install(self) -> None:
        """Install what is missing; ServerMissing when that cannot be done."""

    @abstractmethod
    def check(self) -> None:
        """Do for real what clients do; any exception means that it does not answer."""

    @abstractmethod
    def launch(self) -> None:
        """Start the processes (`self.spawn`); need not wait for them."""

    def after_exit(self) -> None:  # noqa: B027 (most servers leave nothing behind)
        """Clear away what the main process leaves running."""

    @property
    def state(self) -> ServerState:
        """Its ports and processes as last written."""
        return read_state(self._state_file)

    def port(self, name: str) -> int:
        """The port for this purpose; ServerFailed before the first start."""
        try:
            return self.state.ports[name]
        except KeyError:
            raise ServerFailed(f"{self.name} was never started in {self.folder}.") from None

    @property
    def process(self) -> ServerProcess | None:
        """Its main process, if it runs."""
        process = self.state.processes.get(self.name)
        return process if process is not None and process.is_alive() else None

    def is_healthy(self) -> bool:
        """Whether it runs and answers."""
        if self.is_ours and self.process is None:
            return False
        return self._complaint() is None

    def start(self) -> None:
        """Return when it answers; at once when it already does."""
        if self.is_healthy():
            return
        with locked(self._lock_file):
            if not self.is_healthy():
                self._start()

    def stop(self) -> None:
        """End it in order, data kept; no error when it does not run."""
        with locked(self._lock_file):
            self._end(self.stop_seconds)

    def kill(self) -> None:
        """End it as a crash would: SIGKILL."""
        with locked(self._lock_file):
            self._end(0.0)

    def restart(self, *, wipe: bool = False, kill: bool = False) -> None:
        """Stop (or kill) it and start it on the same ports, with its data or without."""
        with locked(self._lock_file):
            if not self.is_ours:
                raise ServerFailed(f"{self.name} was given by its URL: it is not ours to restart.")
            self._end(0.0 if kill else self.stop_seconds)
            if wipe:
                self.wipe()
            self._start()

    def wipe(self) -> None:
        """Forget its data; it does not run meanwhile."""
        shutil.rmtree(self.data, ignore_errors=True)

    def spawn(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, name: str = ""
    ) -> ServerProcess:
        """Start a process and remember it before anything else happens."""
        process = spawn(command, self.log, self.folder, {**os.environ, **(environment or {})})
        state = self.state
        processes = {**state.processes, name or self.name: process}
        write_state(self._state_file, ServerState(state.ports, processes))
        return process

    def wait_until_it_answers(self, process: ServerProcess) -> None:
        """Check again and again until it answers, it ends, or `start_seconds` are over."""
        deadline = time.monotonic() + self.start_seconds
        while (complaint := self._complaint()) is not None:
            if not process.is_alive():
                raise ServerFailed(f"{self.name} ended while it started. {self._log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"{self.name} does not answer after {self.start_seconds:g} s ({complaint}). "
                    f"{self._log_tail()}"
                )
            time.sleep(POLL_SECONDS)

    def _start(self) -> None:
        if not self.is_ours:
            raise ServerFailed(f"{self.name} does not answer ({self._complaint()}); it is not ours to start.")
        self.install()
        self._end(0.0)  # a process that lives but does not answer, or what a crash left behind
        self.data.mkdir(parents=True, exist_ok=True)
        ports = self.state.ports
        if set(ports) != set(self.port_names) or not all(map(is_free, ports.values())):
            ports = choose_ports(self.port_names)
        write_state(self._state_file, ServerState(ports))
        self.launch()
        process = self.state.processes[self.name]
        try:
            self.wait_until_it_answers(process)
        except BaseException:
            self._end(0.0)
            raise

    def _end(self, grace_seconds: float) -> None:
        processes = self.state.processes
        for name, process in reversed(processes.items()):
            if grace_seconds and name == self.name:
                process.terminate(grace_seconds)
            else:
                process.kill()
            if name == self.name:
                self.after_exit()
        if processes:
            write_state(self._state_file, ServerState(self.state.ports))

    def _complaint(self) -> str | None:
        try:
            self.check()
        except Exception as error:  # noqa: BLE001 (drivers raise what they like; not to answer is enough)
            return f"{type(error).__name__}: {error}"
        return None

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"The end of {self.log}:", *lines[-_LOG_TAIL_LINES:]])
