"""ExportModel through a real channel: the file keeps to its schema, and gives the service's labels."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import grpc
import jsonschema
import kmeans.v1.job_service_pb2 as stubs
import numpy as np
import onnxruntime
import pytest
from kmeans.v1 import dataset_pb2, job_pb2, job_service_pb2

from kmeans_client import Client, KMeansError
from kmeans_client.errors import translated

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads(Path(stubs.__file__).with_name("model.schema.json").read_text())


def exported(jobs: Any, task: str, **fields: Any) -> dict[str, Any]:
    request = job_service_pb2.ExportModelRequest(name=task, **fields)
    with translated("here"):
        model = json.loads(b"".join(answer.chunk for answer in jobs.ExportModel(request, timeout=20)))
    assert isinstance(model, dict)
    return model


def onnx_session(client: Client, task: str) -> Any:
    content = b"".join(client.export_model(task, job_service_pb2.MODEL_FORMAT_ONNX))
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def example() -> Any:
    spec = importlib.util.spec_from_file_location("label_with_model", ROOT / "examples/label_with_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="values")
def read_values(table: bytes) -> np.ndarray:
    cells = [line.split(",")[1:3] for line in table.decode().splitlines()[1:]]
    return np.array([[float(cell or "nan") for cell in row] for row in cells])


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("assignment", [1, 2], ids=["likelihood", "mahalanobis"])
@pytest.mark.parametrize("scale", [True, False], ids=["scaled", "unscaled"])
def test_a_model_gives_the_same_labels_elsewhere(
    client: Client,
    jobs: Any,
    bench: Any,
    dataset: dataset_pb2.Dataset,
    values: np.ndarray,
    assignment: int,
    scale: bool,
) -> None:
    spec = job_pb2.JobSpec(
        dataset=dataset.name, max_k=3, n_experiments=1, n_init=2, assignment=assignment, scale=scale, seed=9
    )
    name = client.create_job(spec).job.name
    fits = bench.run(name)
    complete = ~np.isnan(values).any(axis=1)
    label = example().label
    for key, fit in fits.items():
        session = onnx_session(client, f"{name}/tasks/{key.short_id}")
        labels, distances = session.run(["label", "squared_distance"], {"rows": values})
        np.testing.assert_array_equal(labels[complete], fit.labels)
        assert set(labels[~complete]) == {-1}
        assert np.isnan(distances[~complete]).all()
        (predicted,) = client.predict(f"{name}/tasks/{key.short_id}", [values.ravel().tolist()])
        np.testing.assert_allclose(distances, predicted.squared_distances, rtol=1e-9)
        assert json.loads(session.get_modelmeta().custom_metadata_map["columns"]) == ["a", "b"]
        task = client.get_task(f"{name}/tasks/{key.short_id}")
        model = exported(jobs, task.name)
        jsonschema.validate(model, SCHEMA, jsonschema.Draft202012Validator)
        np.testing.assert_array_equal(label(model, values[complete]), fit.labels)
        assert (model["job"], model["task"]) == (name, task.name)
        assert (model["k"], model["covariance"]) == (key.k, key.covariance.value)
        assert model["columns"] == ["a", "b"]
        assert (model["n"], model["skipped_row_count"]) == (148, 2)
        assert model["dataset"]["sha256"] == dataset.sha256
        assert (model["seed"], model["experiment"], model["start"]) == (9, 0, fit.start)
        assert model["scaling"]["scaled"] is scale
        assert model["counts"] == list(task.result.counts)
        assert model["scores"]["bic"] == fit.bic
        # To the last bit: what is read back is what was fitted.
        assert model["weights"] == fit.weights.tolist()
        assert model["fitted"]["centers"] == fit.centers.tolist()
        assert model["fitted"]["covariances"] == fit.covariances.tolist()
        for cluster in task.clusters:
            assert model["centers"][cluster.label] == list(cluster.center)
            assert np.ravel(model["covariances"][cluster.label]).tolist() == list(cluster.covariance)


def test_a_file_travels_in_chunks(
    client: Client, jobs: Any, bench: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1, n_experiments=1)).job.name
    (task, *_) = (f"{name}/tasks/{key.short_id}" for key in bench.run(name))
    whole = list(jobs.ExportModel(job_service_pb2.ExportModelRequest(name=task)))
    assert len(whole) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.gateway.jobs._CHUNK_BYTES", 100)
        parts = list(jobs.ExportModel(job_service_pb2.ExportModelRequest(name=task, format=1)))
    assert {len(part.chunk) for part in parts[:-1]} == {100}
    assert b"".join(part.chunk for part in parts) == whole[0].chunk


def test_a_degenerate_model_is_exported_with_its_diagnosis(
    client: Client, jobs: Any, bench: Any, dataset: dataset_pb2.Dataset
) -> None:
    spec = job_pb2.JobSpec(
        dataset=dataset.name, columns=["a", "flat"], scale=False, max_k=1, n_experiments=1, n_init=1
    )
    name = client.create_job(spec).job.name
    bench.run(name)
    model = exported(jobs, f"{name}/tasks/0-1-full-untied")
    jsonschema.validate(model, SCHEMA, jsonschema.Draft202012Validator)
    assert model["scores"]["degenerate"] is True
    assert "constant" in model["scores"]["diagnosis"]


def test_what_cannot_be_exported_is_refused(
    client: Client, jobs: Any, bench: Any, failed: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1, n_experiments=1)).job.name
    keys = bench.start(name)
    bench.finish(keys[:1], failed)
    invalid, missing = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
    precondition = grpc.StatusCode.FAILED_PRECONDITION
    for task, fields, code, reason in (
        (f"{name}/tasks/{keys[0].short_id}", {}, precondition, "TASK_NOT_FITTED"),
        (f"{name}/tasks/{keys[1].short_id}", {}, precondition, "TASK_NOT_FITTED"),
        (f"{name}/tasks/0-9-full-tied", {}, missing, "TASK_NOT_FOUND"),
        ("jobs/none/tasks/0-1-full-tied", {}, missing, "JOB_NOT_FOUND"),
        (name, {}, invalid, "BAD_NAME"),
        ("", {}, invalid, "BAD_NAME"),
        (f"{name}/tasks/{keys[0].short_id}", {"format": 7}, invalid, "INVALID_INPUT"),
    ):
        with pytest.raises(KMeansError) as refused:
            exported(jobs, task, **fields)
        assert (refused.value.code, refused.value.reason) == (code, reason)
