"""Claims are apart from the tasks: whatever becomes of one, no task waits for it for good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure

from services.backends.mongodb import MongoStore
from services.backends.mongodb.database import Transaction
from services.backends.mongodb.writers import Writers
from services.core.deadline import seconds_left, set_deadline
from services.core.errors import StoreUnavailable
from services.core.tasks import TaskState
from tests.contract.samples import LATER, NOW, claim, done, start_job
from tests.integration.jobs.conftest import until
from tests.integration.mongodb.test_models import middling_model

Documents = Database[dict[str, Any]]
Opener = Callable[[], MongoStore]
AFTER = LATER + timedelta(seconds=1)
LONG_AFTER = LATER + timedelta(seconds=60)


def states(store: MongoStore, job_id: str) -> set[TaskState]:
    return {task.state for task in store.all_tasks(job_id)}


def test_a_lease_that_is_renewed_while_it_expires_has_not_ended(
    open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, sweeping = open_store(), open_store()
    _, keys = start_job(worker, 3)
    claim(worker, keys, "a")
    next_revision, renewed = Transaction.next_revision, list[int]()

    def renew_amid(transaction: Transaction, job_id: str) -> int | None:
        revision = next_revision(transaction, job_id)
        if not renewed:
            renewed.append(worker.renew_lease("a", LONG_AFTER))
        return revision

    monkeypatch.setattr(Transaction, "next_revision", renew_amid)
    assert sweeping.expire_leases(AFTER) == ()
    assert renewed == [3]
    assert worker.renew_lease("a", LONG_AFTER) == 3
    assert worker.finish_tasks("a", [done(key) for key in keys], NOW) == keys


def test_an_empty_claim_goes_with_its_lease(store: MongoStore, database: Documents) -> None:
    _, keys = start_job(store, 2)
    claim(store, keys, "a")
    store.finish_tasks("a", [done(key) for key in keys], NOW)
    assert store.renew_lease("a", LATER) == 0
    assert store.expire_leases(AFTER) == ()
    assert database["claims"].count_documents({}) == 0


def test_what_runs_under_no_claim_is_set_back_by_the_next_process(
    open_store: Opener, database: Documents
) -> None:
    store = open_store()
    job, keys = start_job(store, 3)
    claim(store, keys[:1], "a")
    claim(store, keys[1:], "b")
    database["claims"].delete_one({"attempt_id": "a"})
    assert open_store().expire_leases(NOW) == (job.id,)
    assert [task.state for task in store.all_tasks(job.id)] == [
        TaskState.PENDING,
        TaskState.RUNNING,
        TaskState.RUNNING,
    ]
    assert open_store().expire_leases(NOW) == ()


@pytest.mark.parametrize(
    "damage", [{"$unset": {"tasks": True}}, {"$set": {"tasks": [7]}}], ids=["none", "number"]
)
def test_a_damaged_claim_holds_up_no_other_job_and_its_own_no_longer_than_its_lease(
    store: MongoStore, database: Documents, damage: dict[str, Any]
) -> None:
    jobs = [start_job(store, 2) for _ in range(3)]
    for number, (_, keys) in enumerate(jobs):
        claim(store, keys, f"attempt-{number}")
    database["claims"].update_one({"attempt_id": "attempt-1"}, damage)
    assert set(store.expire_leases(AFTER)) == {job.id for job, _ in jobs}
    assert [states(store, job.id) for job, _ in jobs] == [{TaskState.PENDING}] * 3


def test_a_damaged_block_holds_up_no_other_job(store: MongoStore, database: Documents) -> None:
    jobs = [start_job(store, 2) for _ in range(3)]
    for number, (_, keys) in enumerate(jobs):
        claim(store, keys, f"attempt-{number}")
    damaged = jobs[1][0]
    database["blocks"].update_one({"job_id": damaged.id}, {"$set": {"tasks.0.losses": "many"}})
    assert set(store.expire_leases(AFTER)) == {job.id for job, _ in jobs} - {damaged.id}


@pytest.mark.parametrize("is_committed", [False, True], ids=["lost", "kept"])
def test_a_commit_that_was_interrupted_is_asked_for_again(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """By who took this process for dead, while the server waited for a majority or before."""
    _, keys = start_job(store, 2)
    commit, interrupted = ClientSession.commit_transaction, list[str]()

    def interrupt_first(session: ClientSession) -> None:
        if not interrupted:
            interrupted.append("once")
            if is_committed:
                commit(session)
            raise OperationFailure("Interrupted", 11601)
        commit(session)

    monkeypatch.setattr(ClientSession, "commit_transaction", interrupt_first)
    assert claim(store, keys, "a") == keys
    interrupted.clear()
    outcomes = [done(key, model=middling_model(number)) for number, key in enumerate(keys)]
    assert store.finish_tasks("a", outcomes, NOW) == keys
    for number, key in enumerate(keys):
        assert store.get_model(key).to_bytes() == middling_model(number).to_bytes()


def test_a_deadline_that_passes_amid_a_change_leaves_nothing_locked(
    open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient, other = open_store(), open_store()
    _, keys = start_job(impatient, 2)
    next_revision = Transaction.next_revision

    def overstay(transaction: Transaction, job_id: str) -> int | None:
        revision = next_revision(transaction, job_id)
        until(lambda: seconds_left() == 0)
        return revision

    with monkeypatch.context() as patched:
        patched.setattr(Transaction, "next_revision", overstay)
        set_deadline(1.0)
        try:
            with pytest.raises(StoreUnavailable):
                claim(impatient, keys, "a")
        finally:
            set_deadline(None)
    # Not by taking the other for dead, as whoever waits for long does.
    monkeypatch.setattr(Writers, "end_silent", lambda *arguments: pytest.fail("it had to be ended"))
    assert claim(other, keys, "b") == keys
