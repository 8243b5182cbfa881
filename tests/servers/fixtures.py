"""Fixtures with the URLs of real servers, started when a test first asks and shared by all sessions.

A server that cannot be had skips the test at home and fails it in CI, where that is a mistake.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.servers.fleet import Servers, shared_servers
from tests.servers.promtool import provide_promtool
from tests.servers.server import Server, ServerFailed, ServerMissing

__all__ = ["do_without", "mongodb_url", "promtool", "provided", "rabbitmq_url", "s3_url", "servers"]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers of the checkout; not to be stopped or killed by a test, which makes its own for that."""
    shared = shared_servers()
    with shared.session():
        yield shared


@pytest.fixture(scope="session")
def rabbitmq_url(servers: Servers) -> Iterator[str]:
    """`amqp://…`, also in KMEANS_TEST_RABBITMQ_URL. Tests share it: use names of your own."""
    yield from _url(servers.rabbitmq)


@pytest.fixture(scope="session")
def mongodb_url(servers: Servers) -> Iterator[str]:
    """`mongodb://…/kmeans?…`, also in KMEANS_TEST_MONGODB_URL. Tests share it: use a database of your own."""
    yield from _url(servers.mongodb)


@pytest.fixture(scope="session")
def s3_url(servers: Servers) -> Iterator[str]:
    """`s3://bucket`, also in KMEANS_TEST_S3_URL; endpoint and credentials are in the environment.

    Tests share it: use a prefix of your own.
    """
    yield from _url(servers.s3)


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of Prometheus's own judge of rules."""
    try:
        return provide_promtool()
    except ServerMissing as error:
        do_without("promtool", error)


def provided(server: Server) -> Server:
    """Start it and return it; skip, or in CI fail, when it cannot be had."""
    try:
        server.start()
    except (ServerMissing, ServerFailed) as error:
        # A server that is there and does not start is a mistake at home, too.
        do_without(server.name, error, is_mistake=isinstance(error, ServerFailed) and server.is_ours)
    return server


def do_without(name: str, error: Exception, *, is_mistake: bool = False) -> NoReturn:
    """Skip a test for what cannot be had; fail it in CI, or where somebody made a mistake."""
    if is_mistake or os.environ.get("CI"):
        pytest.fail(f"{name} is needed. {error}", pytrace=False)
    pytest.skip(f"{name} is needed. {str(error).splitlines()[0]}")


def _url(server: Server) -> Iterator[str]:
    provided(server)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(f"KMEANS_TEST_{server.name.upper()}_URL", server.url)
        for name, value in server.environment.items():
            environment.setenv(name, value)
        yield server.url
