"""A client in Python on generated stubs alone: upload, submit, watch, report, labels.

    python -m pip install grpcio-tools
    mkdir stubs
    python -m grpc_tools.protoc --proto_path=../../../protos --python_out=stubs --grpc_python_out=stubs \\
        $(cd ../../../protos && ls kmeans/v1/*.proto)
    PYTHONPATH=stubs python client.py 127.0.0.1:50051 ../../soil_field.csv labels.csv
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
from kmeans.v1 import (
    dataset_service_pb2,
    dataset_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
)

CHUNK_BYTES = 1 << 20


def upload(path: Path) -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
    """The header, then the bytes."""
    # With a request_id the same upload may be sent again after a broken connection.
    header = dataset_service_pb2.UploadDatasetHeader(display_name=path.name, request_id=str(uuid.uuid4()))
    yield dataset_service_pb2.UploadDatasetRequest(header=header)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield dataset_service_pb2.UploadDatasetRequest(chunk=chunk)


def main(target: str, table: str, labels: str) -> None:
    """From a table to its labels."""
    with grpc.insecure_channel(target) as channel:
        datasets = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        jobs = job_service_pb2_grpc.JobServiceStub(channel)

        dataset = datasets.UploadDataset(upload(Path(table)))
        print(f"{dataset.name}: {dataset.row_count} rows, {len(dataset.columns)} columns")

        spec = job_pb2.JobSpec(dataset=dataset.name, max_k=4, n_experiments=2)
        created = jobs.CreateJob(job_service_pb2.CreateJobRequest(spec=spec, request_id=str(uuid.uuid4())))
        job = created.job
        print(f"{job.name}: {created.planned_task_count} tasks")

        for step in jobs.WatchJob(job_service_pb2.WatchJobRequest(name=job.name, job_only=True)):
            job, counts = step.job, step.job.task_counts
            print(f"{job_pb2.JobState.Name(job.state)} {counts.done + counts.degenerate}/{counts.total}")
        if job.state != job_pb2.JOB_STATE_SUCCEEDED:
            raise SystemExit(f"The job did not succeed. {job.failure}")

        report = jobs.GetReport(job_service_pb2.GetReportRequest(name=job.name))
        best = report.best
        covariance = job_pb2.Covariance.Name(best.covariance)
        print(f"Best: K = {best.k}, {covariance}, BIC {best.result.bic:.1f}, {best.task}")

        with Path(labels).open("wb") as file:
            for part in jobs.ExportLabels(job_service_pb2.ExportLabelsRequest(name=best.task)):
                file.write(part.chunk)
        print(f"Labels are in {labels}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit("usage: client.py HOST:PORT TABLE LABELS.csv")
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        raise SystemExit(f"{error.code().name}: {error.details()}") from None
