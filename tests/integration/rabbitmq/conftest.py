"""Jobs on a real broker that a test may stop, wipe and reconfigure; store and objects are embedded."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.backends.rabbitmq import RabbitQueue
from services.core.clock import utc_now
from services.core.jobs import Job
from services.core.settings import Settings
from tests.integration.jobs.conftest import PATIENCE_SECONDS, CountedFit, Service, until
from tests.servers.fixtures import provided
from tests.servers.rabbitmq import RabbitMQ

__all__ = ["CountedFit", "RabbitService"]


class RabbitService(Service):
    """Everything that works on one broker under one prefix, by the clock on the wall."""

    def __init__(self, folder: Path, url: str, **settings: Any) -> None:
        super().__init__(folder)
        self.queue.close()
        self.url = f"{url}?prefix=t-{secrets.token_hex(8)}"
        self.queue: Any = RabbitQueue(self.url)
        self.clock: Any = utc_now
        chosen: dict[str, Any] = {"worker_slots": 1, "bundle_seconds": 0.002, "sweep_seconds": 0.1}
        self.settings = Settings(**(chosen | settings))

    @contextmanager
    def scheduling(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self.scheduler(clock=utc_now).run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def worker(self, slots: int = 1, **options: Any) -> Any:
        return super().worker(slots, **({"pause": None} | options))

    def wait_until_ended(self, job_id: str = "j1") -> Job:
        until(lambda: self.store.get_job(job_id).state.is_terminal)
        return self.store.get_job(job_id)


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A broker of these tests alone, which runs when a test begins."""
    server = RabbitMQ(tmp_path_factory.mktemp("servers"))
    provided(server)
    yield server
    server.stop()


@pytest.fixture
def make_service(broker: RabbitMQ, tmp_path: Path) -> Iterator[Callable[..., RabbitService]]:
    broker.start()
    made: list[RabbitService] = []

    def make(**settings: Any) -> RabbitService:
        service = RabbitService(tmp_path / str(len(made)), broker.url, **settings)
        made.append(service)
        service.upload()
        return service

    yield make
    for service in made:
        service.close()
    # Wiped by the last test or not: the next one finds a broker that runs.
    broker.start()
