"""Uploads that take a while to parse, through a real channel."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest

from kmeans_client import Client
from services.core.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return Settings(rpc_threads=8)


def rows(count: int) -> bytes:
    """The numbers from 0, and others that no compression shortens much."""
    noise = np.random.default_rng(5).integers(10**8, 10**9, count)
    return b"a,b\n" + b"".join(b"%d,%d\n" % pair for pair in enumerate(noise.tolist()))


def test_a_large_gzip_is_kept_whole(client: Client) -> None:
    content = gzip.compress(rows(4_000_000), 1)
    assert len(content) > 20_000_000
    dataset = client.upload_dataset(io.BytesIO(content), display_name="large.csv.gz")
    assert (dataset.row_count, dataset.size_bytes) == (4_000_000, len(content))
    statistics = dataset.columns[0].statistics
    assert (statistics.minimum, statistics.maximum) == (0, 3_999_999)
    assert statistics.mean == pytest.approx(1_999_999.5, rel=1e-12)
