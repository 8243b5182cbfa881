"""What may be sent where, decided before anything is sent."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from kmeans_client import Client, Credentials, KMeansError
from kmeans_client.credentials import is_loopback

TOKEN = "s3cret-t0ken-of-the-test"


@pytest.mark.parametrize(
    "target", ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "LOCALHOST:1", "[::1]:1", "[::ffff:127.0.0.1]:1"]
)
def test_a_token_goes_in_plain_text_to_this_machine(target: str) -> None:
    assert is_loopback(target)
    Client(target, token=TOKEN).close()


@pytest.mark.parametrize(
    "target",
    [
        "10.0.0.1:1",
        "kmeans.example:1",
        "localhost.example:1",
        "[::]:1",
        "0.0.0.0:1",
        "[::ffff:10.0.0.1]:1",
        "dns://10.0.0.1/localhost:1",
        "dns:///127.0.0.1:1",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        "127.0.0.1:1,10.0.0.1:1",
        "unix:/tmp/socket",
        "localhost",
        "",
    ],
)
def test_a_token_goes_nowhere_else_in_plain_text(target: str) -> None:
    with pytest.raises(KMeansError) as refused:
        Client(target, token=TOKEN)
    assert refused.value.reason == "TOKEN_NEEDS_TLS"
    assert TOKEN not in repr(refused.value)
    Client(target or "localhost:1").close()


@pytest.mark.parametrize("token", ["two words", "line\nfeed", 'quoted"', "ümlaut", "a,b", "=", "\0"])
def test_what_no_token_can_be(token: str) -> None:
    with pytest.raises(KMeansError) as refused:
        Client("127.0.0.1:1", token=token)
    assert refused.value.reason == "BAD_TOKEN"
    assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert token not in str(refused.value)


def test_files_that_do_not_do(tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense")
    for files in (
        {"ca": tmp_path / "missing.pem"},
        {"ca": nonsense},
        {"ca": nonsense, "certificate": nonsense},
        {"certificate": nonsense, "key": nonsense},
    ):
        with pytest.raises(KMeansError) as refused:
            Client("kmeans.example:1", **files)  # type: ignore[arg-type]
        assert refused.value.reason == "BAD_TLS_FILES"


def test_from_the_environment() -> None:
    found = Credentials.from_environment(
        {"KMEANS_TOKEN": f"{TOKEN}\n", "KMEANS_TLS_CA": "/ca.pem", "KMEANS_TLS_CLIENT_KEY": ""}
    )
    assert found == Credentials(TOKEN, Path("/ca.pem"))
    assert TOKEN not in repr(found)
    assert Credentials.from_environment({}) == Credentials()
