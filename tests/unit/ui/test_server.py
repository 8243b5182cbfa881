from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from ui.report.theme import FONT
from ui.server import DEFAULT_PORT, Dashboard, DashboardFailed, flags, hold_port


def port_of(held: socket.socket) -> int:
    return int(held.getsockname()[1])


@contextmanager
def listening(port: int) -> Iterator[int]:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_wanted_port_that_is_taken_is_refused_with_a_sentence() -> None:
    with (
        listening(0) as port,
        pytest.raises(DashboardFailed, match=f"127.0.0.1:{port}: the port is taken.*--ui-port"),
    ):
        hold_port("127.0.0.1", port)
    with hold_port("127.0.0.1", port) as held:
        assert port_of(held) == port


def test_without_a_wish_the_next_free_port_is_taken() -> None:
    with hold_port("127.0.0.1", None) as held:
        first = port_of(held)
    assert first >= DEFAULT_PORT
    with listening(first), hold_port("127.0.0.1", None) as held:
        assert port_of(held) > first


def test_of_two_that_are_started_before_either_listens_each_has_its_own() -> None:
    with hold_port("127.0.0.1", None) as first, hold_port("127.0.0.1", None) as second:
        assert port_of(second) > port_of(first)
        with pytest.raises(DashboardFailed, match="the port is taken"):
            hold_port("127.0.0.1", port_of(first))


def test_who_listens_for_all_addresses_holds_the_port_of_each() -> None:
    with hold_port("0.0.0.0", None) as first, hold_port("127.0.0.1", None) as second:
        assert port_of(second) > port_of(first)


def test_streamlit_listens_where_it_is_told_and_calls_nobody() -> None:
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags("127.0.0.1", 8599))
    assert given["server.address"] == "127.0.0.1"
    assert given["server.port"] == "8599"
    assert given["browser.gatherUsageStats"] == "false"
    assert given["server.headless"] == "true"
    assert given["server.maxUploadSize"] == "1024"
    assert {name.split(".")[1] for name in given if name.startswith("theme.")} >= {"light", "dark"}


def test_two_dashboards_started_in_the_same_second_both_serve() -> None:
    # Whom they show is asked by a browser only.
    with ExitStack() as opened, ThreadPoolExecutor(2) as pool:
        dashboards = [opened.enter_context(Dashboard("127.0.0.1:1")) for _ in range(2)]
        assert len(set(pool.map(Dashboard.start, dashboards))) == 2


def test_plots_and_pages_are_written_in_one_family() -> None:
    assert f"--theme.font={FONT}" in flags("127.0.0.1", 8501)


def test_white_on_the_buttons_of_the_dark_theme_can_be_read() -> None:
    (colour,) = (each.rpartition("=")[2] for each in flags("::1", 1) if "dark.primaryColor" in each)
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    # WCAG 2.1, AA.
    assert 1.05 / (luminance + 0.05) >= 4.5
