"""The gateway's server: services, health, reflection, limits, start and stop."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from kmeans.v1 import (
    dataset_service_pb2,
    dataset_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
)

from services.core.clock import Clock, utc_now
from services.core.errors import FailedPrecondition
from services.core.ports import ObjectStore, Store, TaskQueue
from services.core.quotas import OwnerLimits
from services.core.settings import Settings
from services.gateway.addresses import check_address, is_loopback
from services.gateway.agreements import Agreements
from services.gateway.anonymous import AnonymousInterceptor
from services.gateway.authentication import authentication
from services.gateway.datasets import DatasetServicer
from services.gateway.interceptor import ErrorInterceptor
from services.gateway.jobs import JobServicer
from services.gateway.labels import Labels
from services.gateway.memory import Memory
from services.gateway.paging import MAX_MESSAGE_BYTES
from services.gateway.patience import Patience
from services.gateway.reads import Reads
from services.gateway.slots import Slots, share_of
from services.gateway.submission import Submission
from services.gateway.tls import server_credentials, tls_files
from services.gateway.upload_requests import read_upload_request
from services.gateway.uploads import Uploads
from services.gateway.watching import Watching
from services.telemetry.watched_health import HealthServicer

__all__ = ["SERVICES", "Gateway"]

SERVICES = (
    dataset_service_pb2.DESCRIPTOR.services_by_name["DatasetService"].full_name,
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
)

_UPLOAD_DATASET = f"/{SERVICES[0]}/UploadDataset"
_WATCH_JOB = f"/{SERVICES[1]}/WatchJob"
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Otherwise a second gateway on the same port would silently get half of the calls.
    ("grpc.so_reuseport", 0),
    # Notice clients that vanished without a word, and let them check on us every 20 s or more.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.max_ping_strikes", 3),
)

# A client that keeps its connection keeps its gateway, however many are added. After this time, give or take
# a tenth, it is asked to connect anew. Calls under way are not cut, however long they take: there is no
# `grpc.max_connection_age_grace_ms`, and without it gRPC waits for them without end.
_CONNECTION_AGE_SECONDS = 600.0

# By models, labels and rows of the downloads and predictions under way, however many there may be.
_HELD_BYTES = 256 << 20

# Of one connection, watches of health included, which take no thread.
_MIN_STREAMS = 1024

_log = structlog.get_logger(__name__)


class Gateway:
    """The gRPC front door on a pool of threads.

    Of `settings.rpc_threads`, uploads, downloads, agreements and predictions may hold half, so that the rest
    is always there for calls that end by themselves. Watches have threads of their own, made when they come;
    so have health and reflection, which ask for no token. With tokens, one owner may have half of each
    kind, so that another always gets in.
    """

    def __init__(
        self,
        store: Store,
        queue: TaskQueue,
        objects: ObjectStore,
        settings: Settings,
        *,
        clock: Clock = utc_now,
        interceptors: Sequence[grpc.ServerInterceptor] = (),
        connection_age_seconds: float = _CONNECTION_AGE_SECONDS,
    ) -> None:
        """Serve from these backends, which the caller closes after `stop`; `interceptors` surround our own.

        After `connection_age_seconds` a connection takes no more calls, and ends with the last one it has.

        Raises:
            InvalidInput: the tokens or TLS files of the settings are wrong (`BAD_SETTINGS`, `BAD_TOKENS`,
                `BAD_TLS_FILES`).
        """
        files = tls_files(settings)
        self._credentials = None if files is None else server_credentials(files)
        self._authentication = authentication(settings)
        self._anyone_is_meant = settings.allow_anyone
        threads = settings.rpc_threads
        self._stopping = threading.Event()
        self._health = HealthServicer(("", *SERVICES))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rpc")
        # One more than there are slots: a watcher too many has to be told so.
        self._watch_pool = ThreadPoolExecutor(settings.max_watches + 1, thread_name_prefix="watch")
        self._watching = Watching(store, self._stopping)
        is_shared = not self._authentication.is_open
        # Reading goes on for a moment after its call has given back its place.
        self._patience = Patience(settings.idle_seconds, threads)
        self._anonymous = AnonymousInterceptor(settings.idle_seconds)
        # In all they are bounded by the threads: what is more waits its turn.
        calls = (
            Slots(
                "calls",
                threads + 1,
                "KMEANS_RPC_THREADS",
                per_owner=share_of(threads, is_shared=True),
                reason="TOO_MANY_CALLS",
            )
            if is_shared
            else None
        )
        self._server = grpc.server(
            self._pool,
            interceptors=[
                *interceptors,
                self._anonymous,
                ErrorInterceptor(
                    self._authentication,
                    {_WATCH_JOB: self._watch_pool},
                    self._patience,
                    calls,
                    {_UPLOAD_DATASET: read_upload_request},
                ),
            ],
            options=(
                *_OPTIONS,
                # Of one connection: what is more waits at its client, and not in our memory.
                ("grpc.max_concurrent_streams", max(_MIN_STREAMS, settings.max_watches + threads)),
                ("grpc.max_connection_age_ms", round(connection_age_seconds * 1000)),
            ),
        )
        transfers = Slots(
            "uploads, downloads, agreements and predictions",
            threads // 2,
            "KMEANS_RPC_THREADS",
            per_owner=share_of(threads // 2, is_shared=is_shared),
            reason="TOO_MANY_STREAMS",
        )
        reads = Reads()
        limits = OwnerLimits(settings.max_owner_jobs, settings.max_owner_tasks, settings.max_owner_bytes)
        dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server(
            DatasetServicer(
                store,
                objects,
                Uploads(
                    store,
                    objects,
                    clock,
                    max_upload_bytes=settings.max_upload_bytes,
                    max_rows=settings.max_rows,
                    limits=limits,
                ),
                transfers=transfers,
                reads=reads,
            ),
            self._server,
        )
        job_service_pb2_grpc.add_JobServiceServicer_to_server(
            JobServicer(
                store,
                Submission(store, queue, objects, clock, limits, settings.max_job_cells, reads=reads),
                self._watching,
                Labels(store, objects, reads),
                Agreements(store, objects),
                watches=Slots(
                    "watches",
                    settings.max_watches,
                    "KMEANS_MAX_WATCHES",
                    per_owner=share_of(settings.max_watches, is_shared=is_shared),
                    reason="TOO_MANY_STREAMS",
                ),
                transfers=transfers,
                memory=Memory(_HELD_BYTES, share_of(_HELD_BYTES, is_shared=is_shared)),
            ),
            self._server,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*SERVICES, _HEALTH, reflection.SERVICE_NAME), self._server)

    def start(self, address: str, *, is_ready: bool = True) -> int:
        """Listen on HOST:PORT and serve; return the port, chosen freely when it was 0.

        With TLS if the settings name its files, else in plain text. Health says NOT_SERVING until
        `announce_ready` where the backends are not there yet; calls get what these raise.

        Raises:
            InvalidInput: that is not HOST:PORT (`BAD_ADDRESS`).
            FailedPrecondition: nothing can listen there (`ADDRESS_NOT_AVAILABLE`).
        """
        try:
            if self._credentials is None:
                port = self._server.add_insecure_port(check_address(address))
            else:
                port = self._server.add_secure_port(check_address(address), self._credentials)
        except RuntimeError as error:
            raise FailedPrecondition(
                f"Cannot listen on {address}: it is taken, or not an address of this machine. Stop what "
                "listens there, or set KMEANS_ADDRESS to another HOST:PORT.",
                "ADDRESS_NOT_AVAILABLE",
                {"address": address},
            ) from error
        self._server.start()
        if is_ready:
            self.announce_ready()
        _log.info(
            "gateway serves",
            address=address,
            port=port,
            tls=self._credentials is not None,
            tokens=not self._authentication.is_open,
        )
        self._warn_of_strangers(address)
        return port

    def _warn_of_strangers(self, address: str) -> None:
        if is_loopback(address.rpartition(":")[0].strip("[]")):
            return
        if self._authentication.is_open and not self._anyone_is_meant:
            _log.warning(
                "whoever reaches this address may read, change and delete everything: set "
                "KMEANS_TOKENS_FILE, or KMEANS_ALLOW_ANYONE=true where that is meant",
                address=address,
            )
        if not self._authentication.is_open and self._credentials is None:
            _log.warning(
                "tokens are taken over TLS only, and from this machine: nobody else can enter until "
                "KMEANS_TLS_CERTIFICATE and KMEANS_TLS_KEY are set",
                address=address,
            )

    def announce_ready(self) -> None:
        """Say SERVING; of no effect once the end was announced."""
        for service in ("", *SERVICES):
            self._health.set(service, serving=True)

    def announce_stop(self) -> None:
        """Say NOT_SERVING and send watchers away; other calls are still served. Idempotent."""
        self._stopping.set()
        self._watching.wake()
        self._health.stop()

    def stop(self, grace_seconds: float) -> None:
        """Announce it, take no more calls, give those under way this long, then cut them off.

        Returns when the last call has let go of the backends. Idempotent.
        """
        self.announce_stop()
        self._server.stop(grace_seconds).wait()
        self._pool.shutdown()
        self._watch_pool.shutdown()
        self._anonymous.close()
        self._patience.close()
        _log.info("gateway stopped")
