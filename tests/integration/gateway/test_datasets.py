"""Datasets read back, listed, sampled and deleted through a real channel."""

from __future__ import annotations

import gzip
import io
import math
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from kmeans.v1 import dataset_pb2, dataset_service_pb2, job_pb2

from kmeans_client import Client, KMeansError
from kmeans_client.errors import translated
from services.core.datasets import table_key


def refusal(error: pytest.ExceptionInfo[KMeansError]) -> tuple[grpc.StatusCode, str]:
    return error.value.code, error.value.reason


def test_a_dataset_that_is_not_there(client: Client) -> None:
    with pytest.raises(KMeansError) as refused:
        client.get_dataset("datasets/nope")
    assert refusal(refused) == (grpc.StatusCode.NOT_FOUND, "DATASET_NOT_FOUND")
    assert refused.value.metadata == {"dataset": "datasets/nope"}
    with pytest.raises(KMeansError) as refused:
        client.get_dataset("nope")
    assert refusal(refused) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_NAME")
    assert [violation.field for violation in refused.value.violations] == ["name"]


def test_pages_go_on_where_the_one_before_ended_while_datasets_are_added(
    client: Client, datasets: Any
) -> None:
    made = [client.upload_dataset(io.BytesIO(b"a\n%d\n" % i), display_name=f"{i}").name for i in range(5)]
    first = datasets.ListDatasets(dataset_service_pb2.ListDatasetsRequest(page_size=2))
    client.upload_dataset(io.BytesIO(b"a\n9\n"), display_name="newer")
    second = datasets.ListDatasets(
        dataset_service_pb2.ListDatasetsRequest(page_size=2, page_token=first.next_page_token)
    )
    third = datasets.ListDatasets(
        dataset_service_pb2.ListDatasetsRequest(page_size=2000, page_token=second.next_page_token)
    )
    seen = [dataset.name for page in (first, second, third) for dataset in page.datasets]
    assert sorted(seen) == sorted(made)
    assert len(first.datasets) == len(second.datasets) == 2
    assert not third.next_page_token
    assert len(list(client.list_datasets())) == 6


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "nonsense"}, "page_token"),
        ({"page_token": "bnVsbA=="}, "page_token"),
    ],
)
def test_a_bad_page_is_refused(datasets: Any, request_: dict[str, Any], field: str) -> None:
    with pytest.raises(KMeansError) as refused, translated("here"):
        datasets.ListDatasets(dataset_service_pb2.ListDatasetsRequest(**request_))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in refused.value.violations] == [field]


def test_a_sample_of_all_columns(client: Client, dataset: dataset_pb2.Dataset) -> None:
    sample = client.sample_dataset(dataset.name)
    assert list(sample.rows) == list(range(150))
    assert sample.row_count == 150
    columns = {column.name: column for column in sample.columns}
    assert list(columns) == ["longitude", "a", "b", "farm", "flat"]
    assert [row for row, a in enumerate(columns["a"].numbers) if math.isnan(a)] == [10, 70]
    assert columns["farm"].texts[:2] == ["South", "North"]
    assert not columns["farm"].numbers
    assert not columns["a"].texts


def test_a_sample_is_the_same_for_the_same_seed(client: Client, dataset: dataset_pb2.Dataset) -> None:
    one = client.sample_dataset(dataset.name, columns=["b"], max_rows=20, seed=2**63 - 1)
    assert one == client.sample_dataset(dataset.name, columns=["b"], max_rows=20, seed=2**63 - 1)
    assert one != client.sample_dataset(dataset.name, columns=["b"], max_rows=20, seed=1)
    assert len(one.rows) == len(one.columns[0].numbers) == 20
    assert list(one.rows) == sorted(set(one.rows))


def test_a_sample_that_would_not_fit_into_a_message_is_shortened(client: Client, settings: Any) -> None:
    # 80 characters of 4 bytes in each of 16,000 cells: 5 MiB, in a gzip of a few kilobytes.
    line = ",".join(["\N{GRINNING FACE}" * 80] * 8)
    content = gzip.compress("\n".join([",".join(f"c{i}" for i in range(8)), *[line] * 2000]).encode())
    assert len(content) < settings.max_upload_bytes
    name = client.upload_dataset(io.BytesIO(content), display_name="t").name
    sample = client.sample_dataset(name, max_rows=2000)
    assert len(sample.rows) == 1000
    assert sample.row_count == 2000


def test_wrong_samples_name_their_field(client: Client, dataset: dataset_pb2.Dataset) -> None:
    for arguments, field, reason in (
        ({"columns": ["a", "zz"]}, "columns[1]", "UNKNOWN_COLUMN"),
        ({"columns": ["a", "b", "a"]}, "columns[2]", "REPEATED_COLUMN"),
        ({"columns": ["a"] * 1000}, "columns", "INVALID_INPUT"),
        ({"max_rows": -1}, "max_rows", "INVALID_INPUT"),
        ({"seed": -1}, "seed", "INVALID_INPUT"),
    ):
        with pytest.raises(KMeansError) as refused:
            client.sample_dataset(dataset.name, **arguments)  # type: ignore[arg-type]
        assert refusal(refused) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert {violation.field for violation in refused.value.violations} == {field}


def test_correlations_of_the_numeric_columns(client: Client, dataset: dataset_pb2.Dataset) -> None:
    correlation = client.get_correlation(dataset.name)
    assert list(correlation.columns) == ["longitude", "a", "b", "flat"]
    assert correlation.row_count == 148
    values = np.reshape(correlation.values, (4, 4))
    np.testing.assert_allclose(np.diag(values), [1, 1, 1, math.nan])
    np.testing.assert_allclose(values, values.T)
    with pytest.raises(KMeansError) as refused:
        client.get_correlation("datasets/nope")
    assert refusal(refused) == (grpc.StatusCode.NOT_FOUND, "DATASET_NOT_FOUND")


def test_a_deleted_dataset_is_gone_with_its_bytes(
    client: Client, backends: Any, dataset: dataset_pb2.Dataset
) -> None:
    client.delete_dataset(dataset.name)
    assert not backends.files()
    with pytest.raises(KMeansError) as refused:
        client.get_dataset(dataset.name)
    assert refusal(refused) == (grpc.StatusCode.NOT_FOUND, "DATASET_NOT_FOUND")


def test_a_dataset_in_use_is_not_deleted(client: Client, dataset: dataset_pb2.Dataset) -> None:
    client.create_job(job_pb2.JobSpec(dataset=dataset.name))
    with pytest.raises(KMeansError) as refused:
        client.delete_dataset(dataset.name)
    assert refusal(refused) == (grpc.StatusCode.FAILED_PRECONDITION, "DATASET_IN_USE")
    assert client.sample_dataset(dataset.name).rows


def test_a_lost_table_is_data_loss(client: Client, backends: Any, dataset: dataset_pb2.Dataset) -> None:
    backends.objects.delete(table_key(dataset.name.removeprefix("datasets/")))
    with pytest.raises(KMeansError) as refused:
        client.sample_dataset(dataset.name)
    assert refusal(refused) == (grpc.StatusCode.DATA_LOSS, "TABLE_MISSING")
    assert "request_id" in refused.value.message


def test_somebody_elses_dataset_is_not_there(client: Client, backends: Any) -> None:
    name = client.upload_dataset(io.BytesIO(b"a\n1\n"), display_name="t").name
    mine = backends.store.get_dataset(name.removeprefix("datasets/"))
    backends.store.insert_dataset(replace(mine, id="theirs", owner="somebody", request_id=""))
    refusals = []
    for other in ("datasets/theirs", "datasets/nobody"):
        with pytest.raises(KMeansError) as refused:
            client.get_dataset(other)
        refusals.append((*refusal(refused), str(refused.value).replace(other, "")))
    assert refusals[0] == refusals[1]
    assert [dataset.name for dataset in client.list_datasets()] == [name]
