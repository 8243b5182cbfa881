"""The embedded service as a program uses it, through a real channel."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from kmeans.v1 import job_pb2

from kmeans_client import Client
from services.core.settings import Settings
from services.embedded.service import EmbeddedService

TABLE = b"a,b\n" + b"".join(b"%d,%d\n" % (i % 7, i * i % 11) for i in range(80))
SPEC = {"max_k": 2, "n_experiments": 1, "n_init": 1}


def settings(home: Path, **more: object) -> Settings:
    return Settings.model_validate({"home": home, "worker_slots": 1, **more})


def fit(client: Client, dataset: str) -> job_pb2.Job:
    job = client.create_job(job_pb2.JobSpec(dataset=dataset, **SPEC)).job
    *_, last = client.watch_job(job.name)
    return last.job


def test_homes_that_share_a_folder_of_objects_leave_each_other_alone(tmp_path: Path) -> None:
    objects = f"file://{tmp_path / 'objects'}"
    first = settings(tmp_path / "first", objects_url=objects)
    with EmbeddedService(first) as service, Client(service.start("127.0.0.1:0")) as client:
        dataset = client.upload_dataset(io.BytesIO(TABLE), display_name="t.csv").name
    second = settings(tmp_path / "second", objects_url=objects)
    with EmbeddedService(second) as service, Client(service.start("127.0.0.1:0")) as client:
        assert list(client.list_datasets()) == []
    with EmbeddedService(first) as service, Client(service.start("127.0.0.1:0")) as client:
        assert fit(client, dataset).state == job_pb2.JOB_STATE_SUCCEEDED


def test_an_upload_that_was_interrupted_is_removed_at_the_next_start(tmp_path: Path) -> None:
    home = settings(tmp_path / "home")
    with EmbeddedService(home) as service, Client(service.start("127.0.0.1:0")) as client:
        kept = client.upload_dataset(io.BytesIO(TABLE), display_name="t.csv")
    objects = tmp_path / "home" / "objects"
    orphan = objects / "datasets" / "0123456789abcdef" / "original"
    orphan.parent.mkdir()
    orphan.write_bytes(TABLE)
    with EmbeddedService(home) as service, Client(service.start("127.0.0.1:0")) as client:
        assert not orphan.exists()
        assert fit(client, kept.name).state == job_pb2.JOB_STATE_SUCCEEDED


def test_a_start_that_fails_leaves_the_home_free(tmp_path: Path) -> None:
    home = settings(tmp_path / "home")
    with EmbeddedService(home) as taken:
        address = taken.start("127.0.0.1:0")
        other = EmbeddedService(settings(tmp_path / "other"))
        with pytest.raises(Exception, match="Cannot listen"):
            other.start(address)
        other.stop()
    with EmbeddedService(settings(tmp_path / "other")) as again:
        again.start("127.0.0.1:0")
