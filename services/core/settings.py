"""Settings: read from the environment once, all errors reported together, secrets never shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.core.datasets import MAX_ROWS, MAX_UPLOAD_BYTES
from services.core.errors import FieldViolation, InvalidInput

__all__ = ["DEFAULT_ADDRESS", "Settings", "read_settings"]

DEFAULT_ADDRESS = "127.0.0.1:50051"

_HOST_PORT = r"^\S+:[0-9]{1,5}$"


class Settings(BaseSettings):
    """Every setting of every service; the environment variable is `KMEANS_` and the name in capitals."""

    # An empty variable is how compose files and unit files spell one that is not set.
    model_config = SettingsConfigDict(
        env_prefix="KMEANS_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    home: Path = Field(Path(".kmeans"), description="Folder of the embedded backends.")
    store_url: SecretStr | None = Field(
        None, description="mongodb://… or sqlite:///path; unset: embedded, under home."
    )
    queue_url: SecretStr | None = Field(
        None, description="amqp://…[?prefix=NAME] or memory://; unset: embedded, in process."
    )
    objects_url: SecretStr | None = Field(
        None, description="s3://bucket/prefix or file:///path; unset: embedded, under home."
    )
    s3_endpoint_url: SecretStr | None = Field(
        None,
        description="http(s)://host:port of an S3 server that is not AWS's; credentials and region come "
        "from the AWS_* variables.",
    )
    address: str = Field(DEFAULT_ADDRESS, description="Where the gateway listens, HOST:PORT.")
    health_address: str | None = Field(
        None,
        pattern=_HOST_PORT,
        description="HOST:PORT where a process of its own answers health probes (grpc.health.v1); unset: "
        "nowhere, but the gateway also answers them at its own address.",
    )
    metrics_address: str | None = Field(
        None,
        pattern=_HOST_PORT,
        description="HOST:PORT of the Prometheus metrics of a process of its own; unset: none.",
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file with the gateway's certificate chain; unset: plain text."
    )
    tls_key: Path | None = Field(None, description="PEM file with the private key of that certificate.")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of the authorities of clients; set: no certificate, no connection."
    )
    tokens_file: Path | None = Field(
        None,
        description="File of the gateway's bearer tokens, hashed, one owner each; unset: no token is asked.",
    )
    tokens: SecretStr | None = Field(
        None, description="OWNER:TOKEN of a small set-up, several separated by commas; not with a file."
    )
    allow_anyone: bool = Field(
        False, description="Whoever reaches the gateway may use it: no warning that no token is asked."
    )
    max_owner_jobs: int = Field(0, ge=0, description="Unfinished jobs one owner may have; 0: no limit.")
    max_owner_tasks: int = Field(
        0, ge=0, description="Unfinished tasks one owner's jobs may have in all; 0: no limit."
    )
    max_owner_bytes: int = Field(
        0, ge=0, description="Bytes one owner's datasets may have in all, as uploaded; 0: no limit."
    )
    rpc_threads: int = Field(
        64, ge=4, le=1024, description="Calls the gateway serves at once, beside watches."
    )
    max_watches: int = Field(
        1024, ge=1, le=8192, description="Watches of jobs one gateway serves at once, a small thread each."
    )
    idle_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="A call whose client sends nothing for this long is ended, or takes nothing for ten "
        "times as long.",
    )
    max_upload_bytes: int = Field(
        MAX_UPLOAD_BYTES,
        ge=1,
        le=MAX_UPLOAD_BYTES,
        description="Largest upload accepted, in bytes.",
    )
    max_rows: int = Field(MAX_ROWS, ge=1, le=MAX_ROWS, description="Most data rows of a table accepted.")
    max_job_cells: int = Field(
        0,
        ge=0,
        description="Most cells, complete rows times chosen columns, that a job clusters; 0: no limit.",
    )
    worker_slots: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="Bundles one worker process runs at once; default: its processors.",
    )
    lease_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="A claimed task falls back to PENDING after this, unless renewed.",
    )
    bundle_seconds: float = Field(
        1.5, gt=0, le=60, description="Work that travels in one message, at most about this long."
    )
    part_seconds: float = Field(
        60.0,
        gt=0,
        le=86400,
        description="A task thought to take longer is run in parts, each with some of its starts.",
    )
    sweep_seconds: float = Field(2.0, gt=0, le=600, description="Pause between two sweeps for what got lost.")
    republish_seconds: float = Field(
        120.0,
        gt=0,
        le=86400,
        description="A published task not claimed for this long is published again.",
    )
    orphan_seconds: float = Field(
        86400.0,
        ge=3600,
        le=31_536_000,
        description="What an upload that was cut off left behind is removed when it is older than this.",
    )
    orphan_sweep_seconds: float = Field(
        3600.0, ge=60, le=86400, description="Pause between two searches for such objects."
    )
    delivery_limit: int = Field(
        3,
        ge=1,
        le=100,
        description="Redeliveries of a failing bundle before its tasks become ERROR.",
    )
    startup_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="How long a process of its own waits at its start for the servers behind it.",
    )
    shutdown_grace_seconds: float = Field(
        25.0, gt=0, le=3600, description="Time to finish or hand back work after SIGTERM."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line written."
    )
    log_format: Literal["json", "text"] = Field("json", description="How log lines are written.")


def read_settings(**overrides: Any) -> Settings:
    """Read the environment; `overrides` win over it.

    Raises:
        InvalidInput: with one violation per wrong setting, naming its variable and never its value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        violations = [
            FieldViolation(
                f"KMEANS_{str(problem['loc'][0]).upper()}" if problem["loc"] else "KMEANS_*",
                f"KMEANS_{str(problem['loc'][0]).upper()}: {problem['msg']}.",
            )
            for problem in error.errors(include_input=False, include_url=False)
        ]
    # Raised outside the handler: the original error shows the values, which may be secrets.
    raise InvalidInput(
        " ".join(violation.description for violation in violations),
        "BAD_SETTINGS",
        violations=violations,
    )
