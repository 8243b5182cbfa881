"""A worker's end of the bundle queue.

Every slot is one consumer with a prefetch of one, all on one channel: the broker counts slots exactly,
shares bundles among them in turn, and never has a slot hold two.

A slot whose bundle is stale (its connection broke, or the broker gave up waiting for the acknowledgement)
consumes again only when the worker has settled that bundle. It would otherwise be handed bundles that
nobody runs, and those would be counted as failures.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import structlog

from services.backends.rabbitmq.link import CALL_SECONDS, Link, resolve
from services.backends.rabbitmq.messages import BundleMessage, DamagedMessage, damaged_copy
from services.backends.rabbitmq.outbox import Outbox
from services.backends.rabbitmq.publisher import Done
from services.core.errors import QueueUnavailable
from services.core.tasks import Bundle

__all__ = ["RabbitConsumer", "RabbitDelivery"]

# A bundle that was handed back waits so long for a slot of the same worker; then it goes to the others.
_HANDBACK_SECONDS = 2.0
_PRECONDITION_FAILED = 406

_log = structlog.get_logger("rabbitmq")


class _Slot:
    """One consumer at the broker.

    Attributes:
        tag: of the consumer, on the current channel; "" while it does not consume.
        delivery: what waits in the buffer for a thread, or is in a thread's hands.
    """

    def __init__(self) -> None:
        self.tag = ""
        self.delivery: RabbitDelivery | None = None


class RabbitDelivery:
    """`services.core.ports.BundleDelivery`; made by `RabbitConsumer.receive`."""

    def __init__(
        self, consumer: RabbitConsumer, slot: _Slot, channel: Any, tag: int, message: BundleMessage
    ) -> None:
        """Hand this message, delivered under this tag on this channel, to this slot."""
        self.slot = slot
        self.channel = channel
        self.tag = tag
        self.message = message
        self._consumer = consumer

    @property
    def bundle(self) -> Bundle:
        """See the port."""
        return self.message.bundle

    @property
    def redelivered(self) -> bool:
        """See the port."""
        return self.message.redelivered

    def ack(self) -> None:
        """See the port."""
        self._consumer._settle(self, self._consumer._send_ack)

    def requeue(self) -> None:
        """See the port. It waits for this worker's next free slot, a while, and then for anybody's."""
        self._consumer._keep(self)

    def reject(self, reason: str) -> None:
        """See the port. It goes to the back of the queue, with the reason and one more failure."""
        self._consumer._settle(self, lambda delivery: self._consumer._send_rejected(delivery, reason))


class RabbitConsumer:
    """`services.core.ports.BundleConsumer`; made by `RabbitQueue.open_bundle_consumer`."""

    def __init__(self, link: Link, outbox: Outbox, slots: int, delivery_limit: int) -> None:
        """Nothing is consumed before `open`."""
        self._link = link
        self._outbox = outbox
        self._topology = link.topology
        self._delivery_limit = delivery_limit
        self._slots = [_Slot() for _ in range(slots)]
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._ready: deque[RabbitDelivery] = deque()
        self._cancelled = False
        self._closed = False
        # IO thread, but for reading under the lock.
        self._channel: Any = None
        self._is_consuming = False
        self._opened: Future[None] | None = None
        # Copies that the broker has not confirmed, so that their originals are not acknowledged yet.
        self._unanswered: set[object] = set()
        self._on_answered: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Begin to consume; QueueUnavailable when the broker does not answer."""

        def attach(future: Future[None]) -> None:
            self._opened = future
            self._link.add(self)

        try:
            self._link.call(attach)
        except QueueUnavailable:
            self.close()
            raise

    def receive(self, timeout_seconds: float) -> RabbitDelivery | None:
        """See the port. None while there is no connection, too."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._cancelled, timeout_seconds)
            return self._ready.popleft() if self._ready and not self._cancelled else None

    def cancel(self) -> None:
        """See the port. What no thread has seen goes to the others, to the end of the queue."""
        with self._changed:
            if self._cancelled:
                return
            self._cancelled = True
            self._changed.notify_all()
        self._link.post(self._stop_consuming)

    def close(self) -> None:
        """See the port. What it held goes back by copies, to the end of the queue."""
        with self._changed:
            if self._closed:
                return
            self._cancelled = self._closed = True
            self._ready.clear()
            held = [slot.delivery for slot in self._slots if slot.delivery is not None]
            for slot in self._slots:
                slot.delivery = None
            self._changed.notify_all()
        self._link.remove(self)
        try:
            self._link.call(lambda future: self._shut(future, held))
        except QueueUnavailable as error:
            # Without a connection the broker has taken everything back already.
            _log.debug("consumer closed without the broker", error=str(error))

    # What the worker's threads settle

    def _settle(self, delivery: RabbitDelivery, send: Callable[[RabbitDelivery], None]) -> None:
        with self._lock:
            if delivery.slot.delivery is not delivery:
                return  # settled before, or its consumer was closed and the bundle comes again
            delivery.slot.delivery = None
            # Without a connection there is nothing to say: the broker delivers the bundle again.
            self._link.post(lambda: self._on_settled(delivery, send))

    def _keep(self, delivery: RabbitDelivery) -> None:
        with self._changed:
            if delivery.slot.delivery is not delivery:
                return
            if delivery.channel is not self._channel:
                self._settle(delivery, self._send_ack)
                return
            if self._cancelled:
                self._settle(delivery, self._pass_on_later)
                return
            # A new delivery, so that the old one can settle nothing any more.
            again = RabbitDelivery(
                self, delivery.slot, delivery.channel, delivery.tag, delivery.message.handed_back()
            )
            delivery.slot.delivery = again
            self._ready.appendleft(again)
            self._changed.notify()
            self._link.post(
                lambda: self._link.later(_HANDBACK_SECONDS, lambda: self._pass_on_unless_taken(again))
            )

    # The IO thread

    def attach(self, connection: Any) -> None:
        """Open a channel and consume with every slot that is free."""
        if not self._cancelled:
            connection.channel(on_open_callback=self._on_channel)

    def detach(self) -> None:
        """Forget what no thread has seen: the broker delivers it again."""
        with self._lock:
            self._channel = None
            for delivery in self._ready:
                delivery.slot.delivery = None
            self._ready.clear()
            for slot in self._slots:
                slot.tag = ""
        self._unanswered.clear()

    def _on_channel(self, channel: Any) -> None:
        if self._cancelled:
            channel.close()
            return
        with self._lock:
            self._channel = channel
            free = [slot for slot in self._slots if slot.delivery is None]
        self._is_consuming = False
        self._link.later(CALL_SECONDS, lambda: self._reset_unless_consuming(channel))
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(lambda _frame: self._link.reset("the bundle queue was deleted."))
        channel.basic_qos(prefetch_count=1)
        for slot in free:
            self._consume(slot)
        # pika sends one method after the other's answer, so this answer is the last.
        channel.basic_qos(prefetch_count=1, callback=self._on_consuming)

    def _reset_unless_consuming(self, channel: Any) -> None:
        if channel is self._channel and not self._is_consuming and not self._closed:
            self._link.stalled(self._topology.bundles)

    def _on_consuming(self, _reply: object) -> None:
        self._is_consuming = True
        self._link.answered()
        if self._opened is not None:
            resolve(self._opened, None)
            self._opened = None

    def _consume(self, slot: _Slot) -> None:
        slot.tag = self._channel.basic_consume(
            self._topology.bundles,
            on_message_callback=lambda *message: self._on_message(slot, *message),
            callback=lambda _reply: None,
        )

    def _on_channel_closed(self, channel: Any, reason: Any) -> None:
        if channel is not self._channel:
            return
        self.detach()
        if self._closed or not channel.connection.is_open:
            return
        code, text = getattr(reason, "reply_code", 0), getattr(reason, "reply_text", str(reason))
        if code != _PRECONDITION_FAILED:
            self._link.reset(f"the broker closed a worker's channel: {text}.")
            return
        # A bundle was not acknowledged within the broker's consumer_timeout. Whoever gets it next finds
        # its tasks under our lease and drops it; the fit goes on here, and its acknowledgement is stale.
        _log.warning("broker took back what was not acknowledged in time", reason=text)
        self.attach(channel.connection)

    def _on_message(self, slot: _Slot, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        try:
            message = BundleMessage.read(body, properties, method.redelivered)
        except DamagedMessage as error:
            _log.error("damaged message put aside", queue=self._topology.damaged, reason=str(error))
            copy = damaged_copy(self._topology.dead, self._topology.damaged_key, body, properties, str(error))
            self._outbox.send([copy], self._then_ack(channel, method.delivery_tag))
            return
        delivery = RabbitDelivery(self, slot, channel, method.delivery_tag, message)
        if self._closed:
            self._pass_on(delivery)
        elif message.failures > self._delivery_limit:
            self._bury(delivery, message)
        else:
            with self._changed:
                slot.delivery = delivery
                self._ready.append(delivery)
                self._changed.notify()

    def _on_settled(self, delivery: RabbitDelivery, send: Callable[[RabbitDelivery], None]) -> None:
        if delivery.channel is self._channel and delivery.channel.is_open:
            send(delivery)
            return
        slot = delivery.slot
        _log.debug("stale delivery dropped", job_id=delivery.bundle.job_id)
        if self._channel is not None and self._channel.is_open and not slot.tag and not self._cancelled:
            self._consume(slot)

    def _send_ack(self, delivery: RabbitDelivery) -> None:
        delivery.channel.basic_ack(delivery.tag)

    def _send_rejected(self, delivery: RabbitDelivery, reason: str) -> None:
        message = delivery.message.failed(reason)
        if message.failures > self._delivery_limit:
            self._bury(delivery, message)
            return
        # To the back: a bundle that fails must not hold up those that would not.
        copy = message.to("", self._topology.bundles)
        self._outbox.send([copy], self._then_ack(delivery.channel, delivery.tag))

    def _bury(self, delivery: RabbitDelivery, message: BundleMessage) -> None:
        copy = message.to(self._topology.dead, self._topology.bundle_key)
        self._outbox.send([copy], self._then_ack(delivery.channel, delivery.tag))

    def _pass_on_unless_taken(self, delivery: RabbitDelivery) -> None:
        with self._lock:
            if delivery not in self._ready:
                return
            self._ready.remove(delivery)
            delivery.slot.delivery = None
        self._pass_on(delivery)

    def _pass_on(self, delivery: RabbitDelivery) -> None:
        """Give it to another worker, by a copy: the broker counts whatever is returned as a failure."""
        copy = delivery.message.handed_back().to("", self._topology.bundles)
        self._outbox.send([copy], self._then_ack(delivery.channel, delivery.tag))

    def _then_ack(self, channel: Any, tag: int) -> Done:
        copy = object()
        self._unanswered.add(copy)

        def done(failure: str) -> None:
            if channel.is_open:
                if failure:
                    _log.warning("bundle returned to the broker instead", reason=failure)
                    channel.basic_reject(tag, requeue=True)
                else:
                    channel.basic_ack(tag)
            self._unanswered.discard(copy)
            self._on_answered()

        return done

    def _stop_consuming(self) -> None:
        with self._lock:
            unseen = list(self._ready)
            self._ready.clear()
            for delivery in unseen:
                delivery.slot.delivery = None
        if self._channel is not None and self._channel.is_open:
            self._cancel_slots()
            for delivery in unseen:
                self._pass_on_later(delivery)

    def _cancel_slots(self) -> None:
        for slot in self._slots:
            if slot.tag:
                self._channel.basic_cancel(slot.tag, callback=lambda _reply: None)
                slot.tag = ""

    def _pass_on_later(self, delivery: RabbitDelivery) -> None:
        """Once no slot of ours consumes: one might be sent the copy and refuse it, which is counted."""
        self._when_cancelled(delivery.channel, lambda: self._pass_on(delivery))

    def _when_cancelled(self, channel: Any, action: Callable[[], None]) -> None:
        # pika sends one method after the other's answer, so this answer is the last. (Of several cancels, it
        # calls back for all of them at the first answer.)
        channel.basic_qos(prefetch_count=1, callback=lambda _reply: action())

    def _shut(self, future: Future[None], held: list[RabbitDelivery]) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            resolve(future, None)
            return

        def close_when_answered() -> None:
            # Not before: a bundle whose copy is in the queue would come back beside it.
            if not self._unanswered and channel.is_open:
                channel.add_on_close_callback(lambda *_closed: resolve(future, None))
                channel.close()

        def on_cancelled() -> None:
            # Nothing comes any more. In the order in which they were delivered.
            for delivery in sorted(held, key=lambda each: each.tag):
                if delivery.channel is channel:
                    self._pass_on(delivery)
            self._on_answered = close_when_answered
            close_when_answered()

        self._cancel_slots()
        self._when_cancelled(channel, on_cancelled)
