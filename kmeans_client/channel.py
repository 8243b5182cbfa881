"""The channel: limits, keepalive and the retry policy that ships as data in `service_config.json`."""

from __future__ import annotations

import json
from importlib import resources

import grpc

from kmeans_client.bearer import BearerToken
from kmeans_client.credentials import Credentials, is_loopback

__all__ = ["open_channel", "retry_policy"]

_MAX_MESSAGE_BYTES = 4 << 20


def retry_policy() -> str:
    """The service config, JSON: which calls are safe to repeat, and how often.

    The file is what any client may copy. CreateJob is not in it, since without a `request_id` a repeated call
    makes a second job; it is added here, because `Client` never calls it without.

    Streams of answers are not among them: gRPC 1.85 never ends a call that it may repeat when the server is
    killed before its first answer. Watches are resumed by `kmeans_client.watching` instead.
    """
    policy = json.loads(resources.files("kmeans_client").joinpath("service_config.json").read_text("utf-8"))
    (repeated,) = policy["methodConfig"]
    repeated["name"].append({"service": "kmeans.v1.JobService", "method": "CreateJob"})
    return json.dumps(policy)


def open_channel(target: str, credentials: Credentials | None = None) -> grpc.Channel:
    """A channel to HOST:PORT, in plain text unless the credentials have a `ca`.

    Connects at the first call, and again whenever it must. Raises what `Credentials.check` raises.
    """
    credentials = credentials or Credentials()
    credentials.check(target)
    options: list[tuple[str, str | int]] = [
        ("grpc.service_config", retry_policy()),
        ("grpc.enable_retries", 1),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        # The server permits a ping every 20 s; a watch may be silent for longer than routers remember.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A gateway that restarts is back within seconds; the default would look again after up to 120.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    if is_loopback(target):
        # A proxy from the environment is for the outside; through it, this machine is not this machine.
        options.append(("grpc.enable_http_proxy", 0))
    tls = credentials.channel_credentials()
    if tls is None:
        channel = grpc.insecure_channel(target, options=options)
    else:
        channel = grpc.secure_channel(target, tls, options=options)
    return grpc.intercept_channel(channel, BearerToken(credentials.token)) if credentials.token else channel
