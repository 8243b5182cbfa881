"""Servers of these tests alone, which they may stop and kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.fixtures import provided
from tests.servers.fleet import Servers
from tests.servers.server import Server


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Three servers under a folder of this module; none is started yet."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.stop()


@pytest.fixture(params=["rabbitmq", "mongodb", "s3"])
def server(request: pytest.FixtureRequest, private: Servers) -> Server:
    """One of them, running."""
    return provided(private[request.param])
