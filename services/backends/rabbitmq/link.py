"""A link: one connection to the broker, on a thread of its own, made again whenever it breaks.

The IO thread does nothing but IO, so heartbeats are answered however long a fit computes. Everything of
pika's happens on it; other threads hand it actions and wait, if at all, for a bounded time.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Protocol, TypeVar

import pika  # type: ignore[import-untyped]
import structlog
from pika.adapters.select_connection import IOLoop  # type: ignore[import-untyped]

from services.backends.rabbitmq.location import Location
from services.backends.rabbitmq.publisher import Publisher
from services.backends.rabbitmq.topology import Topology, election_command
from services.core.backoff import backoff_seconds
from services.core.errors import QueueUnavailable

__all__ = ["CALL_SECONDS", "Endpoint", "Link", "resolve"]

T = TypeVar("T")

# What a caller waits at most for the broker's answer.
CALL_SECONDS = 10.0
_CLOSE_SECONDS = 5.0
# A connection that held for so long was a good one: the next failure is the first of its row.
_STEADY_SECONDS = 5.0
# A broker that has just come back may leave a queue without an answer once or twice.
_STALLS_BEFORE_ADVICE = 3

_logger = structlog.get_logger("rabbitmq")


class Endpoint(Protocol):
    """Something that lives on the link's connection; called on the IO thread."""

    def attach(self, connection: Any) -> None:
        """A new connection is there, with the topology declared: open channels, consume."""

    def detach(self) -> None:
        """The connection is gone, and its channels and delivery tags mean nothing any more."""


class Link:
    """Keeps one connection with one control channel (declarations, publishing) and any endpoints."""

    def __init__(
        self,
        location: Location,
        topology: Topology,
        *,
        purpose: str = "",
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Nothing is opened yet.

        Args:
            topology: of this link alone.
            purpose: what it is for, in the log.
            jitter: gives random numbers in [0, 1) for the pauses between attempts.
        """
        self.publisher = Publisher(lambda key: self.reset(f"nothing is bound to {key}: somebody deleted it."))
        self.topology = topology
        self._location = location
        self._purpose = purpose
        self._jitter = jitter
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._closing = threading.Event()
        self._endpoints: list[Endpoint] = []
        self._calls: set[Future[Any]] = set()
        # The rest belongs to the IO thread, but for reading under the lock.
        self._loop: Any = None
        self._connection: Any = None
        self._control: Any = None
        self._is_ready = False
        self._attempts = 0
        self._stalls = 0
        self._asked_of = ""
        self._failure = "it was never there."
        self.cluster_name = ""
        self._thread = threading.Thread(target=self._run, name="rabbitmq-io", daemon=True)

    def open(self) -> None:
        """Connect once; afterwards the link keeps itself up.

        Raises:
            QueueUnavailable: the first attempt failed; the link is closed again.
        """
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._is_ready or self._attempts)
            if self._is_ready:
                return
        error = self._unavailable()
        self.close()
        raise error

    def close(self) -> None:
        """Close the connection in order and end the thread; idempotent."""
        self.leave()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)

    def leave(self) -> None:
        """Begin to close, and wait for nothing; idempotent."""
        self._closing.set()
        self._on_io(lambda: self._shut("The task queue is closed."))

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    def add(self, endpoint: Endpoint) -> None:
        """Attach it now, if there is a connection, and to every later one."""

        def add() -> None:
            if self._is_ready:
                endpoint.attach(self._connection)

        with self._lock:
            self._endpoints.append(endpoint)
            self.post(add)

    def remove(self, endpoint: Endpoint) -> None:
        """Leave it alone from now on; idempotent."""
        with self._lock:
            if endpoint in self._endpoints:
                self._endpoints.remove(endpoint)

    def post(self, action: Callable[[], None]) -> bool:
        """Run it soon on the IO thread; False, and never, without a connection."""
        with self._lock:
            return self._is_ready and self._on_io(action)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run it after so many seconds, unless the connection breaks before. IO thread only."""
        self._loop.call_later(seconds, self._guarded(action))

    def call(self, action: Callable[[Future[T]], None], timeout_seconds: float = CALL_SECONDS) -> T:
        """Run it on the IO thread and wait for what it puts into the future, now or later.

        Raises:
            QueueUnavailable: there is no connection, it broke meanwhile, or the answer did not come in time.
        """
        future = self.begin(action)
        try:
            return future.result(timeout_seconds)
        except TimeoutError as error:
            # Heartbeats may go on while a channel hangs, as after a crash of the broker.
            self.post(self._reset_unanswered)
            raise QueueUnavailable(
                f"The broker at {self._location.server} did not answer within {timeout_seconds:g} s."
            ) from error
        finally:
            self._forget(future)

    def begin(self, action: Callable[[Future[T]], None]) -> Future[T]:
        """Run it on the IO thread; the future gets what it puts there, now or later.

        Or QueueUnavailable: there is no connection, or it broke meanwhile.
        """
        future: Future[T] = Future()
        with self._lock:
            if not self._closing.is_set() and self.post(lambda: action(future)):
                self._calls.add(future)
            else:
                future.set_exception(self._unavailable())
        future.add_done_callback(self._forget)
        return future

    def _forget(self, call: Future[Any]) -> None:
        with self._lock:
            self._calls.discard(call)

    def declare_passively(self, queue: str, answer: Callable[[Any], None]) -> None:
        """Ask for a queue's counts. IO thread only."""

        def answered(reply: Any) -> None:
            self.answered()
            answer(reply)

        self._asked_of = queue
        self._control.queue_declare(queue, passive=True, callback=answered)

    def answered(self) -> None:
        """A queue gave an answer: what was stalled before is over. IO thread only."""
        self._stalls = 0
        self._asked_of = ""

    def stalled(self, queue: str) -> None:
        """A queue left a call unanswered while its broker lives: begin anew. IO thread only.

        When that happens again and again, the log says what an operator can do about it.
        """
        self._stalls += 1
        if self._stalls >= _STALLS_BEFORE_ADVICE:
            _logger.error(
                "a queue does not answer though its broker does: it may have lost its leader in a crash. "
                "If `rabbitmqctl list_queues name leader` shows none for it, run the command",
                broker=self._location.server,
                queue=queue,
                stalls=self._stalls,
                command=election_command(self._location.virtual_host, queue),
            )
        self.reset(f"queue {queue} left a call unanswered.")

    def reset(self, why: str) -> None:
        """Break the connection, so that everything is declared and consumed anew. IO thread only."""
        _logger.warning(
            "connection is made anew", broker=self._location.server, purpose=self._purpose, reason=why
        )
        self._shut(why)

    def _reset_unanswered(self) -> None:
        if self._asked_of:
            self.stalled(self._asked_of)
        else:
            self.reset("it left a call unanswered.")

    # The IO thread

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began = time.monotonic()
            was_ready = self._serve()
            if self._closing.is_set():
                break
            failures = 1 if was_ready and time.monotonic() - began > _STEADY_SECONDS else failures + 1
            seconds = backoff_seconds(failures, self._jitter())
            _logger.warning(
                "broker is not connected",
                broker=self._location.server,
                purpose=self._purpose,
                error=self._failure,
                failures=failures,
                pause_seconds=round(seconds, 3),
            )
            self._closing.wait(seconds)

    def _serve(self) -> bool:
        """Connect and serve until the connection is gone; return whether it was ever ready."""
        loop = IOLoop()
        was_ready = False
        try:
            with self._lock:
                if self._closing.is_set():
                    return False
                self._loop = loop
                self._connection = pika.SelectConnection(
                    self._location.parameters,
                    on_open_callback=self._guarded_one(self._on_open),
                    on_open_error_callback=self._guarded_one(self._on_gone, 1),
                    on_close_callback=self._guarded_one(self._on_gone, 1),
                    custom_ioloop=loop,
                )
            loop.start()
        except Exception as error:
            # A thread that died of pika's bug would leave the process deaf for good.
            _logger.exception("connection failed in an unexpected way")
            self._failure = f"{type(error).__name__}."
        finally:
            was_ready = self._is_ready
            self._let_go()
            loop.close()
        return was_ready

    def _let_go(self) -> None:
        with self._changed:
            was_ready, self._is_ready = self._is_ready, False
            self._loop = self._connection = self._control = None
            self._asked_of = ""
            self._attempts += 1
            calls, self._calls = self._calls, set()
            endpoints = tuple(self._endpoints)
            self._changed.notify_all()
        self.publisher.detach(self._failure)
        if was_ready:
            for endpoint in endpoints:
                endpoint.detach()
        for call in calls:
            _fail(call, self._unavailable())

    def _on_open(self, connection: Any) -> None:
        if self._closing.is_set():
            self._shut("The task queue is closed.")
            return
        properties = getattr(connection, "server_properties", None) or {}
        name = properties.get("cluster_name", b"")
        self.cluster_name = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        connection.add_on_connection_blocked_callback(self._guarded_one(self._on_blocked, 1))
        connection.add_on_connection_unblocked_callback(self._guarded_one(self._on_unblocked))
        # A broker that has just come back may leave a declaration unanswered, heartbeats going on.
        self._loop.call_later(CALL_SECONDS, self._guarded(self._give_up_unless_ready))
        self._open_control()

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        reason = getattr(frame.method, "reason", "") or "an alarm"
        _logger.warning("broker takes no messages for now", broker=self._location.server, reason=reason)
        self.publisher.block(f"the broker takes no messages for now ({reason}).")

    def _on_unblocked(self, _connection: Any) -> None:
        _logger.info("broker takes messages again", broker=self._location.server)
        self.publisher.unblock()

    def _give_up_unless_ready(self) -> None:
        if self._is_ready:
            return
        if self.topology.declaring:
            self.stalled(self.topology.declaring)
        else:
            self.reset("it did not answer the declaration of the queues.")

    def _open_control(self) -> None:
        def opened(channel: Any) -> None:
            self._control = channel
            channel.add_on_close_callback(self._guarded_one(self._on_control_closed, 1))
            self.topology.declare(channel, lambda: self.publisher.attach(channel, self._guarded_one(ready)))

        def ready(_reply: object) -> None:
            with self._changed:
                self._is_ready = True
                endpoints = tuple(self._endpoints)
                self._changed.notify_all()
            _logger.info(
                "broker is connected",
                broker=self._location.server,
                purpose=self._purpose,
                prefix=self._location.prefix,
            )
            for endpoint in endpoints:
                endpoint.attach(self._connection)

        self._connection.channel(on_open_callback=self._guarded_one(opened))

    def _on_control_closed(self, channel: Any, reason: Any) -> None:
        if channel is not self._control or self._connection is None or not self._connection.is_open:
            return
        code = getattr(reason, "reply_code", 0)
        if not self._is_ready and self.topology.accept_refusal(code):
            self._open_control()
            return
        self.reset(f"the broker closed the control channel: {_describe(reason)}")

    def _on_gone(self, _connection: Any, error: Any) -> None:
        if not self._closing.is_set() and not isinstance(error, pika.exceptions.ConnectionClosedByClient):
            self._failure = _describe(error)
        self._loop.stop()

    def _shut(self, why: str) -> None:
        self._failure = why
        connection = self._connection
        if connection is None or connection.is_closed or connection.is_closing:
            return
        connection.close()
        # A broker that is stuck does not answer the goodbye.
        self._loop.call_later(_CLOSE_SECONDS / 2, self._guarded(lambda: self._abandon(connection)))

    def _abandon(self, connection: Any) -> None:
        """Drop a connection whose goodbye was not answered; `_on_gone` follows once its socket is closed."""
        # pika has no public way: its `close` waits for every channel, and a second one is refused.
        transport = connection._transport
        if transport is None:
            self._loop.stop()
        else:
            transport.abort()

    def _on_io(self, action: Callable[[], None]) -> bool:
        with self._lock:
            if self._loop is None:
                return False
            self._loop.add_callback_threadsafe(self._guarded(action))
            return True

    def _guarded(self, action: Callable[[], None]) -> Callable[[], None]:
        return lambda: self._guard(action)

    def _guarded_one(self, callback: Callable[..., None], more: int = 0) -> Callable[..., None]:
        return lambda *arguments: self._guard(lambda: callback(*arguments[: 1 + more]))

    def _guard(self, action: Callable[[], None]) -> None:
        """Run it; an error costs this connection at most, never the thread."""
        try:
            action()
        except pika.exceptions.AMQPError as error:
            # Typically a channel that closed a moment ago; its close callback follows.
            _logger.debug("the connection was in the way of an action", error=_describe(error))
        except Exception:
            _logger.exception("unexpected error on the IO thread")
            self._shut("an unexpected error on the IO thread.")

    def _unavailable(self) -> QueueUnavailable:
        if self._closing.is_set():
            return QueueUnavailable("The task queue is closed.", "QUEUE_CLOSED")
        return QueueUnavailable(
            f"There is no connection to the broker at {self._location.server}: {self._failure}"
        )


def resolve(future: Future[T], value: T) -> None:
    """Put a value into a future that nobody may be waiting for any more."""
    try:
        future.set_result(value)
    except InvalidStateError:
        _logger.debug("an answer came too late")


def _fail(future: Future[Any], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        _logger.debug("a failure came too late")


def _describe(error: object) -> str:
    """What pika says, in a sentence of ours. It never quotes credentials."""
    exceptions = pika.exceptions
    if isinstance(error, exceptions.ProbableAuthenticationError) or getattr(error, "reply_code", 0) == 403:
        return "it refused the user name or the password, or the user's rights."
    if isinstance(error, exceptions.ProbableAccessDeniedError) or getattr(error, "reply_code", 0) == 530:
        return "it refused the virtual host."
    text = getattr(error, "reply_text", "") or repr(error)
    causes = getattr(error, "exceptions", None)
    if causes:
        return _describe(causes[-1])
    # pika wraps what happened once or twice, as an attribute or as what an error is about.
    for inner in (getattr(error, "exception", None), *getattr(error, "args", ())):
        if isinstance(inner, BaseException):
            return _describe(inner)
    if isinstance(error, OSError):
        text = error.strerror or type(error).__name__
    return f"{text}."
