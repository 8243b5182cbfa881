"""When which fault strikes: a pure function of a seed. Nothing here touches a process or a clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Fault", "Strike", "plan_round", "plan_strikes"]

# Long enough for the service to make headway between two faults, short enough for faults to overlap.
_GAP_SECONDS = (2.0, 5.0)
_FIRST_SECONDS = 2.0


class Fault(StrEnum):
    """What can go wrong."""

    KILL_WORKER = "kill-worker"
    TERM_WORKER = "term-worker"
    KILL_SCHEDULER = "kill-scheduler"
    TERM_SCHEDULER = "term-scheduler"
    KILL_GATEWAY = "kill-gateway"
    TERM_GATEWAY = "term-gateway"
    RESTART_BROKER = "restart-broker"
    WIPE_BROKER = "wipe-broker"
    STOP_STORE = "stop-store"
    RESET_STORE = "reset-store"
    STALL_STORE = "stall-store"
    CUT_BROKER = "cut-broker"
    STALL_BROKER = "stall-broker"
    S3_ERRORS = "s3-errors"
    S3_LATENCY = "s3-latency"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault at one time.

    Attributes:
        at_seconds: after the first job was submitted.
        seconds: how long it lasts; 0 for what happens in an instant.
        target: chooses among several of a kind, modulo their number.
    """

    at_seconds: float
    fault: Fault
    seconds: float
    target: int


# How often each is dealt in one hand, and how long it lasts, from and to.
_DECK: dict[Fault, tuple[int, float, float]] = {
    Fault.KILL_WORKER: (4, 0.0, 0.0),
    Fault.TERM_WORKER: (2, 0.0, 0.0),
    Fault.KILL_SCHEDULER: (2, 0.0, 0.0),
    Fault.TERM_SCHEDULER: (1, 0.0, 0.0),
    Fault.KILL_GATEWAY: (1, 0.0, 0.0),
    Fault.TERM_GATEWAY: (1, 0.0, 0.0),
    Fault.RESTART_BROKER: (1, 0.0, 0.0),
    Fault.WIPE_BROKER: (1, 0.0, 0.0),
    Fault.STOP_STORE: (1, 10.0, 10.0),
    Fault.RESET_STORE: (1, 0.0, 0.0),
    Fault.STALL_STORE: (1, 2.0, 6.0),
    Fault.CUT_BROKER: (2, 1.0, 6.0),
    # Longer than two heartbeats, after which both ends give the connection up.
    Fault.STALL_BROKER: (1, 8.0, 12.0),
    Fault.S3_ERRORS: (1, 3.0, 8.0),
    Fault.S3_LATENCY: (1, 3.0, 8.0),
}


def plan_strikes(seed: int, seconds: float) -> tuple[Strike, ...]:
    """The strikes of a run whose faults begin within `seconds`, in order; the same seed, the same strikes.

    Faults are dealt like cards: every kind comes once (or more, by its share) before any comes again.
    """
    numbers = random.Random(seed)
    strikes = _strikes(numbers, _deal(numbers), _GAP_SECONDS)
    return tuple(itertools.takewhile(lambda strike: strike.at_seconds <= seconds, strikes))


def plan_round(seed: int, faults: Collection[Fault], gap_seconds: tuple[float, float]) -> tuple[Strike, ...]:
    """Each of these faults once, this far apart, from and to; the same seed, the same strikes."""
    numbers = random.Random(seed)
    hand = sorted(faults)
    numbers.shuffle(hand)
    return tuple(_strikes(numbers, hand, gap_seconds))


def _strikes(
    numbers: random.Random, faults: Iterable[Fault], gap_seconds: tuple[float, float]
) -> Iterator[Strike]:
    at_seconds = _FIRST_SECONDS
    for fault in faults:
        at_seconds += numbers.uniform(*gap_seconds)
        _, shortest, longest = _DECK[fault]
        yield Strike(
            at_seconds=round(at_seconds, 3),
            fault=fault,
            seconds=round(numbers.uniform(shortest, longest), 3),
            target=numbers.randrange(1 << 16),
        )


def _deal(numbers: random.Random) -> Iterator[Fault]:
    while True:
        hand = [fault for fault, (copies, _, _) in _DECK.items() for _ in range(copies)]
        numbers.shuffle(hand)
        yield from hand
