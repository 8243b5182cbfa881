"""TLS through real handshakes: who is let in, and certificates that are replaced while the gateway runs."""

from __future__ import annotations

import shutil
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from kmeans_client import Client, Unreachable
from services.core.errors import InvalidInput
from services.core.settings import Settings
from services.gateway.server import Gateway
from tests.certificates import Authority, Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def served(authority: Authority, tmp_path: Path) -> Pair:
    pair = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    replace(pair, authority.issue("gateway"))
    return pair


def replace(pair: Pair, by: Pair) -> None:
    shutil.copy(by.certificate, pair.certificate)
    shutil.copy(by.key, pair.key)


@pytest.fixture
def serve(backends: Any) -> Iterator[Callable[..., Any]]:
    @contextmanager
    def serving(**settings: Any) -> Iterator[str]:
        gateway = Gateway(
            backends.store, backends.queue, backends.objects, Settings(rpc_threads=8, **settings)
        )
        try:
            yield f"127.0.0.1:{gateway.start('127.0.0.1:0')}"
        finally:
            gateway.stop(0)

    return serving  # type: ignore[return-value]


def can_enter(target: str, **credentials: Any) -> bool:
    with Client(target, timeout_seconds=20, **credentials) as client:
        try:
            return list(client.list_jobs()) == []
        except Unreachable:
            return False


def serial_number(target: str, ca: Path) -> str:
    host, _, port = target.partition(":")
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        shown = wrapped.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"])


def test_only_who_trusts_the_authority_enters(
    serve: Any, served: Pair, authority: Authority, stranger: Authority
) -> None:
    with serve(tls_certificate=served.certificate, tls_key=served.key) as target:
        assert can_enter(target, ca=authority.ca)
        assert can_enter(target.replace("127.0.0.1", "localhost"), ca=authority.ca)
        assert not can_enter(target, ca=stranger.ca)
        assert not can_enter(target, ca="system")
        assert not can_enter(target)


def test_mutual_tls_asks_for_a_certificate_of_its_authority(
    serve: Any, served: Pair, authority: Authority, stranger: Authority
) -> None:
    ours, theirs = authority.issue("client"), stranger.issue("client")
    with serve(tls_certificate=served.certificate, tls_key=served.key, tls_client_ca=authority.ca) as target:
        assert can_enter(target, ca=authority.ca, certificate=ours.certificate, key=ours.key)
        assert not can_enter(target, ca=authority.ca)
        assert not can_enter(target, ca=authority.ca, certificate=theirs.certificate, key=theirs.key)


def test_a_replaced_certificate_is_shown_and_calls_under_way_go_on(
    serve: Any, served: Pair, authority: Authority
) -> None:
    with serve(tls_certificate=served.certificate, tls_key=served.key) as target:
        with Client(target, ca=authority.ca, timeout_seconds=20) as client:
            assert list(client.list_jobs()) == []
            before = serial_number(target, authority.ca)
            replace(served, authority.issue("gateway"))
            after = serial_number(target, authority.ca)
            assert after != before
            assert list(client.list_jobs()) == []
        assert can_enter(target, ca=authority.ca)


def test_a_broken_new_pair_leaves_the_old_one(serve: Any, served: Pair, authority: Authority) -> None:
    with (
        structlog.testing.capture_logs() as log,
        serve(tls_certificate=served.certificate, tls_key=served.key) as target,
    ):
        before = serial_number(target, authority.ca)
        # The new certificate beside the old key: what a copy looks like half-way.
        renewed = authority.issue("gateway")
        shutil.copy(renewed.certificate, served.certificate)
        assert [serial_number(target, authority.ca) for _ in range(3)] == [before] * 3
        told = [line for line in log if line["log_level"] == "error"]
        assert len(told) == 1
        assert "KMEANS_TLS_KEY" in told[0]["error"]
        shutil.copy(renewed.key, served.key)
        assert serial_number(target, authority.ca) != before
        served.key.unlink()
        assert can_enter(target, ca=authority.ca)


def test_a_replaced_authority_of_clients_lets_in_whom_it_signed(
    serve: Any, served: Pair, authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    trusted = tmp_path / "clients.crt"
    shutil.copy(authority.ca, trusted)
    old, new = authority.issue("client"), stranger.issue("client")

    def enters(target: str, client: Pair) -> bool:
        return can_enter(target, ca=authority.ca, certificate=client.certificate, key=client.key)

    with serve(tls_certificate=served.certificate, tls_key=served.key, tls_client_ca=trusted) as target:
        assert (enters(target, old), enters(target, new)) == (True, False)
        with Client(
            target, ca=authority.ca, certificate=old.certificate, key=old.key, timeout_seconds=20
        ) as client:
            assert list(client.list_jobs()) == []
            shutil.copy(stranger.ca, trusted)
            assert (enters(target, old), enters(target, new)) == (False, True)
            # Whoever is in already stays.
            assert list(client.list_jobs()) == []
        # Both while clients change over, as one file.
        trusted.write_bytes(authority.ca.read_bytes() + stranger.ca.read_bytes())
        assert (enters(target, old), enters(target, new)) == (True, True)
        trusted.write_text("nonsense")
        assert (enters(target, old), enters(target, new)) == (True, True)


def test_nothing_older_than_tls_1_2(serve: Any, served: Pair, authority: Authority) -> None:
    def negotiated(version: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cafile=str(authority.ca))
        context.set_alpn_protocols(["h2"])
        # Ours would offer it: it is the gateway that does not take it.
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection((host, int(port)), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            return wrapped.version()

    with serve(tls_certificate=served.certificate, tls_key=served.key) as target:
        host, _, port = target.partition(":")
        assert negotiated(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        assert negotiated(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with pytest.raises(OSError, match=r"(?i)alert|version|eof|reset"):
            negotiated(ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize(
    ("broken", "reason", "named"),
    [
        ({"tls_key": None}, "BAD_SETTINGS", "KMEANS_TLS_KEY"),
        ({"tls_certificate": None}, "BAD_SETTINGS", "KMEANS_TLS_CERTIFICATE"),
        ({"tls_key": "other"}, "BAD_TLS_FILES", "KMEANS_TLS_KEY"),
        ({"tls_key": "missing"}, "BAD_TLS_FILES", "No such file"),
        ({"tls_client_ca": "nonsense"}, "BAD_TLS_FILES", "KMEANS_TLS_CLIENT_CA"),
    ],
    ids=["no key", "no certificate", "another key", "missing", "no authority"],
)
def test_files_that_are_wrong_from_the_start(
    serve: Any, served: Pair, authority: Authority, tmp_path: Path, broken: Any, reason: str, named: str
) -> None:
    (tmp_path / "nonsense").write_text("nonsense")
    (tmp_path / "other").write_bytes(authority.issue("other").key.read_bytes())
    settings = {"tls_certificate": served.certificate, "tls_key": served.key}
    settings |= {name: None if file is None else tmp_path / file for name, file in broken.items()}
    with pytest.raises(InvalidInput, match=named) as refused, serve(**settings):
        pass
    assert refused.value.reason == reason
