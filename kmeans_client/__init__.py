"""A small typed client of the K-Means Service over its gRPC contract (`kmeans.v1`).

    with Client("127.0.0.1:50051") as client:
        dataset = client.upload_dataset("field.csv")
        job = client.create_job(JobSpec(dataset=dataset.name, max_k=8)).job
        for step in client.watch_job(job.name):
            print(step.job.task_counts.done, "of", step.job.task_counts.total)
        print(client.get_report(job.name).best)

Requests' specs and all answers are the proto's own messages (`JobSpec` is in `kmeans.v1.job_pb2`).
Errors are `KMeansError`, and `Unreachable` where nothing answers.
"""

from kmeans_client.client import Client
from kmeans_client.credentials import SYSTEM_CA, Credentials
from kmeans_client.errors import KMeansError, Unreachable, Violation
from kmeans_client.names import (
    assignment_name,
    assignment_value,
    covariance_name,
    covariance_value,
    has_ended,
    state_name,
)
from kmeans_client.predictions import MAX_PREDICT_VALUES
from kmeans_client.uploads import CHUNK_BYTES, Progress
from kmeans_client.watching import MAX_RESUMES

__all__ = [
    "CHUNK_BYTES",
    "MAX_PREDICT_VALUES",
    "MAX_RESUMES",
    "SYSTEM_CA",
    "Client",
    "Credentials",
    "KMeansError",
    "Progress",
    "Unreachable",
    "Violation",
    "assignment_name",
    "assignment_value",
    "covariance_name",
    "covariance_value",
    "has_ended",
    "state_name",
]
