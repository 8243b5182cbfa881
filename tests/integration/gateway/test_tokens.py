"""Tokens through a real channel: rotation, withdrawal, and headers that somebody made up."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kmeans.v1 import job_service_pb2, job_service_pb2_grpc

from kmeans_client import Client, KMeansError
from kmeans_client.errors import decode
from services.core.errors import InvalidInput, Unauthenticated
from services.core.settings import Settings
from services.core.tokens import Tokens, make_token, token_line
from services.gateway.authentication import Authentication
from services.gateway.server import Gateway

PLAIN = [("grpc.enable_http_proxy", 0)]
ANN, BEN = make_token(), make_token()


@pytest.fixture
def serve(backends: Any) -> Callable[..., Any]:
    @contextmanager
    def serving(**settings: Any) -> Iterator[str]:
        gateway = Gateway(
            backends.store, backends.queue, backends.objects, Settings(rpc_threads=8, **settings)
        )
        try:
            yield f"127.0.0.1:{gateway.start('127.0.0.1:0')}"
        finally:
            gateway.stop(0)

    return serving


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# who may\n\n{token_line('ann', ANN)}  # her laptop\n")
    return path


def entering(target: str, token: str) -> str:
    """The reason of the refusal, or "" when there is none."""
    with Client(target, token=token, timeout_seconds=20) as client:
        try:
            list(client.list_jobs())
        except KMeansError as error:
            refused = error
        else:
            return ""
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert not token or token not in repr(refused)
    return refused.reason


def test_a_rotation_has_two_good_tokens_for_a_while(serve: Any, file: Path) -> None:
    second = make_token()
    with serve(tokens_file=file) as target:
        assert entering(target, ANN) == ""
        assert entering(target, second) == "TOKEN_INVALID"
        with file.open("a") as opened:
            opened.write(token_line("ann", second))
        assert (entering(target, ANN), entering(target, second)) == ("", "")
        file.write_text(token_line("ann", second))
        assert (entering(target, ANN), entering(target, second)) == ("TOKEN_INVALID", "")


def test_a_file_swapped_by_link_is_read_anew(serve: Any, file: Path, tmp_path: Path) -> None:
    """As Kubernetes does with a mounted secret."""
    mounted = tmp_path / "mounted"
    mounted.symlink_to(file)
    with serve(tokens_file=mounted) as target:
        assert entering(target, BEN) == "TOKEN_INVALID"
        (tmp_path / "new").write_text(token_line("ben", BEN))
        (tmp_path / "link").symlink_to(tmp_path / "new")
        (tmp_path / "link").replace(mounted)
        assert (entering(target, ANN), entering(target, BEN)) == ("TOKEN_INVALID", "")


@pytest.mark.parametrize("content", [b"nonsense\n", b"ann abc\n", b"\xff\xfe", None], ids=str)
def test_a_broken_file_leaves_the_tokens_before(serve: Any, file: Path, content: bytes | None) -> None:
    with structlog.testing.capture_logs() as log, serve(tokens_file=file) as target:
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        assert [entering(target, ANN) for _ in range(3)] == [""] * 3
        assert entering(target, "") == "TOKEN_MISSING"
        told = [line["error"] for line in log if line["log_level"] == "error"]
        assert len(told) == 1
        assert "KMEANS_TOKENS_FILE" in told[0]
        file.write_text(token_line("ben", BEN))
        assert (entering(target, ANN), entering(target, BEN)) == ("TOKEN_INVALID", "")


def test_an_empty_file_lets_nobody_in(serve: Any, file: Path) -> None:
    file.write_text("# nobody\n")
    with serve(tokens_file=file) as target:
        assert (entering(target, ANN), entering(target, "")) == ("TOKEN_INVALID", "TOKEN_MISSING")


def test_two_writes_within_one_tick_of_the_clock(serve: Any, file: Path) -> None:
    """Same size, same time, same file: only its bytes tell the difference."""
    with serve(tokens_file=file) as target:
        for owner in ("ann", "ben") * 3:
            times = file.stat()
            file.write_text(token_line(owner, ANN if owner == "ann" else BEN))
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
            assert entering(target, ANN) == ("" if owner == "ann" else "TOKEN_INVALID")


def test_tokens_of_the_environment(serve: Any) -> None:
    with serve(tokens=f" ann:{ANN},ben:{BEN}\n") as target:
        assert [entering(target, token) for token in (ANN, BEN)] == ["", ""]
        assert entering(target, make_token()) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"tokens": "ann"}, "BAD_TOKENS"),
        ({"tokens": "ann:short"}, "BAD_TOKENS"),
        ({"tokens": f"an/n:{ANN}"}, "BAD_TOKENS"),
        ({"tokens": f"ann:{ANN},ben:{ANN}"}, "BAD_TOKENS"),
        ({"tokens": ","}, "BAD_TOKENS"),
        ({"tokens_file": Path("/missing/tokens")}, "BAD_TOKENS"),
        ({"tokens_file": Path("/")}, "BAD_TOKENS"),
        ({"tokens": f"ann:{ANN}", "tokens_file": Path("/x")}, "BAD_SETTINGS"),
    ],
)
def test_tokens_that_are_wrong_from_the_start(serve: Any, settings: Any, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused, serve(**settings):
        pass
    assert refused.value.reason == reason
    assert ANN not in str(refused.value)
    assert ANN not in repr(Settings(**settings))


@pytest.mark.parametrize(
    "headers",
    [
        [f"Bearer {ANN}", f"Bearer {ANN}"],
        [f"Bearer {ANN}", f"Bearer {BEN}"],
        [f"Bearer {BEN}, Bearer {ANN}"],
        [f"Bearer{ANN}"],
        [f"Basic {ANN}"],
        [ANN],
        ["Bearer"],
        ["Bearer "],
        [""],
        [f"Bearer {ANN}x"],
        [f"Bearer {ANN[:-1]}"],
        [f"Bearer {ANN} x"],
        [f"Bearer {ANN.upper()}"],
        [f"Bearer {'x' * 6000}"],
    ],
    ids=[
        "twice",
        "of two",
        "joined",
        "no space",
        "Basic",
        "bare",
        "no token",
        "only a space",
        "empty",
        "longer",
        "shorter",
        "more",
        "upper case",
        "long",
    ],
)
def test_headers_that_are_not_one_token(serve: Any, file: Path, headers: list[str]) -> None:
    refused = called_with(serve, file, [("authorization", value) for value in headers])
    assert refused is not None
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert refused.reason in {"TOKEN_INVALID", "TOKEN_MISSING"}
    assert ANN not in refused.message


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_the_scheme_is_read_in_any_case(serve: Any, file: Path, scheme: str) -> None:
    assert called_with(serve, file, [("authorization", f"{scheme}{ANN}")]) is None


@pytest.mark.parametrize("key", ["x-authorization", "proxy-authorization", "cookie"])
def test_other_headers_are_no_token(serve: Any, file: Path, key: str) -> None:
    refused = called_with(serve, file, [(key, f"Bearer {ANN}"), ("authorization-bin", ANN.encode())])
    assert refused is not None
    assert refused.reason == "TOKEN_MISSING"


def test_a_huge_header_is_refused_by_the_transport(serve: Any, file: Path) -> None:
    refused = called_with(serve, file, [("authorization", f"Bearer {'x' * 100_000}")])
    assert refused is not None
    assert refused.code in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}


def called_with(serve: Any, file: Path, metadata: list[tuple[str, Any]]) -> KMeansError | None:
    with serve(tokens_file=file) as target, grpc.insecure_channel(target, options=PLAIN) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        try:
            stub.ListJobs(job_service_pb2.ListJobsRequest(), metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            return decode(error, target)
    return None


def test_health_asks_for_no_token(serve: Any, file: Path) -> None:
    with serve(tokens_file=file) as target, grpc.insecure_channel(target, options=PLAIN) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert (
            health.Check(health_pb2.HealthCheckRequest(), timeout=20).status
            == health_pb2.HealthCheckResponse.SERVING
        )


class Call:
    """As much of a call as authentication looks at."""

    def __init__(self, peer: str, *, tls: bool, token: str = ANN) -> None:
        self._peer, self._tls, self._token = peer, tls, token

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self._token}")] if self._token else []

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"transport_security_type": [b"ssl"]} if self._tls else {}

    def peer(self) -> str:
        return self._peer


# The tests may only talk to loopback, so how a call came from elsewhere is told, not done.
@pytest.mark.parametrize(
    "peer",
    [
        "ipv4:10.0.0.7:1234",
        "ipv6:%5B2001:db8::1%5D:1234",
        "ipv6:[::ffff:10.0.0.7]:1234",
        "ipv4:127.0.0.1",
        "unix:",
        "",
    ],
)
@pytest.mark.parametrize("tokens", [None, Tokens.parse_pairs(f"ann:{ANN}", "here")], ids=["open", "tokens"])
def test_a_token_in_plain_text_from_elsewhere_is_refused(peer: str, tokens: Tokens | None) -> None:
    asked = Authentication(tokens)
    with pytest.raises(Unauthenticated) as refused:
        asked.owner_of(Call(peer, tls=False))  # type: ignore[arg-type]
    assert refused.value.reason == "TOKEN_IN_PLAIN_TEXT"
    assert asked.owner_of(Call(peer, tls=True)) == ("ann" if tokens else "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "peer", ["ipv4:127.0.0.1:1", "ipv4:127.1.2.3:1", "ipv6:%5B::1%5D:1", "ipv6:[::ffff:127.0.0.1]:1"]
)
def test_loopback_is_private(peer: str) -> None:
    asked = Authentication(Tokens.parse_pairs(f"ann:{ANN}", "here"))
    assert asked.owner_of(Call(peer, tls=False)) == "ann"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["KMEANS_TOKENS_FILE"]),
        ({"allow_anyone": True}, []),
        ({"tokens": f"ann:{ANN}"}, ["KMEANS_TLS_CERTIFICATE"]),
    ],
    ids=["open", "meant", "no TLS"],
)
def test_a_gateway_for_strangers_warns(backends: Any, settings: Any, words: list[str]) -> None:
    for address in ("127.0.0.1:0", "[::1]:0", "0.0.0.0:0"):
        with structlog.testing.capture_logs() as log:
            gateway = Gateway(
                backends.store, backends.queue, backends.objects, Settings(rpc_threads=8, **settings)
            )
            gateway.start(address)
            gateway.stop(0)
        warnings = [str(line["event"]) for line in log if line["log_level"] == "warning"]
        host = address.rpartition(":")[0].strip("[]")
        expected = [] if ipaddress.ip_address(host).is_loopback else words
        assert len(warnings) == len(expected)
        assert all(word in warning for word, warning in zip(expected, warnings, strict=True))
        assert ANN not in str(log)
