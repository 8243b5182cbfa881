"""The proxy: passes bytes on, and every way in which it may be told not to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy
from tests.servers.ports import HOST, choose_ports

PATIENCE_SECONDS = 20.0


class Echo:
    """Sends back what it gets, on every connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._accepting, *self._threads):
            thread.join(PATIENCE_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._echo, args=(connection,)))
            self._threads[-1].start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while chunk := connection.recv(1 << 16):
                    connection.sendall(chunk)
            except ConnectionError:
                return


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    echo = Echo()
    made = Proxy("echo", choose_ports(["echo"])["echo"], lambda: echo.port)
    made.start()
    yield made
    made.stop()
    echo.close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), PATIENCE_SECONDS)


def ask(connection: socket.socket, question: bytes) -> bytes:
    connection.sendall(question)
    answer = b""
    while len(answer) < len(question) and (chunk := connection.recv(1 << 16)):
        answer += chunk
    return answer


def test_bytes_pass_unchanged(proxy: Proxy) -> None:
    question = bytes(range(256)) * 4096
    with connect(proxy) as connection:
        sending = threading.Thread(target=connection.sendall, args=(question,))
        sending.start()
        answer = b""
        while len(answer) < len(question):
            answer += connection.recv(1 << 16)
        sending.join(PATIENCE_SECONDS)
    assert answer == question


def test_cut_resets_old_connections_and_refuses_new_ones_until_mended(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            ask(connection, b"during")
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.mend()
    with connect(proxy) as connection:
        assert ask(connection, b"after") == b"after"


def test_reset_breaks_connections_and_takes_new_ones(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            ask(connection, b"during")
    with connect(proxy) as connection:
        assert ask(connection, b"after") == b"after"


def test_stalled_bytes_arrive_once_it_is_mended(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxy.stall()
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            ask(connection, b"during")
        connection.settimeout(PATIENCE_SECONDS)
        proxy.mend()
        assert connection.recv(6) == b"during"


def test_delayed_bytes_arrive(proxy: Proxy) -> None:
    proxy.delay(0.01)
    with connect(proxy) as connection:
        assert ask(connection, b"late") == b"late"


def test_answers_for_the_server_and_hangs_up(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxy.answer(b"no!")
        assert ask(connection, b"during") == b"no!"
        assert connection.recv(1) == b""
    proxy.mend()
    with connect(proxy) as connection:
        assert ask(connection, b"after") == b"after"


def test_server_that_is_down_looks_as_without_a_proxy() -> None:
    ports = choose_ports(["proxy", "nobody"])
    proxy = Proxy("nobody", ports["proxy"], lambda: ports["nobody"])
    proxy.start()
    try:
        with connect(proxy) as connection:
            assert connection.recv(1) == b""
    finally:
        proxy.stop()
