from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.core.errors import ObjectsUnavailable
from services.tables import Matrix
from services.worker.matrices import MatrixCache, MatrixKey

KEY_BYTES = 10 * 8 + 10 * 8 + 16


def key(name: str) -> MatrixKey:
    return MatrixKey(name, ("a",), True)


def matrix() -> Matrix:
    return Matrix(np.zeros((10, 1)), np.arange(10), 10, np.zeros(1), np.ones(1))


class Loader:
    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, wanted: MatrixKey) -> Matrix:
        self.loaded.append(wanted.dataset_id)
        return matrix()


def test_loaded_once_and_read_only() -> None:
    loader = Loader()
    cache = MatrixCache(loader)
    found = cache.get(key("a"))
    assert cache.get(key("a")) is found
    assert loader.loaded == ["a"]
    with pytest.raises(ValueError, match="read-only"):
        found.values[0, 0] = 1.0


def test_columns_and_scale_make_another_matrix() -> None:
    loader = Loader()
    cache = MatrixCache(loader)
    for wanted in (
        MatrixKey("a", ("x",), True),
        MatrixKey("a", ("x",), False),
        MatrixKey("a", ("x", "y"), True),
        MatrixKey("a", ("y", "x"), True),
    ):
        cache.get(wanted)
    assert len(loader.loaded) == 4


def test_least_recently_used_goes_first() -> None:
    loader = Loader()
    cache = MatrixCache(loader, max_bytes=2 * KEY_BYTES)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(key(name))
    assert loader.loaded == ["a", "b", "c", "b"]


def test_matrix_larger_than_the_cache_is_kept_while_it_is_the_newest() -> None:
    loader = Loader()
    cache = MatrixCache(loader, max_bytes=1)
    for name in ("a", "a", "b", "b", "a"):
        cache.get(key(name))
    assert loader.loaded == ["a", "b", "a"]


def test_two_slots_at_once_load_once() -> None:
    loading, finish = threading.Event(), threading.Event()
    loaded: list[str] = []

    def load(wanted: MatrixKey) -> Matrix:
        loaded.append(wanted.dataset_id)
        loading.set()
        assert finish.wait(30)
        return matrix()

    cache = MatrixCache(load)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.get, key("a"))
        assert loading.wait(30)
        others = [pool.submit(cache.get, key("a")) for _ in range(3)]
        finish.set()
        assert {id(found.result()) for found in (first, *others)} == {id(first.result())}
    assert loaded == ["a"]


def test_failure_goes_to_all_who_wait_and_is_not_kept() -> None:
    loading, finish = threading.Event(), threading.Event()
    answers = [ObjectsUnavailable("down"), None]

    def load(wanted: MatrixKey) -> Matrix:
        loading.set()
        assert finish.wait(30)
        error = answers.pop(0)
        if error is not None:
            raise error
        return matrix()

    cache = MatrixCache(load)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, key("a"))
        assert loading.wait(30)
        finish.set()
        assert isinstance(first.exception(), ObjectsUnavailable)
    assert cache.get(key("a")).row_count == 10
