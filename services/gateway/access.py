"""What a caller may see: its own datasets and jobs, and of everybody else's not even the existence."""

from __future__ import annotations

import grpc

from services.core.datasets import Dataset
from services.core.errors import NotFound
from services.core.jobs import Job
from services.core.ports import Store
from services.core.tasks import Task, TaskKey
from services.gateway.authentication import Caller
from services.gateway.errors import CallEnded
from services.gateway.names import dataset_name, job_name, task_name

__all__ = ["Access", "caller_of", "check_still_wanted", "owner_of"]


def owner_of(context: grpc.ServicerContext) -> str:
    """Whom the call speaks for; "" while the service runs without tokens."""
    return caller_of(context).owner


def check_still_wanted(context: grpc.ServicerContext) -> None:
    """Raise CallEnded when the client has gone or its deadline has passed.

    Unauthenticated when its token was withdrawn meanwhile.
    """
    if not context.is_active():
        raise CallEnded("The client went away or its deadline passed; nothing was kept.")
    caller_of(context).check_welcome()


def caller_of(context: grpc.ServicerContext) -> Caller:
    """The call's context, as the interceptor passes it on."""
    if not isinstance(context, Caller):
        raise TypeError("nobody asked who calls: the interceptor is missing")
    return context


class Access:
    """Reads resources on behalf of an owner; a resource of another one is NotFound, word for word."""

    def __init__(self, store: Store) -> None:
        """Read from this store."""
        self._store = store

    def dataset(self, owner: str, dataset_id: str) -> Dataset:
        """The owner's dataset, or NotFound (`DATASET_NOT_FOUND`)."""
        try:
            dataset = self._store.get_dataset(dataset_id)
        except NotFound:
            dataset = None
        if dataset is None or dataset.owner != owner:
            name = dataset_name(dataset_id)
            raise NotFound(f"There is no dataset '{name}'.", "DATASET_NOT_FOUND", {"dataset": name})
        return dataset

    def job(self, owner: str, job_id: str) -> Job:
        """The owner's job, or NotFound (`JOB_NOT_FOUND`)."""
        try:
            job = self._store.get_job(job_id)
        except NotFound:
            job = None
        if job is None or job.owner != owner:
            name = job_name(job_id)
            raise NotFound(f"There is no job '{name}'.", "JOB_NOT_FOUND", {"job": name})
        return job

    def task(self, owner: str, key: TaskKey) -> Task:
        """A task of the owner's job, or NotFound (`JOB_NOT_FOUND`, `TASK_NOT_FOUND`)."""
        self.job(owner, key.job_id)
        try:
            return self._store.get_task(key)
        except NotFound as error:
            name = task_name(key)
            raise NotFound(f"There is no task '{name}'.", "TASK_NOT_FOUND", {"task": name}) from error
