from __future__ import annotations

import socket

import pytest

from ui.server import DEFAULT_PORT, DashboardFailed, choose_port, flags


def test_a_wanted_port_that_is_taken_is_refused_with_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DashboardFailed, match=f"127.0.0.1:{port}: the port is taken.*--ui-port"):
            choose_port("127.0.0.1", port)
    assert choose_port("127.0.0.1", port) == port


def test_without_a_wish_the_next_free_port_is_taken() -> None:
    first = choose_port("127.0.0.1", None)
    assert first >= DEFAULT_PORT
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first))
        taken.listen()
        assert choose_port("127.0.0.1", None) > first


def test_streamlit_listens_where_it_is_told_and_calls_nobody() -> None:
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags("127.0.0.1", 8599))
    assert given["server.address"] == "127.0.0.1"
    assert given["server.port"] == "8599"
    assert given["browser.gatherUsageStats"] == "false"
    assert given["server.headless"] == "true"
    assert given["server.maxUploadSize"] == "1024"
    assert {name.split(".")[1] for name in given if name.startswith("theme.")} >= {"light", "dark"}
