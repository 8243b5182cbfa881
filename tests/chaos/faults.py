"""Faults: what a strike does to the topology, and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TypeVar

from tests.chaos.pods import Pod
from tests.chaos.proxy import Proxy
from tests.chaos.schedule import Fault, Strike
from tests.chaos.topology import Topology
from tests.servers.process import POLL_SECONDS

__all__ = ["Faults"]

T = TypeVar("T")

_LATENCY_SECONDS = 0.4
# How long a strike waits for a process that is just starting again to be there to be hit.
_FIND_SECONDS = 5.0
_SLOW_DOWN = (
    b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>SlowDown</Code>"
    b"<Message>Reduce your request rate.</Message></Error>"
)
_S3_ERROR = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_SLOW_DOWN), _SLOW_DOWN)
)


class Faults:
    """Carries strikes out; each method returns when its fault is over and what it broke is mended."""

    def __init__(self, topology: Topology, stopping: threading.Event) -> None:
        """Strike this topology; faults that last are cut short once `stopping` is set."""
        self._topology = topology
        self._stopping = stopping
        # Two strikes at one server or line take turns: the end of the first must not mend the second.
        self._turns = {name: threading.Lock() for name in ("rabbitmq", "mongodb", "store", "objects")}
        self._line_turns = [threading.Lock() for _ in topology.worker_brokers]

    def strike(self, strike: Strike) -> bool:
        """Carry it out; False when there was nothing to hit."""
        topology, proxies = self._topology, self._topology.proxies
        line = strike.target % len(topology.worker_brokers)
        match strike.fault:
            case Fault.KILL_WORKER:
                return self._hit(topology.workers, strike, Pod.kill)
            case Fault.TERM_WORKER:
                return self._hit(topology.workers, strike, Pod.terminate)
            case Fault.KILL_SCHEDULER:
                return self._hit(topology.schedulers, strike, Pod.kill)
            case Fault.TERM_SCHEDULER:
                return self._hit(topology.schedulers, strike, Pod.terminate)
            case Fault.KILL_GATEWAY:
                return self._hit(topology.gateways, strike, Pod.kill)
            case Fault.TERM_GATEWAY:
                return self._hit(topology.gateways, strike, Pod.terminate)
            case Fault.RESTART_BROKER | Fault.WIPE_BROKER:
                with self._turns["rabbitmq"]:
                    topology.servers.rabbitmq.restart(wipe=strike.fault is Fault.WIPE_BROKER, kill=True)
            case Fault.STOP_STORE:
                with self._turns["mongodb"]:
                    topology.servers.mongodb.kill()
                    self._last(strike)
                    topology.servers.mongodb.start()
            case Fault.RESET_STORE:
                proxies["store"].reset()
            case Fault.STALL_STORE:
                self._disturb(proxies["store"], self._turns["store"], Proxy.stall, strike)
            case Fault.CUT_BROKER:
                self._disturb(topology.worker_brokers[line], self._line_turns[line], Proxy.cut, strike)
            case Fault.STALL_BROKER:
                self._disturb(topology.worker_brokers[line], self._line_turns[line], Proxy.stall, strike)
            case Fault.S3_ERRORS:
                self._disturb_objects(lambda proxy: proxy.answer(_S3_ERROR), strike)
            case Fault.S3_LATENCY:
                self._disturb_objects(lambda proxy: proxy.delay(_LATENCY_SECONDS), strike)
        return True

    def _hit(self, pods: Sequence[Pod], strike: Strike, action: Callable[[Pod], bool]) -> bool:
        pod = pods[strike.target % len(pods)]
        for _ in range(int(_FIND_SECONDS / POLL_SECONDS)):
            if action(pod):
                return True
            if self._stopping.wait(POLL_SECONDS):
                break
        return False

    def _disturb_objects(self, disturb: Callable[[Proxy], None], strike: Strike) -> None:
        """A worker that already has its table needs nothing of S3; so one is made to begin anew."""
        with ExitStack() as after:
            proxy = self._topology.proxies["objects"]
            after.enter_context(self._turns["objects"])
            after.callback(proxy.mend)
            disturb(proxy)
            self._hit(self._topology.workers, strike, Pod.kill)
            self._last(strike)

    def _disturb(
        self, proxy: Proxy, turn: threading.Lock, disturb: Callable[[Proxy], None], strike: Strike
    ) -> None:
        with turn:
            disturb(proxy)
            try:
                self._last(strike)
            finally:
                proxy.mend()

    def _last(self, strike: Strike) -> None:
        self._stopping.wait(strike.seconds)
