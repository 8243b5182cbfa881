from __future__ import annotations

import pytest

from services.core.errors import InvalidInput
from services.gateway.addresses import check_address


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:50051", "0.0.0.0:0", "localhost:65535", "[::]:50051", "[fe80::1%eth0]:1", "a-b.c:1"],
)
def test_host_and_port(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        ":50051",
        "127.0.0.1:65536",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:http",
        "127.0.0.1:50051 ",
        "::1:50051",
        "unix:50051",
        "unix:/tmp/kmeans.sock",
        "dns:///localhost:50051",
        "ipv6:1",
    ],
)
def test_anything_else_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"Say HOST:PORT .* such as 127\.0\.0\.1:50051") as refused:
        check_address(address)
    assert refused.value.reason == "BAD_ADDRESS"
    assert f"'{address}'" in str(refused.value)
