"""Watching a job through restarts of the gateway, also where the next one has no place at first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import grpc
from kmeans.v1 import job_service_pb2, job_service_pb2_grpc

from kmeans_client.errors import KMeansError, Unreachable, decode
from kmeans_client.names import has_ended

__all__ = ["MAX_RESUMES", "resume_delay_seconds", "watch"]

MAX_RESUMES = 12

_FIRST_DELAY_SECONDS = 0.2
_MAX_DELAY_SECONDS = 5.0


def resume_delay_seconds(resumes: int, chance: float) -> float:
    """How long to wait before the next try, after `resumes` in a row; `chance` is 0 to 1.

    Doubles from 0.2 s to 5 s, half of it by chance, so that a thousand watchers do not come back as one.
    """
    ceiling = min(_MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0**resumes)
    return float(ceiling * (0.5 + 0.5 * chance))


def watch(
    stub: job_service_pb2_grpc.JobServiceStub,
    target: str,
    request: job_service_pb2.WatchJobRequest,
    *,
    max_resumes: int = MAX_RESUMES,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[job_service_pb2.WatchJobResponse]:
    """Steps of a watch until the job has ended, resumed after the last complete revision.

    A watch that has begun survives, `max_resumes` times in a row, a broken connection (by default about 40 s
    without gateway) or a gateway without a place for it (`TOO_MANY_STREAMS`; waited for as long as that one
    says, 5 s at most, and by chance somewhat longer). One that never began fails at once.

    Raises:
        KMeansError: the service refuses, or is gone for longer.
    """
    request = job_service_pb2.WatchJobRequest.FromString(request.SerializeToString())
    resumes: int | None = None
    while True:
        call = stub.WatchJob(request)
        try:
            for response in call:
                resumes = 0
                yield response
                if response.more:
                    continue
                request.after_revision = response.job.revision
                if has_ended(response.job):
                    return
            return
        except grpc.RpcError as error:
            failure = decode(error, target)
            if not _may_pass(failure) or resumes is None or resumes >= max_resumes:
                raise failure from error
        finally:
            call.cancel()
        sleep(_pause_seconds(failure, resumes))
        resumes += 1


def _may_pass(failure: KMeansError) -> bool:
    if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # Other limits, of which waiting is no cure, come without a time to try again.
        return failure.retry_after_seconds is not None
    return isinstance(failure, Unreachable) or failure.code is grpc.StatusCode.UNAVAILABLE


def _pause_seconds(failure: KMeansError, resumes: int) -> float:
    delay = resume_delay_seconds(resumes, random.random())
    if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED and failure.retry_after_seconds is not None:
        # In time with the gateway, but for a chance part: those who were sent away together come back apart.
        return min(failure.retry_after_seconds, _MAX_DELAY_SECONDS) + delay
    return delay
