"""Between domain values and proto messages, both ways."""

from services.gateway.messages.datasets import correlation_message, dataset_message, sample_message
from services.gateway.messages.enums import (
    ASSIGNMENTS,
    COVARIANCES,
    JOB_STATES,
    TABLE_FORMATS,
    TASK_STATES,
)
from services.gateway.messages.jobs import job_message, read_spec, spec_message
from services.gateway.messages.reports import agreement_message, report_message
from services.gateway.messages.tasks import cluster_messages, result_message, task_message

__all__ = [
    "ASSIGNMENTS",
    "COVARIANCES",
    "JOB_STATES",
    "TABLE_FORMATS",
    "TASK_STATES",
    "agreement_message",
    "cluster_messages",
    "correlation_message",
    "dataset_message",
    "job_message",
    "read_spec",
    "report_message",
    "result_message",
    "sample_message",
    "spec_message",
    "task_message",
]
