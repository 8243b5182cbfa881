"""A client in Python on generated stubs alone: upload, submit, watch, report, labels.

    python -m pip install grpcio-tools grpcio-status
    mkdir stubs
    python -m grpc_tools.protoc --proto_path=../../../protos --python_out=stubs --grpc_python_out=stubs \\
        $(cd ../../../protos && ls kmeans/v1/*.proto)
    PYTHONPATH=stubs python client.py 127.0.0.1:50051 ../../soil_field.csv labels.csv

KMEANS_TOKEN is the token of a service that asks for one. KMEANS_TLS_CA is the file of the authority that
signed the service's certificate: without it the connection is in plain text, where no token must travel.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kmeans.v1 import (
    dataset_service_pb2,
    dataset_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
)

CHUNK_BYTES = 1 << 20
# A watch that takes longer is resumed, too.
CALL_SECONDS, TRANSFER_SECONDS, WATCH_SECONDS = 30, 600, 600
MAX_RESUMES = 5
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    # What reaches a gateway in the moment in which it stops; nothing here cancels a call itself.
    grpc.StatusCode.CANCELLED,
}
ENDED = {job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED}


def open_channel(target: str) -> grpc.Channel:
    """TLS where KMEANS_TLS_CA says whom to trust."""
    ca = os.environ.get("KMEANS_TLS_CA")
    if not ca:
        return grpc.insecure_channel(target)
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(Path(ca).read_bytes()))


def within(seconds: float) -> dict[str, Any]:
    """What goes with every call: its deadline, and who calls."""
    token = os.environ.get("KMEANS_TOKEN")
    return {"timeout": seconds, "metadata": (("authorization", f"Bearer {token}"),) if token else ()}


def reason_of(error: grpc.RpcError) -> str:
    """The reason for programs, e.g. DATASET_NOT_FOUND; the code's name where the service gave none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return str(error.code().name)


def upload(path: Path) -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
    """The header, then the bytes."""
    # With a request_id the same upload may be sent again after a broken connection.
    header = dataset_service_pb2.UploadDatasetHeader(display_name=path.name, request_id=str(uuid.uuid4()))
    yield dataset_service_pb2.UploadDatasetRequest(header=header)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield dataset_service_pb2.UploadDatasetRequest(chunk=chunk)


def watch(jobs: job_service_pb2_grpc.JobServiceStub, job: job_pb2.Job) -> Iterator[job_pb2.Job]:
    """The job whenever it changes, until it has ended; a watch that breaks is resumed where it was."""
    revision = resumes = 0
    while True:
        request = job_service_pb2.WatchJobRequest(name=job.name, job_only=True, after_revision=revision)
        try:
            for step in jobs.WatchJob(request, **within(WATCH_SECONDS)):
                resumes, revision = 0, step.job.revision
                yield step.job
                if step.job.state in ENDED:
                    return
        except grpc.RpcError as error:
            if error.code() not in PASSING or resumes >= MAX_RESUMES:
                raise
            print(f"The watch broke ({reason_of(error)}), and goes on after revision {revision}.")
        # Also where it ended too early: a gateway that stops sends its watchers away.
        resumes += 1
        time.sleep(0.2 * 2**resumes)


def main(target: str, table: str, labels: str) -> None:
    """From a table to its labels."""
    with open_channel(target) as channel:
        datasets = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        jobs = job_service_pb2_grpc.JobServiceStub(channel)

        dataset = datasets.UploadDataset(upload(Path(table)), **within(TRANSFER_SECONDS))
        print(f"{dataset.name}: {dataset.row_count} rows, {len(dataset.columns)} columns")

        spec = job_pb2.JobSpec(dataset=dataset.name, max_k=4, n_experiments=2)
        request = job_service_pb2.CreateJobRequest(spec=spec, request_id=str(uuid.uuid4()))
        created = jobs.CreateJob(request, **within(CALL_SECONDS))
        job = created.job
        print(f"{job.name}: {created.planned_task_count} tasks")

        for job in watch(jobs, created.job):
            counts = job.task_counts
            print(f"{job_pb2.JobState.Name(job.state)} {counts.done + counts.degenerate}/{counts.total}")
        if job.state != job_pb2.JOB_STATE_SUCCEEDED:
            raise SystemExit(f"The job did not succeed. {job.failure}")

        report = jobs.GetReport(job_service_pb2.GetReportRequest(name=job.name), **within(CALL_SECONDS))
        best = report.best
        covariance = job_pb2.Covariance.Name(best.covariance)
        print(f"Best: K = {best.k}, {covariance}, BIC {best.result.bic:.1f}, {best.task}")

        with Path(labels).open("wb") as file:
            wanted = job_service_pb2.ExportLabelsRequest(name=best.task)
            for part in jobs.ExportLabels(wanted, **within(TRANSFER_SECONDS)):
                file.write(part.chunk)
        print(f"Labels are in {labels}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit("usage: client.py HOST:PORT TABLE LABELS.csv")
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        raise SystemExit(f"{error.code().name} {reason_of(error)}: {error.details()}") from None
