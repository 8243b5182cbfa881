"""A database of each test's own on the shared server, and a server that tests may kill."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from services.backends.mongodb import MongoStore
from tests.chaos.proxy import Proxy
from tests.servers.mongodb import MongoDB, drop_database
from tests.servers.ports import choose_ports
from tests.servers.server import ServerMissing


@pytest.fixture
def database_url(mongodb_url: str) -> str:
    """The URL of an empty database."""
    return urlsplit(mongodb_url)._replace(path=f"/t-{secrets.token_hex(8)}").geturl()


@pytest.fixture
def database(database_url: str) -> Iterator[Database[dict[str, Any]]]:
    """The same database behind the store's back; dropped at the end."""
    with MongoClient[dict[str, Any]](database_url) as client:
        database = client.get_default_database()
        yield database
        drop_database(client, database.name)


@pytest.fixture
def open_store(database_url: str, database: Database[dict[str, Any]]) -> Iterator[Callable[[], MongoStore]]:
    """Opens the test's store; each call as another process would."""
    with ExitStack() as opened:

        def open_another() -> MongoStore:
            store = MongoStore(database_url)
            opened.callback(store.close)
            return store

        yield open_another


@pytest.fixture
def store(open_store: Callable[[], MongoStore]) -> MongoStore:
    return open_store()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoDB]:
    """A server of this module alone, for tests that kill it."""
    server = MongoDB(tmp_path_factory.mktemp("mongodb"))
    try:
        server.start()
    except ServerMissing as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture
def proxy(own_server: MongoDB) -> Iterator[Proxy]:
    """A way to that server which tests may cut or stall; in order again at the end."""
    own_server.start()
    proxy = Proxy("mongodb", choose_ports(["proxy"])["proxy"], lambda: own_server.port("mongodb"))
    proxy.start()
    yield proxy
    proxy.mend()
    proxy.stop()
