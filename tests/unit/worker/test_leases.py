from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from services.core.errors import StoreUnavailable
from services.worker.leases import Claim, LeaseKeeper

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Renewals:
    """A store that knows how many tasks each attempt still holds."""

    def __init__(self, **held: int | Exception) -> None:
        self.held = held
        self.until: dict[str, datetime] = {}
        self.renewed = threading.Event()

    def renew_lease(self, attempt_id: str, lease_until: datetime) -> int:
        self.renewed.set()
        answer = self.held[attempt_id]
        if isinstance(answer, Exception):
            raise answer
        self.until[attempt_id] = lease_until
        return answer


def keeper(store: Any, lease_seconds: float = 60.0) -> LeaseKeeper:
    return LeaseKeeper(store, lease_seconds, lambda: NOW)


def test_active_claims_are_renewed_for_a_whole_lease() -> None:
    store = Renewals(a=3, b=1)
    leases = keeper(store)
    with leases.hold(Claim("a", "j")) as claim, leases.hold(Claim("b", "j")):
        leases.renew()
        assert not claim.is_lost
    assert store.until == {"a": NOW + timedelta(seconds=60), "b": NOW + timedelta(seconds=60)}


def test_claim_without_tasks_is_lost() -> None:
    leases = keeper(Renewals(a=0, b=1))
    with leases.hold(Claim("a", "j")) as lost, leases.hold(Claim("b", "j")) as kept:
        leases.renew()
        assert lost.is_lost
        assert not kept.is_lost


def test_store_that_does_not_answer_loses_no_claim_and_stops_no_other() -> None:
    store = Renewals(a=StoreUnavailable("down"), b=1)
    leases = keeper(store)
    with leases.hold(Claim("a", "j")) as claim, leases.hold(Claim("b", "j")):
        leases.renew()
        assert not claim.is_lost
    assert set(store.until) == {"b"}


def test_claim_is_held_as_long_as_its_block() -> None:
    leases = keeper(Renewals())
    claim = Claim("a", "j")
    with leases.hold(claim):
        assert leases.active() == (claim,)
    assert leases.active() == ()
    leases.renew()


def test_thread_renews_and_survives_a_bug() -> None:
    store = Renewals(a=RuntimeError("a bug"))
    leases = keeper(store, lease_seconds=0.003)
    leases.start()
    try:
        with leases.hold(Claim("a", "j")) as claim:
            assert store.renewed.wait(30)
            store.held["a"] = 0
            store.renewed.clear()
            assert store.renewed.wait(30)
            while not claim.is_lost:
                store.renewed.clear()
                assert store.renewed.wait(30)
    finally:
        leases.stop()
    leases.stop()
