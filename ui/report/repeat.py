"""How to get the same result again, bit for bit: a command, and the spec for programs."""

from __future__ import annotations

import csv
import io
import shlex

from google.protobuf import json_format
from kmeans.v1 import job_pb2

from kmeans_client import assignment_name, covariance_name

__all__ = ["command_line", "spec_json"]

_ALL_COVARIANCES = 6


def command_line(job: job_pb2.Job, file_name: str, min_members: int) -> str:
    """The `fit` command that repeats a job on the file it was given, quoted for a POSIX shell."""
    spec = job.spec
    words = ["kmeans-service", "fit", file_name if not file_name.startswith("-") else f"./{file_name}"]
    words += ["--columns", _comma_separated(list(spec.columns))]
    words += ["--max-k", str(spec.max_k), "--experiments", str(spec.n_experiments)]
    words += ["--n-init", str(spec.n_init)]
    if len(spec.covariances) < _ALL_COVARIANCES:
        words += ["--covariances", ",".join(covariance_name(value) for value in spec.covariances)]
    words += ["--assignment", assignment_name(spec.assignment)]
    if not spec.scale:
        words.append("--no-scale")
    words += ["--min-members", str(min_members), "--seed", str(spec.seed)]
    return shlex.join(words)


def spec_json(job: job_pb2.Job) -> str:
    """The job's spec in the JSON of its proto, as `CreateJob` takes it."""
    return json_format.MessageToJson(job.spec, preserving_proto_field_name=True, ensure_ascii=False)


def _comma_separated(names: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()
