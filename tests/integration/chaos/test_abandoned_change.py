"""A process killed in the middle of a change of a job does not keep the others from changing it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid

from services.backends.mongodb import MongoStore
from tests.contract.samples import claim, start_job

# Begins a change, tells so, and waits to be killed.
_VICTIM = """
import sys, time
from services.backends.mongodb.database import Database

def change(transaction):
    assert transaction.next_revision(sys.argv[2]) is not None
    print("changing", flush=True)
    time.sleep(600)

Database(sys.argv[1]).change(sys.argv[2], change)
"""


def test_change_of_a_killed_process_is_ended_by_the_next(mongodb_url: str) -> None:
    url = mongodb_url.replace("/kmeans?", f"/t{uuid.uuid4().hex[:16]}?")
    store = MongoStore(url)
    try:
        job, keys = start_job(store)
        with subprocess.Popen(
            [sys.executable, "-c", _VICTIM, url, job.id], stdout=subprocess.PIPE, text=True
        ) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == "changing\n"
            os.kill(victim.pid, signal.SIGKILL)
        assert claim(store, keys, "after") == keys
    finally:
        store.close()
