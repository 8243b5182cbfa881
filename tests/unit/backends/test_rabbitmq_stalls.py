"""A queue that does not answer while its broker does is noticed, and the log says what to do."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from structlog.testing import capture_logs

from services.backends.rabbitmq.events import EventReceiver
from services.backends.rabbitmq.link import Link
from services.backends.rabbitmq.location import Location
from services.backends.rabbitmq.topology import Topology, election_command


def make_link() -> Link:
    return Link(Location.parse("amqp://guest:secret@broker:5672/"), Topology("kmeans", 3))


def test_advice_comes_when_it_happens_again_and_again() -> None:
    link = make_link()
    with capture_logs() as logs:
        for _ in range(4):
            link.stalled("kmeans.bundles.v1")
    advice = [log for log in logs if log["log_level"] == "error"]
    assert [log["stalls"] for log in advice] == [3, 4]
    assert advice[0]["queue"] == "kmeans.bundles.v1"
    assert advice[0]["command"] == (
        "rabbitmqctl eval \"ra:trigger_election({'%2F_kmeans.bundles.v1', node()}).\""
    )
    assert "secret" not in str(logs)


def test_an_answer_ends_the_count() -> None:
    link = make_link()
    with capture_logs() as logs:
        for _ in range(5):
            link.stalled("kmeans.bundles.v1")
            link.answered()
    assert {log["log_level"] for log in logs} == {"warning"}


def test_the_virtual_host_is_part_of_the_command() -> None:
    assert "{'team%2Fa_kmeans.dead.v1', node()}" in election_command("team/a", "kmeans.dead.v1")


class EventLink:
    """What an `EventReceiver` needs of a link; runs nothing by itself."""

    def __init__(self) -> None:
        self.topology = Topology("kmeans", 3)
        self.resets: list[str] = []
        self.alarms: list[Callable[[], None]] = []

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self.alarms.append(action)

    def reset(self, why: str) -> None:
        self.resets.append(why)


class EventChannel:
    """A channel whose answers a test gives."""

    is_open = True

    def __init__(self) -> None:
        self.answer: Callable[[Any], None] = lambda reply: None

    def add_on_close_callback(self, callback: Any) -> None: ...

    def add_on_cancel_callback(self, callback: Any) -> None: ...

    def basic_consume(self, queue: str, *, callback: Any, **_options: Any) -> None:
        self.answer = callback


def attached(link: EventLink) -> tuple[EventReceiver, EventChannel]:
    channel = EventChannel()
    receiver: Any = EventReceiver(link)  # type: ignore[arg-type]
    receiver.attach(SimpleNamespace(channel=lambda on_open_callback: on_open_callback(channel)))
    return receiver, channel


def test_events_that_are_not_consumed_break_the_connection() -> None:
    link = EventLink()
    attached(link)
    (alarm,) = link.alarms
    alarm()
    assert link.resets == ["the event queue left a call unanswered."]


def test_events_that_are_consumed_do_not() -> None:
    link = EventLink()
    _, channel = attached(link)
    channel.answer(None)
    link.alarms[0]()
    assert link.resets == []
