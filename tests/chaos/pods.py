"""Pods: processes of the service that are started again whenever they end, as Kubernetes would."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ending", "Pod"]

# Kubernetes waits 10 s after the first crash and up to 5 min; a rehearsal has less time.
_RESTART_SECONDS = (0.3, 5.0)
_STEADY_SECONDS = 10.0
_GOODBYE_SECONDS = 10.0
_BEGINNING_SECONDS = 10.0
_SHELL_SIGTERM = 128 + signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Ending:
    """How one process of a pod ended.

    Attributes:
        asked: by which signal of ours, or None when it ended by itself.
        code: its exit code; negative for a signal.
        age_seconds: from its start to our signal, or to its end.
        seconds: from our signal, or else from its start, to its end.
    """

    pod: str
    asked: signal.Signals | None
    code: int
    age_seconds: float
    seconds: float

    @property
    def is_disorderly(self) -> bool:
        """Whether it was asked to end, and did not do so in order."""
        if self.asked is not signal.SIGTERM or not self.code:
            return False
        # Before it has taken its first signal handler there is nothing to hand back.
        return self.age_seconds > _BEGINNING_SECONDS or self.code not in {-signal.SIGTERM, _SHELL_SIGTERM}


class Pod:
    """One process at a time, kept up by a thread until `stop`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        grace_seconds: float,
    ) -> None:
        """Run the command in the folder, its output appended to `NAME.log` there.

        `grace_seconds`: SIGKILL follows SIGTERM after this long.
        """
        self.name = name
        self.log = folder / f"{name}.log"
        self.endings: list[Ending] = []
        self._command = tuple(command)
        self._environment = dict(environment)
        self._folder = folder
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: tuple[signal.Signals, float] | None = None
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep_up, name=f"pod-{name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process id; None between two lives."""
        with self._lock:
            return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, and again whenever it ends."""
        self._keeper.start()

    def kill(self) -> bool:
        """SIGKILL; False when it is between two lives."""
        return self._signal(signal.SIGKILL)

    def terminate(self) -> bool:
        """SIGTERM, and SIGKILL after the grace; False when it is between two lives."""
        if not self._signal(signal.SIGTERM):
            return False
        with self._lock:
            process = self._process
        if process is not None:
            threading.Thread(target=self._insist, args=(process,), daemon=True).start()
        return True

    def stop(self) -> None:
        """End it in order, and for good."""
        self._stopping.set()
        self.terminate()
        self._keeper.join(self._grace_seconds + _GOODBYE_SECONDS)
        if self._keeper.is_alive():
            raise RuntimeError(f"Pod {self.name} does not end.")

    def _signal(self, number: signal.Signals) -> bool:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                return False
            # A SIGKILL explains the end whatever was asked before; a second SIGTERM explains nothing new.
            if self._asked is None or number is signal.SIGKILL:
                self._asked = (number, time.monotonic())
            self._process.send_signal(number)
            return True

    def _insist(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(self._grace_seconds)
        except subprocess.TimeoutExpired:
            # Not through `_signal`: the ending shall say that SIGTERM was asked for and did not do.
            process.kill()

    def _keep_up(self) -> None:
        pause, longest = _RESTART_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            with self.log.open("ab") as log:
                process = subprocess.Popen(
                    self._command,
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            with self._lock:
                self._process, self._asked = process, None
            if self._stopping.is_set():
                self.terminate()
            code = process.wait()
            ended = time.monotonic()
            with self._lock:
                asked, self._process = self._asked, None
            number, at = asked or (None, ended)
            self.endings.append(Ending(self.name, number, code, at - began, ended - (at if asked else began)))
            steady = asked is not None or ended - began > _STEADY_SECONDS
            pause = _RESTART_SECONDS[0] if steady else min(longest, 2 * pause)
            self._stopping.wait(pause)
