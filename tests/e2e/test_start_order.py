"""Processes that start before their servers, go on without them, and end when asked: alive all the while."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from pymongo import MongoClient

from kmeans_client import Client, KMeansError
from tests.chaos.proxy import Proxy
from tests.e2e.conftest import PATIENCE_SECONDS, await_that
from tests.e2e.test_processes import NOT_SERVING, SERVING, Shared, health
from tests.servers.mongodb import drop_database
from tests.servers.ports import HOST, choose_ports

NAMES = ("gateway", "scheduler", "worker")


class Proxied(Shared):
    """The database and the broker are reached through proxies, which can be cut."""

    store_url = ""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"KMEANS_STORE_URL": self.store_url, "KMEANS_STARTUP_SECONDS": "600"}


@pytest.fixture
def proxies(mongodb_url: str, rabbitmq_url: str) -> Iterator[dict[str, Proxy]]:
    made: dict[str, Proxy] = {}
    for name, url in (("store", mongodb_url), ("queue", rabbitmq_url)):
        port = urlsplit(url).port
        assert port is not None
        made[name] = Proxy(name, choose_ports([name])[name], lambda port=port: port)
        made[name].start()
    yield made
    for proxy in made.values():
        proxy.stop()


@pytest.fixture
def processes(
    tmp_path: Path, mongodb_url: str, rabbitmq_url: str, proxies: dict[str, Proxy]
) -> Iterator[Proxied]:
    name = f"order-{secrets.token_hex(6)}"
    database = urlsplit(mongodb_url)
    runner = Proxied(tmp_path)
    runner.store_url = (
        f"mongodb://{HOST}:{proxies['store'].port}/{name}?{database.query}&directConnection=true"
    )
    queue = urlsplit(rabbitmq_url)
    address = f"{queue.username or 'guest'}:{queue.password or 'guest'}@{HOST}:{proxies['queue'].port}"
    runner.queue_url = f"amqp://{address}{queue.path or '/'}?prefix={name}&heartbeat=4"
    yield runner
    for process in runner.started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        drop_database(client, name)


def refusal(client: Client) -> KMeansError:
    with pytest.raises(KMeansError) as refused:
        client.delete_job(f"jobs/{secrets.token_hex(16)}")
    return refused.value


def assert_unavailable(refused: KMeansError) -> None:
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert refused.retry_after_seconds == 1
    assert "MongoDB" in refused.message


def test_the_order_of_starts_does_not_matter_and_an_outage_kills_nobody(
    processes: Proxied, proxies: dict[str, Proxy], penguins: Path
) -> None:
    for proxy in proxies.values():
        proxy.cut()
    ports = choose_ports([*NAMES, "calls"])
    told = {name: f"{HOST}:{ports[name]}" for name in NAMES}
    address = f"{HOST}:{ports['calls']}"
    for name in NAMES:
        own = ["--address", address] if name == "gateway" else []
        processes.serve(name, *own, health_address=told[name], until="")
    for name in NAMES:
        log = next(processes.folder.glob(f"{name}-*.log"))
        await_that(lambda log=log: "waiting for a server" in log.read_text(), f"{name} to wait")
        assert (health(told[name], "liveness"), health(told[name], "readiness")) == (SERVING, NOT_SERVING)
    with Client(address, timeout_seconds=PATIENCE_SECONDS) as client:
        await_that(lambda: "MongoDB" in str(refusal(client)), "the gateway to say what it waits for")
        assert_unavailable(refusal(client))
        proxies["queue"].mend()
        proxies["store"].mend()
        client.wait_until_ready(PATIENCE_SECONDS)
        assert list(client.list_jobs()) == []
    for name in NAMES:
        await_that(lambda name=name: health(told[name], "readiness") == SERVING, f"{name} to be ready")
    assert processes.json("fit", penguins, "--target", address, "--max-k", "2", "--experiments", "1")["best"]

    proxies["store"].cut()
    for name in NAMES:
        await_that(lambda name=name: health(told[name], "readiness") == NOT_SERVING, f"{name} to notice")
        assert health(told[name], "liveness") == SERVING
    with Client(address, timeout_seconds=PATIENCE_SECONDS) as client:
        assert_unavailable(refusal(client))

    proxies["store"].mend()
    for name in NAMES:
        await_that(lambda name=name: health(told[name], "readiness") == SERVING, f"{name} to be ready again")
    assert [process.poll() for process in processes.started] == [None] * 3, "somebody was started anew"
    for process in processes.started:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(PATIENCE_SECONDS) for process in processes.started] == [0, 0, 0]
