"""Matrices that were loaded lately, shared by the slots of a worker."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from services.core.datasets import table_key
from services.core.jobs import JobSpec
from services.core.ports import ObjectStore
from services.tables import Matrix, load_matrix

__all__ = ["MAX_CACHE_BYTES", "MatrixCache", "MatrixKey", "open_matrix"]

MAX_CACHE_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class MatrixKey:
    """What a matrix is made from: a dataset never changes, so this names its bytes for good."""

    dataset_id: str
    columns: tuple[str, ...]
    scale: bool

    @classmethod
    def of(cls, spec: JobSpec) -> MatrixKey:
        """The matrix that a job's tasks are fitted on."""
        return cls(spec.dataset_id, spec.columns, spec.scale)


def open_matrix(objects: ObjectStore, key: MatrixKey) -> Matrix:
    """Read a matrix from the dataset's parsed table.

    Raises:
        NotFound: the table is not there.
        DataLoss: it is damaged.
        ObjectsUnavailable: the object store does not answer.
    """
    with objects.open(table_key(key.dataset_id)) as source:
        return load_matrix(source, key.columns, scale=key.scale)


class MatrixCache:
    """Keeps the matrices used last, up to a number of bytes; each is loaded once however many ask.

    The newest is kept even if it alone is larger: every bundle of its job would load it again otherwise.
    """

    def __init__(self, load: Callable[[MatrixKey], Matrix], max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._load = load
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._matrices: OrderedDict[MatrixKey, Future[Matrix]] = OrderedDict()

    def get(self, key: MatrixKey) -> Matrix:
        """The matrix, its arrays read-only. Waits while another thread loads it.

        Raises whatever loading raises, to all who wait; the next to ask tries again.
        """
        with self._lock:
            future = self._matrices.get(key)
            is_mine = future is None
            if future is None:
                future = self._matrices[key] = Future()
            self._matrices.move_to_end(key)
        if is_mine:
            self._fill(key, future)
        return future.result()

    def _fill(self, key: MatrixKey, future: Future[Matrix]) -> None:
        try:
            matrix = self._load(key)
            for array in (matrix.values, matrix.rows, matrix.offset, matrix.spread):
                array.setflags(write=False)
        except BaseException as error:
            with self._lock:
                self._matrices.pop(key, None)
            future.set_exception(error)
            raise
        future.set_result(matrix)
        with self._lock:
            self._evict()

    def _evict(self) -> None:
        loaded = [
            (key, _size_bytes(future.result()))
            for key, future in self._matrices.items()
            if future.done() and future.exception() is None
        ]
        total = sum(size for _, size in loaded)
        for key, size in loaded[:-1]:
            if total <= self._max_bytes:
                return
            del self._matrices[key]
            total -= size


def _size_bytes(matrix: Matrix) -> int:
    arrays = (matrix.values, matrix.rows, matrix.offset, matrix.spread)
    return sum(array.nbytes for array in arrays)
