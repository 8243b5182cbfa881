"""Patience with clients: how long a call waits for what its client is to send, or to take.

A call that waits holds a thread, and often a place of a few. Without an end to it, whoever opens calls and
then does nothing has them all, and needs no token for it: the thread waits before anything is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import grpc
import structlog

from services.gateway.errors import CallIdle

__all__ = ["DEFAULT_IDLE_SECONDS", "Patience"]

R = TypeVar("R")

DEFAULT_IDLE_SECONDS = 60.0
# Somebody may page through a download; nobody uploads by hand.
_TAKING_FACTOR = 10.0
_LOOK_SECONDS = 1.0
_LEAST_SECONDS = 0.5
_CROWD_SECONDS = 0.05

_log = structlog.get_logger(__name__)


class _Wait(NamedTuple):
    """A call that waits for its client: until when, and since when."""

    end: float
    since: float
    context: grpc.ServicerContext


class Patience:
    """Ends calls whose client does not send, or does not take, for too long."""

    def __init__(
        self,
        idle_seconds: float = DEFAULT_IDLE_SECONDS,
        n_readers: int = 32,
        *,
        n_waiting: int | None = None,
        is_crowded: Callable[[], bool] = lambda: False,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wait `idle_seconds` for a message of a client, and ten times as long for it to take one.

        Args:
            idle_seconds: more than 0.
            n_readers: how many streams of requests are read at once.
            n_waiting: how many calls wait in `only` and `taken` at once; of more, the one whose time would be
                up first is ended, but none before it has had half a second.
            is_crowded: whether so many calls are in line that none of them may have half a second.
            seconds: a clock that never goes back.
        """
        self._idle_seconds = idle_seconds
        self._look_seconds = min(_LOOK_SECONDS, idle_seconds / 4)
        self._seconds = seconds
        self._n_waiting = n_waiting
        self._is_crowded = is_crowded
        self._readers = ThreadPoolExecutor(n_readers, thread_name_prefix="read")
        self._lock = threading.Lock()
        self._one_less = threading.Condition(self._lock)
        self._closed = threading.Event()
        self._watchdog: threading.Thread | None = None
        # By their ends, for each is added behind all others of its kind.
        self._sending: dict[object, _Wait] = {}
        self._taking: dict[object, _Wait] = {}

    def only(self, requests: Iterator[R], context: grpc.ServicerContext) -> R | None:
        """The message of a call that has one; None when it has none.

        A client that does not send it in time gets CANCELLED, without a reason: it never made a request.
        """
        with self._bounded(self._sending, self._idle_seconds, context):
            return next(requests, None)

    def requests(self, requests: Iterator[R], check: Callable[[], None]) -> Iterator[R]:
        """The messages of a stream; what iterating them raises passes through.

        Args:
            requests: each is waited for on another thread, since gRPC's waiting has no end.
            check: called while waiting and with every message; ends it by raising.

        Raises:
            CallIdle: none came in time.
        """
        # One is read ahead: it arrives while the one before it is worked on.
        ahead = self._readers.submit(next, requests, None)
        while True:
            request = self._wait_for(ahead, check)
            if request is None:
                return
            check()
            ahead = self._readers.submit(next, requests, None)
            yield request

    @contextmanager
    def taken(self, context: grpc.ServicerContext) -> Iterator[None]:
        """While the client takes a response; a client that does not in time gets CANCELLED."""
        with self._bounded(self._taking, self._idle_seconds * _TAKING_FACTOR, context):
            yield

    def close(self) -> None:
        """End the threads, once every call has ended. Idempotent."""
        self._closed.set()
        if self._watchdog is not None:
            self._watchdog.join()
        self._readers.shutdown()

    def _wait_for(self, ahead: Future[R | None], check: Callable[[], None]) -> R | None:
        end = self._seconds() + self._idle_seconds
        while True:
            try:
                return ahead.result(min(self._look_seconds, max(0.0, end - self._seconds())))
            except TimeoutError:
                check()
                if self._seconds() >= end:
                    # It ends with the call.
                    raise CallIdle(
                        f"Nothing came for {self._idle_seconds:g} s, and the call was ended. Make it "
                        "again, and send without such pauses.",
                        metadata={"idle_seconds": f"{self._idle_seconds:g}"},
                    ) from None

    @contextmanager
    def _bounded(
        self,
        waits: dict[object, _Wait],
        seconds: float,
        context: grpc.ServicerContext,
    ) -> Iterator[None]:
        key = object()
        with self._lock:
            if self._watchdog is None:
                self._watchdog = threading.Thread(target=self._watch, name="patience", daemon=True)
                self._watchdog.start()
            giving_way = self._make_room()
            now = self._seconds()
            waits[key] = _Wait(now + seconds, now, context)
        if giving_way is not None:
            _log.info("call ended: its client kept others waiting", peer=giving_way.peer())
            giving_way.cancel()
        try:
            yield
        finally:
            with self._lock:
                if waits.pop(key, None) is not None:
                    self._one_less.notify()

    def _make_room(self) -> grpc.ServicerContext | None:
        """Wait until there is room for one more; whoever had to make it, taken out."""
        while self._n_waiting is not None and len(self._sending) + len(self._taking) >= self._n_waiting:
            firsts = [(next(iter(waits.items())), waits) for waits in (self._sending, self._taking) if waits]
            (key, first), waits = min(firsts, key=lambda first: first[0][1].end)
            # Of many calls that come at once the messages are still on their way.
            left = first.since + _LEAST_SECONDS - self._seconds()
            if left <= 0 or self._is_crowded():
                del waits[key]
                return first.context
            self._one_less.wait(min(left, _CROWD_SECONDS))
        return None

    def _watch(self) -> None:
        while not self._closed.wait(self._look_seconds):
            for waits, what in ((self._sending, "sent nothing"), (self._taking, "took nothing")):
                for context in self._overdue(waits):
                    _log.info(f"call ended: its client {what} for too long", peer=context.peer())
                    context.cancel()

    def _overdue(self, waits: dict[object, _Wait]) -> tuple[grpc.ServicerContext, ...]:
        now, overdue = self._seconds(), []
        with self._lock:
            for key, wait in waits.items():
                if wait.end > now:
                    break
                overdue.append((key, wait.context))
            for key, _ in overdue:
                del waits[key]
        return tuple(context for _, context in overdue)
