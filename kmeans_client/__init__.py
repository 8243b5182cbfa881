"""A small typed client of the K-Means Service over its gRPC contract (`kmeans.v1`).

    with Client("127.0.0.1:50051") as client:
        dataset = client.upload("field.csv")
        job = client.create_job(dataset.name, max_k=8).job
        for step in client.watch(job.name):
            print(step.job.task_counts.done, "of", step.job.task_counts.total)
        print(client.report(job.name).best)

Answers are the proto's own messages. Errors are `KMeansError`, and `Unreachable` where nothing answers.
"""

from kmeans_client.client import Client
from kmeans_client.errors import KMeansError, Unreachable, Violation
from kmeans_client.names import assignment_name, covariance_name, has_ended, state_name
from kmeans_client.uploads import CHUNK_BYTES, Progress

__all__ = [
    "CHUNK_BYTES",
    "Client",
    "KMeansError",
    "Progress",
    "Unreachable",
    "Violation",
    "assignment_name",
    "covariance_name",
    "has_ended",
    "state_name",
]
