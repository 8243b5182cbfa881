"""Messages: bundles and job events as versioned JSON, and why a bundle is where it is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pika  # type: ignore[import-untyped]

from services.core.jobs import JobEvent
from services.core.tasks import Bundle, TaskKey

__all__ = [
    "BundleMessage",
    "DamagedMessage",
    "Outgoing",
    "damaged_copy",
    "event_message",
    "read_event",
    "was_rejected",
    "why_dead",
]

_VERSION = 1
_PERSISTENT, _TRANSIENT = 2, 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LATEST_MILLIS = 1 << 43  # in the year 2248; far beyond that there is no date
# A header must fit into one frame with everything else; 128 KiB at most.
_LONGEST_REASON = 2000

_FAILURES = "kmeans-failures"
_REASON = "kmeans-reason"
_REDELIVERED = "kmeans-redelivered"
# Milliseconds since 1970-01-01 UTC: AMQP's own timestamp has whole seconds.
_PUBLISHED = "kmeans-published"
_TRACEPARENT = "traceparent"
# The broker's word for a message that was returned too often.
_DELIVERY_LIMIT = "delivery_limit"


class DamagedMessage(ValueError):
    """The bytes are not a message of this service, or of a version that it does not know."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish: always mandatory, always confirmed."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Any


@dataclass(frozen=True, slots=True)
class BundleMessage:
    """A bundle on its way.

    Attributes:
        failures: how often it was delivered in vain, by a worker's word or by the broker's count.
        reason: what the last worker that rejected it said, or "".
        redelivered: whether it was delivered before.
    """

    bundle: Bundle
    failures: int = 0
    reason: str = ""
    redelivered: bool = False

    def failed(self, reason: str) -> BundleMessage:
        """The message after one more failure."""
        return replace(self, failures=self.failures + 1, reason=reason, redelivered=True)

    def handed_back(self) -> BundleMessage:
        """The message after a delivery that counts for nothing."""
        return replace(self, redelivered=True)

    def to(self, exchange: str, routing_key: str) -> Outgoing:
        """Written for this exchange."""
        headers: dict[str, object] = {}
        if self.failures:
            headers[_FAILURES] = self.failures
        if self.reason:
            headers[_REASON] = self.reason[:_LONGEST_REASON]
        if self.redelivered:
            headers[_REDELIVERED] = True
        if self.bundle.published_at is not None:
            headers[_PUBLISHED] = (self.bundle.published_at - _EPOCH) // _MILLISECOND
        if self.bundle.traceparent:
            headers[_TRACEPARENT] = self.bundle.traceparent
        body: dict[str, object] = {
            "version": _VERSION,
            "job": self.bundle.job_id,
            "tasks": [key.short_id for key in self.bundle.keys],
        }
        if self.bundle.alone:
            # No version of its own: a worker that does not know the word runs the bundle as any other.
            body["alone"] = True
        return Outgoing(
            exchange,
            routing_key,
            json.dumps(body, separators=(",", ":")).encode(),
            _properties("kmeans.bundle", _PERSISTENT, headers),
        )

    @classmethod
    def read(cls, body: bytes, properties: Any, redelivered: bool) -> BundleMessage:
        """Read what `to` wrote and the broker added.

        Raises:
            DamagedMessage: with a sentence that says what is wrong.
        """
        content = _read_json(body)
        job_id, tasks = content.get("job"), content.get("tasks")
        if not isinstance(job_id, str) or not job_id or not isinstance(tasks, list) or not tasks:
            raise DamagedMessage("It names no job, or no task.")
        try:
            keys = tuple(TaskKey.parse_short(job_id, task) for task in tasks)
        except (AttributeError, TypeError, ValueError) as error:
            raise DamagedMessage("One of its tasks is not written experiment-k-covariance.") from error
        headers = properties.headers or {}
        failures, reason = headers.get(_FAILURES, 0), headers.get(_REASON, "")
        # Counted by the quorum queue since the message was published: its workers died or fell silent.
        returns = headers.get("x-delivery-count", 0)
        if not isinstance(failures, int) or not isinstance(reason, str) or not isinstance(returns, int):
            raise DamagedMessage("Its headers are not those of this service.")
        alone = content.get("alone") is True
        bundle = Bundle(job_id, keys, _published_at(headers), _traceparent(headers), alone)
        return cls(bundle, failures + returns, reason, redelivered or headers.get(_REDELIVERED) is True)


def was_rejected(message: BundleMessage, properties: Any) -> bool:
    """Whether a bundle is in the dead-letter queue by the word of a worker, not by the broker's alone.

    What expired there, or was too much for the queue, failed nowhere.
    """
    return bool(message.reason) and _cause_of_death(properties) in {None, _DELIVERY_LIMIT}


def why_dead(message: BundleMessage, properties: Any) -> str:
    """Why a bundle is in the dead-letter queue, as far as its headers tell; a sentence."""
    cause = _cause_of_death(properties)
    if cause is None:
        return message.reason or "no reason was given."
    if cause == _DELIVERY_LIMIT:
        known = "the workers that had it died, lost their connection or did not acknowledge it in time."
    else:
        known = f"the broker dead-lettered it ({cause})."
    return f"{known} Before that, a worker said: {message.reason}" if message.reason else known


def _cause_of_death(properties: Any) -> object:
    """Why the broker dead-lettered it; None when a worker put it there."""
    deaths = (properties.headers or {}).get("x-death") or [{}]
    return deaths[0].get("reason") if isinstance(deaths[0], dict) else None


def damaged_copy(exchange: str, routing_key: str, body: bytes, properties: Any, reason: str) -> Outgoing:
    """The same bytes under the same headers, with the reason added, for people to look at."""
    headers = {name: value for name, value in (properties.headers or {}).items() if name != "x-death"}
    copy = _properties(
        str(properties.type or "unknown"), _PERSISTENT, headers | {_REASON: reason[:_LONGEST_REASON]}
    )
    return Outgoing(exchange, routing_key, body, copy)


def event_message(queue: str, event: JobEvent) -> Outgoing:
    """A job event for this queue. Not persistent: the sweep finds what an outage loses."""
    body = json.dumps({"version": _VERSION, "job": event.job_id}, separators=(",", ":")).encode()
    return Outgoing("", queue, body, _properties("kmeans.job-event", _TRANSIENT, {}))


def read_event(body: bytes) -> JobEvent:
    """Read what `event_message` wrote; DamagedMessage otherwise."""
    job_id = _read_json(body).get("job")
    if not isinstance(job_id, str) or not job_id:
        raise DamagedMessage("It names no job.")
    return JobEvent(job_id)


def _published_at(headers: Mapping[str, Any]) -> datetime | None:
    # Nothing depends on these two but figures and traces, so that a bundle is run without them.
    millis = headers.get(_PUBLISHED)
    if not isinstance(millis, int) or abs(millis) > _LATEST_MILLIS:
        return None
    return _EPOCH + millis * _MILLISECOND


def _traceparent(headers: Mapping[str, Any]) -> str:
    traceparent = headers.get(_TRACEPARENT)
    return traceparent if isinstance(traceparent, str) else ""


def _read_json(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DamagedMessage("It is not JSON.") from error
    if not isinstance(content, dict):
        raise DamagedMessage("It is not a JSON object.")
    if content.get("version") != _VERSION:
        raise DamagedMessage(f"Its version is {content.get('version')!r:.40}; this is version {_VERSION}.")
    return content


def _properties(kind: str, delivery_mode: int, headers: Mapping[str, object]) -> Any:
    return pika.BasicProperties(
        content_type="application/json",
        type=kind,
        delivery_mode=delivery_mode,
        message_id=uuid.uuid4().hex,
        headers=dict(headers) or None,
    )
