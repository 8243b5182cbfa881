"""Every implementation of a port, opened and closed around each test, its server started first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.core.ports import ObjectStore, Store, TaskQueue
from tests.contract.implementations import OBJECT_STORES, QUEUES, STORES, Implementation

URL_FIXTURES = {
    "KMEANS_TEST_MONGODB_URL": "mongodb_url",
    "KMEANS_TEST_RABBITMQ_URL": "rabbitmq_url",
    "KMEANS_TEST_S3_URL": "s3_url",
}


def provide_server(request: pytest.FixtureRequest, variable: str) -> None:
    """Start the server and put its URL in this variable; skip, or in CI fail, without it."""
    if variable:
        request.getfixturevalue(URL_FIXTURES[variable])


@pytest.fixture(params=STORES, ids=lambda implementation: implementation.name)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the test's store; each call as another process would."""
    implementation: Implementation[Store] = request.param
    provide_server(request, implementation.server)
    with ExitStack() as opened:
        opened.callback(implementation.forget, tmp_path)

        def open_another() -> Store:
            store = implementation.open(tmp_path)
            opened.callback(store.close)
            return store

        yield open_another


@pytest.fixture
def damage(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Callable[[str, str], None]:
    """Makes the record of this kind ("jobs", "datasets") and id unreadable."""
    implementation: Implementation[Store] = request.node.callspec.params["open_store"]
    return lambda kind, id_: implementation.damage(tmp_path, kind, id_)


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


@pytest.fixture(params=QUEUES, ids=lambda implementation: implementation.name)
def open_queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], TaskQueue]]:
    """Opens the test's queue; each call as another process would. Redelivers three times."""
    implementation: Implementation[TaskQueue] = request.param
    provide_server(request, implementation.server)
    with ExitStack() as opened:

        def open_another() -> TaskQueue:
            queue = implementation.open(tmp_path)
            opened.callback(queue.close)
            return queue

        yield open_another


@pytest.fixture
def queue(open_queue: Callable[[], TaskQueue]) -> TaskQueue:
    return open_queue()


@pytest.fixture(params=OBJECT_STORES, ids=lambda implementation: implementation.name)
def open_objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], ObjectStore]]:
    """Opens the test's object store; each call as another process would."""
    implementation: Implementation[ObjectStore] = request.param
    provide_server(request, implementation.server)
    with ExitStack() as opened:
        opened.callback(implementation.forget, tmp_path)

        def open_another() -> ObjectStore:
            objects = implementation.open(tmp_path)
            opened.callback(objects.close)
            return objects

        yield open_another


@pytest.fixture
def objects(open_objects: Callable[[], ObjectStore]) -> ObjectStore:
    return open_objects()
