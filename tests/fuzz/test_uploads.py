"""Files that are damaged, mixed up, or made to burst: a dataset, or a refusal that leaves nothing."""

from __future__ import annotations

import gzip
import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kmeans.v1 import dataset_pb2, dataset_service_pb2, job_service_pb2

from tests.fuzz.files import damaged
from tests.fuzz.world import METHODS, World, check_refusal

# What the gateway's process may grow by, whatever is uploaded. The one that reads Parquet is bounded by the
# kernel.
MEMORY_BYTES = 256 << 20
# More than that in one piece.
_LARGE = 320 << 20
_CHUNK_BYTES = 2 << 20

_METHODS = {method.name: method for method in METHODS}


@settings(
    max_examples=max(60, settings().max_examples), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(
    content=damaged(),
    name=st.sampled_from(["t.csv", "t.tsv", "t.parquet", "t.csv.gz", "t.xlsx", "t", "../../etc/passwd"]),
    stated=st.sampled_from([0, 0, 0, 1, 2, 3]),
)
def test_any_file_is_a_dataset_or_leaves_nothing(
    world: World, content: bytes, name: str, stated: int
) -> None:
    answer = upload(world, [content], display_name=name, format=stated)
    if not isinstance(answer, grpc.RpcError):
        use(world, answer)
        world.delete(answer.name)
    world.check_nothing_left()


def zeros(size_bytes: int) -> Iterator[bytes]:
    """A gzip of so many zeros, a thousandth as long."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    for _ in range(size_bytes >> 20):
        yield pack.compress(bytes(1 << 20))
    yield pack.flush()


def numbers(size_bytes: int) -> Iterator[bytes]:
    """A gzip of one row after the other, each the same."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    yield pack.compress(b"a,b\n")
    for _ in range(size_bytes >> 20):
        yield pack.compress(b"1,2\n" * (1 << 18))
    yield pack.flush()


def wide(count: int, rows: int = 1) -> Iterator[bytes]:
    yield b",".join(b"c%d" % column for column in range(count)) + b"\n"
    for _ in range(rows):
        yield b"1," * (count - 1) + b"1\n"


def long_line(size_bytes: int, unit: bytes) -> Iterator[bytes]:
    yield b"a,b\n1,"
    yield from itertools.repeat(unit * (_CHUNK_BYTES // len(unit)), size_bytes // _CHUNK_BYTES)


def unclosed_quote(size_bytes: int) -> Iterator[bytes]:
    yield b'a,b\n1,"'
    yield from itertools.repeat(b"1,2\n" * (_CHUNK_BYTES // 4), size_bytes // _CHUNK_BYTES)


def members(count: int) -> Iterator[bytes]:
    """A gzip of very many members, most of them empty."""
    empty = gzip.compress(b"")
    yield gzip.compress(b"a\n1\n2\n")
    yield empty * count


def parquet(table: pa.Table, **options: object) -> list[bytes]:
    target = io.BytesIO()
    pq.write_table(table, target, **options)
    return [target.getvalue()]


def constant(rows: int) -> list[bytes]:
    """A number, so many times, in a few kilobytes."""
    target = io.BytesIO()
    schema = pa.schema([("a", pa.float64()), ("b", pa.string())])
    part = pa.table({"a": pa.array([1.0]).take(pa.array([0] * 100_000)), "b": ["x" * 1000] * 100_000}, schema)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for _ in range(rows // 100_000):
            writer.write_table(part, row_group_size=rows)
    return [target.getvalue()]


def nested(depth: int) -> list[bytes]:
    array = pa.array([1.0, 2.0])
    for _ in range(depth):
        array = pa.StructArray.from_arrays([array], names=["x"])
    return parquet(pa.table({"a": array}))


def one_page(column: pa.Array, **options: object) -> list[bytes]:
    """A column of one page, which is a few kilobytes and unfolds to far more."""
    sizes = {
        "data_page_size": 1 << 30,
        "dictionary_pagesize_limit": 1 << 30,
        "max_rows_per_page": len(column),
    }
    return parquet(pa.table({"a": column}), compression="zstd", row_group_size=1 << 30, **sizes, **options)


def repeated(value: object, count: int) -> pa.Array:
    return pa.array([value]).take(pa.array([0]).take(pa.nulls(count, pa.int8()).fill_null(0)))


def huge_footer() -> list[bytes]:
    """A file that says that its footer has almost 2 GiB."""
    return [b"PAR1" + bytes(1000) + struct.pack("<I", 2**31 - 20) + b"PAR1"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(lambda: zeros(1 << 30), "t.csv.gz", id="gzip of zeros"),
        pytest.param(lambda: numbers(16 << 20), "t.csv.gz", id="gzip of many rows"),
        pytest.param(lambda: [gzip.compress(b"".join(zeros(1 << 28)))], "t.csv.gz", id="gzip of a gzip"),
        pytest.param(lambda: members(200_000), "t.csv.gz", id="gzip of many members"),
        pytest.param(lambda: wide(100_000), "t.csv", id="100,000 columns"),
        pytest.param(lambda: wide(256, 5000), "t.csv", id="256 columns"),
        pytest.param(lambda: wide(3_000_000, 0), "t.csv", id="a header of 20 MB"),
        pytest.param(lambda: long_line(1_000_000_000, b"x"), "t.csv", id="a line of 1 GB"),
        pytest.param(lambda: long_line(100_000_000, b","), "t.csv", id="a line of commas"),
        pytest.param(lambda: unclosed_quote(100_000_000), "t.csv", id="a quote that does not end"),
        pytest.param(lambda: [b"\n" * (1 << 21)] * 20, "t.csv", id="empty lines"),
        pytest.param(lambda: [bytes(1 << 21)] * 20, "t.csv", id="zeros"),
        pytest.param(lambda: constant(1_000_000), "t.parquet", id="parquet of 1 GB of text"),
        pytest.param(lambda: nested(60), "t.parquet", id="nested parquet"),
        pytest.param(
            lambda: one_page(pa.array(["x" * _LARGE]), use_dictionary=False, write_statistics=False),
            "t.parquet",
            id="parquet of one long cell",
        ),
        pytest.param(
            lambda: one_page(pa.array(["x" * _LARGE]), write_statistics=False),
            "t.parquet",
            id="parquet with a dictionary of one long text",
        ),
        pytest.param(
            lambda: one_page(pa.array(["x" * (_LARGE // 100)] * 100).dictionary_encode()),
            "t.parquet",
            id="parquet that repeats a long text",
        ),
        pytest.param(
            lambda: one_page(repeated(0.0, _LARGE // 8), use_dictionary=False),
            "t.parquet",
            id="parquet of one page of zeros",
        ),
        pytest.param(
            lambda: one_page(
                pa.StructArray.from_arrays([repeated(0.0, _LARGE // 8)], names=["x"]), use_dictionary=False
            ),
            "t.parquet",
            id="parquet of one page of structures",
        ),
        pytest.param(
            lambda: one_page(
                pa.FixedSizeListArray.from_arrays(repeated(0.0, _LARGE // 8), 16), use_dictionary=False
            ),
            "t.parquet",
            id="parquet of one page of lists",
        ),
        pytest.param(huge_footer, "t.parquet", id="parquet with a huge footer"),
        pytest.param(
            lambda: parquet(pa.table({f"c{i}": [1.0] for i in range(5000)})), "t.parquet", id="wide parquet"
        ),
    ],
)
def test_a_file_made_to_burst_does_not(world: World, make: Callable[[], Iterable[bytes]], name: str) -> None:
    world.forget_peak()
    answer = upload(world, make(), display_name=name)
    if not isinstance(answer, grpc.RpcError):
        world.delete(answer.name)
    grown = world.grown_bytes()
    print(f"{name}: {grown >> 20} MiB", answer.details() if isinstance(answer, grpc.RpcError) else "accepted")
    assert grown < MEMORY_BYTES
    world.check_nothing_left()


def test_many_uploads_at_once_take_the_memory_of_few(fresh_world: World) -> None:
    world, count = fresh_world, 12
    rows = b"1.25,2.5,3.125\n" * 800_000
    world.forget_peak()
    with ThreadPoolExecutor(count) as threads:
        uploads = [
            threads.submit(upload, world, [b"a,b,c\n", rows], display_name="t.csv") for _ in range(count)
        ]
    for dataset in [call.result() for call in uploads]:
        assert not isinstance(dataset, grpc.RpcError), dataset
        assert dataset.row_count == 800_000
        world.delete(dataset.name)
    grown = world.grown_bytes()
    print(f"{count} at once: {grown >> 20} MiB")
    # Two are parsed at a time; on a busy machine gRPC reads further ahead for those that wait.
    assert grown < 2 * MEMORY_BYTES
    world.check_nothing_left()


def upload(world: World, content: Iterable[bytes], **header: object) -> dataset_pb2.Dataset | grpc.RpcError:
    def requests() -> Iterator[Message]:
        yield dataset_service_pb2.UploadDatasetRequest(header=header)
        for piece in content:
            for start in range(0, len(piece), _CHUNK_BYTES):
                chunk = piece[start : start + _CHUNK_BYTES]
                yield dataset_service_pb2.UploadDatasetRequest(chunk=chunk)

    answer = world.send(_METHODS["UploadDataset"], requests())
    if isinstance(answer, grpc.RpcError):
        check_refusal(answer)
        return answer
    (dataset,) = answer
    assert isinstance(dataset, dataset_pb2.Dataset)
    return dataset


def use(world: World, dataset: dataset_pb2.Dataset) -> None:
    """Whatever was accepted can be looked at and clustered, or says why not."""
    requests: dict[str, dict[str, object]] = {
        "GetDataset": {"name": dataset.name},
        "SampleDataset": {"name": dataset.name},
        "GetCorrelation": {"name": dataset.name},
        "CreateJob": {"spec": {"dataset": dataset.name}, "validate_only": True},
    }
    for name, fields in requests.items():
        method = _METHODS[name]
        world.send(method, [getattr(_module(name), method.input_type.name)(**fields)])


def _module(method: str) -> object:
    return job_service_pb2 if method == "CreateJob" else dataset_service_pb2
