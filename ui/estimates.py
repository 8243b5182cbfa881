"""How much work a job is, said before it is submitted."""

from __future__ import annotations

from kmeans.v1 import job_pb2

from ui.words import count, duration

__all__ = ["tasks_sentence", "time_sentence"]

_INSTANT_SECONDS = 1.0


def tasks_sentence(spec: job_pb2.JobSpec, planned_task_count: int) -> str:
    """What the tasks are, of a spec with every default filled in."""
    return (
        f"{count(planned_task_count, 'task')}: K from 1 to {spec.max_k}, "
        f"{count(spec.n_experiments, 'experiment')}, "
        f"{count(len(spec.covariances), 'covariance model')}; each the best of "
        f"{count(spec.n_init, 'start')}."
    )


def time_sentence(core_seconds: float) -> str:
    """What `estimated_core_seconds` means for somebody who waits."""
    if core_seconds < _INSTANT_SECONDS:
        return "About a second: the fits themselves need less than that."
    return (
        f"About {duration(core_seconds)} of computing on one core; workers with four cores between them "
        f"would take about {duration(core_seconds / 4)}. It is an estimate from the table's size: a slow or "
        "busy machine takes longer, and so does data whose clusters overlap."
    )
