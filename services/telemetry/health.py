"""Health of a process, as `grpc.health.v1` on an address of its own.

| service         | SERVING while                                                             |
| --------------- | ------------------------------------------------------------------------- |
| `liveness`      | the process does its work, or waits for the servers behind it to come     |
| `readiness`, "" | moreover the servers behind it answer, and it was not asked to end        |

It is apart from the gateway's port because Kubernetes' gRPC probes speak plain text and know no certificates
or tokens. Whoever restarts processes asks for liveness; whoever sends them work asks for readiness. A server
that is away makes nobody less alive: to restart what waits for it would only make the outage longer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc

from services.core.errors import FailedPrecondition, Unavailable
from services.telemetry.watched_health import HealthServicer

__all__ = ["LIVENESS", "READINESS", "HealthServer"]

LIVENESS = "liveness"
READINESS = "readiness"

# A probe is answered at once, from what the last look found; these are for a kubelet and some people.
_THREADS = 4
_OPTIONS = (("grpc.so_reuseport", 0),)
_CLOSE_SECONDS = 1.0

_log = structlog.get_logger("health")


class HealthServer:
    """Alive and not ready from `start`; what it says follows from `watch` on, until `stop`."""

    def __init__(
        self,
        *,
        interval_seconds: float = 5.0,
        patience_seconds: float = 10.0,
        on_ready: Callable[[bool], None] = lambda is_ready: None,
    ) -> None:
        """Look every `interval_seconds`; a server that takes longer than the patience does not answer.

        `on_ready` is told whether the process is ready, at first and at every change.
        """
        self._on_ready = on_ready
        self._interval_seconds = interval_seconds
        self._patience_seconds = patience_seconds
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._said: dict[str, bool] = {}
        self._health = HealthServicer((LIVENESS, READINESS, ""))
        # A ping that hangs is not asked again before it has ended.
        self._asked: Future[None] | None = None
        self._watcher: threading.Thread | None = None
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="health"), options=_OPTIONS
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._say(alive=True, ready=False)

    def start(self, address: str) -> int:
        """Listen on HOST:PORT in plain text; return the port, chosen freely when it was 0.

        Raises:
            FailedPrecondition: nothing can listen there (`ADDRESS_NOT_AVAILABLE`).
        """
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise FailedPrecondition(
                f"Cannot answer health probes on {address}: it is taken, or not an address of this machine. "
                "Stop what listens there, or set KMEANS_HEALTH_ADDRESS to another HOST:PORT.",
                "ADDRESS_NOT_AVAILABLE",
                {"address": address},
            ) from error
        self._server.start()
        return port

    def watch(self, is_alive: Callable[[], bool], ping: Callable[[], None]) -> None:
        """From now on say what these find; once per server.

        Args:
            is_alive: whether the process still does its work; answers at once.
            ping: raises Unavailable when a server behind the process does not answer.
        """
        self._watcher = threading.Thread(
            target=self._watch, args=(is_alive, ping), name="health-watch", daemon=True
        )
        self._watcher.start()

    def announce_stop(self) -> None:
        """Be ready no more, and stay alive: work under way is still brought to its end. Idempotent."""
        self._ending.set()
        self._say(alive=self._said[LIVENESS], ready=False)

    def stop(self) -> None:
        """Answer no more. Idempotent."""
        self.announce_stop()
        if self._watcher is not None:
            # Not longer: it may be in a ping that hangs, which must not keep a process from ending.
            self._watcher.join(_CLOSE_SECONDS)
        self._server.stop(_CLOSE_SECONDS).wait()

    def _watch(self, is_alive: Callable[[], bool], ping: Callable[[], None]) -> None:
        while not self._ending.is_set():
            self._say(alive=is_alive(), ready=self._said[READINESS])
            ready = self._answers(ping)
            self._say(alive=is_alive(), ready=ready)
            self._ending.wait(self._interval_seconds)

    def _answers(self, ping: Callable[[], None]) -> bool:
        if self._asked is None:
            self._asked = Future()
            threading.Thread(
                target=_settle, args=(self._asked, ping), name="health-ping", daemon=True
            ).start()
        done, _ = wait([self._asked], self._patience_seconds)
        if not done:
            _log.warning("a server does not answer", patience_seconds=self._patience_seconds)
            return False
        asked, self._asked = self._asked, None
        error = asked.exception()
        if isinstance(error, Unavailable):
            _log.warning("a server does not answer", error=str(error))
        elif error is not None:
            _log.error("a ping met an unexpected error", exc_info=error)
        return error is None

    def _say(self, *, alive: bool, ready: bool) -> None:
        with self._lock:
            said = {LIVENESS: alive, READINESS: alive and ready and not self._ending.is_set()}
            if said == self._said:
                return
            _log.info("health changed", **said)
            self._said = said
            self._on_ready(said[READINESS])
            for service, is_serving in (*said.items(), ("", said[READINESS])):
                self._health.set(service, serving=is_serving)


def _settle(asked: Future[None], ping: Callable[[], None]) -> None:
    try:
        ping()
    except Exception as error:  # noqa: BLE001 - told by whoever waits for the answer
        asked.set_exception(error)
    else:
        asked.set_result(None)
