"""Readiness: whether a gateway serves, as its standard health service (grpc.health.v1) says."""

from __future__ import annotations

import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

__all__ = ["serves_within"]

_PAUSE_SECONDS = 0.1

# Those of a call that met no gateway, or one that is about to go or to come.
_NOT_YET = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}


def serves_within(channel: grpc.Channel, timeout_seconds: float) -> bool:
    """Wait until it serves; return whether it does before the time is up.

    What answers and knows no health service, such as a proxy that passes on ours alone, is taken to serve.
    """
    deadline = time.monotonic() + timeout_seconds
    health = health_pb2_grpc.HealthStub(channel)
    while (left := deadline - time.monotonic()) > 0:
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=left, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() not in _NOT_YET:
                return True
        else:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return True
        time.sleep(min(_PAUSE_SECONDS, max(0.0, deadline - time.monotonic())))
    return False
