"""Jobs created, listed, cancelled, retried and deleted through a real channel."""

from __future__ import annotations

import io
import uuid
from dataclasses import replace
from typing import Any

import grpc
import pytest
from kmeans.v1 import dataset_pb2, job_pb2, job_service_pb2, task_pb2

from kmeans_client import Client, KMeansError
from kmeans_client.errors import translated
from services.core.clock import utc_now
from services.core.jobs import JobEvent


def spec(dataset: dataset_pb2.Dataset, **fields: Any) -> job_pb2.JobSpec:
    return job_pb2.JobSpec(dataset=dataset.name, **fields)


def refusal(error: pytest.ExceptionInfo[KMeansError]) -> tuple[grpc.StatusCode, str]:
    return error.value.code, error.value.reason


def test_a_job_with_every_default(client: Client, backends: Any, dataset: dataset_pb2.Dataset) -> None:
    created = client.create_job(spec(dataset))
    job = created.job
    assert job.state == job_pb2.JOB_STATE_PENDING
    assert job.display_name == "three.csv"
    assert list(job.spec.columns) == ["a", "b"]
    assert len(job.spec.covariances) == 6
    assert (job.spec.max_k, job.spec.n_experiments, job.spec.n_init, job.spec.max_iter) == (10, 10, 10, 300)
    assert (job.spec.scale, job.spec.seed) == (True, 0)
    assert job.spec.assignment == job_pb2.ASSIGNMENT_LIKELIHOOD
    assert (job.row_count, job.skipped_row_count) == (148, 2)
    assert created.planned_task_count == 600
    assert created.estimated_core_seconds > 0
    assert client.get_job(job.name) == job
    assert backends.queue.receive_events(0) == (JobEvent(job.name.removeprefix("jobs/")),)


def test_validate_only_keeps_nothing(client: Client, backends: Any, dataset: dataset_pb2.Dataset) -> None:
    created = client.create_job(spec(dataset, max_k=3, n_experiments=2), validate_only=True)
    assert created.job.name == ""
    assert created.job.row_count == 148
    assert created.planned_task_count == 36
    assert created.estimated_core_seconds > 0
    assert list(client.list_jobs()) == []
    assert backends.queue.receive_events(0) == ()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"max_k": 0}, {"spec.max_k"}),
        (
            {"max_k": 51, "n_experiments": 101, "n_init": 2049},
            {"spec.max_k", "spec.n_experiments", "spec.n_init"},
        ),
        ({"max_iter": 0, "seed": -1}, {"spec.max_iter", "spec.seed"}),
        ({"covariances": [1, 1]}, {"spec.covariances[1]"}),
        ({"covariances": [0]}, {"spec.covariances[0]"}),
        ({"assignment": 9}, {"spec.assignment"}),
        ({"columns": ["a", "zz"]}, {"spec.columns[1]"}),
        ({"columns": ["farm"]}, {"spec.columns[0]"}),
        ({"columns": ["a", "b", "a"]}, {"spec.columns[2]"}),
        ({"columns": ["a", "flat"]}, {"spec.columns[1]"}),
    ],
)
def test_a_wrong_spec_names_every_field(
    client: Client, dataset: dataset_pb2.Dataset, fields: dict[str, Any], wrong: set[str]
) -> None:
    with pytest.raises(KMeansError) as refused:
        client.create_job(spec(dataset, **fields))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert {violation.field for violation in refused.value.violations} == wrong
    assert all(violation.description for violation in refused.value.violations)
    assert list(client.list_jobs()) == []


@pytest.mark.parametrize(
    ("columns", "place", "reason"),
    [
        (["a", "zz"], "[1]", "UNKNOWN_COLUMN"),
        (["farm"], "[0]", "TEXT_COLUMN"),
        (["a", "b", "a"], "[2]", "REPEATED_COLUMN"),
        (["a", "flat"], "[1]", "CONSTANT_COLUMN"),
    ],
)
def test_wrong_columns_have_a_reason_that_programs_can_act_on(
    client: Client, dataset: dataset_pb2.Dataset, columns: list[str], place: str, reason: str
) -> None:
    with pytest.raises(KMeansError) as refused:
        client.create_job(spec(dataset, columns=columns), validate_only=True)
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    (violation,) = refused.value.violations
    assert (violation.field, violation.reason) == (f"spec.columns{place}", reason)


@pytest.mark.parametrize(
    ("content", "columns", "reason"),
    [
        (b"a,b\n1,\n,2\n3,\n,5\n", ["a", "b"], "NO_COMPLETE_ROWS"),
        (b"a,b\nx,y\nz,w\n", [], "NO_COLUMNS"),
    ],
)
def test_tables_without_anything_to_cluster_have_a_reason(
    client: Client, content: bytes, columns: list[str], reason: str
) -> None:
    poor = client.upload_dataset(io.BytesIO(content), display_name="t")
    with pytest.raises(KMeansError) as refused:
        client.create_job(spec(poor, columns=columns))
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert [violation.field for violation in refused.value.violations] == ["spec.columns"]


def test_fewer_rows_than_clusters(client: Client) -> None:
    small = client.upload_dataset(io.BytesIO(b"a\n1\n2\n3\n"), display_name="t")
    with pytest.raises(KMeansError) as refused:
        client.create_job(spec(small))
    assert [violation.field for violation in refused.value.violations] == ["spec.max_k"]


def test_a_job_needs_a_dataset(client: Client) -> None:
    for name, code in (
        ("", grpc.StatusCode.INVALID_ARGUMENT),
        ("jobs/a", grpc.StatusCode.INVALID_ARGUMENT),
        ("datasets/a", grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(KMeansError) as refused:
            client.create_job(job_pb2.JobSpec(dataset=name))
        assert refused.value.code is code


def test_a_title_has_a_bound(client: Client, dataset: dataset_pb2.Dataset) -> None:
    with pytest.raises(KMeansError) as refused:
        client.create_job(spec(dataset), display_name="x" * 256)
    assert [violation.field for violation in refused.value.violations] == ["display_name"]


def test_the_same_request_id_is_one_job(client: Client, dataset: dataset_pb2.Dataset) -> None:
    request_id = str(uuid.uuid4())
    first = client.create_job(spec(dataset, max_k=4), request_id=request_id)
    assert client.create_job(spec(dataset, max_k=4), request_id=request_id) == first
    for changed in (
        {"spec": spec(dataset, max_k=5)},
        {"spec": spec(dataset, max_k=4), "display_name": "another"},
    ):
        for validate_only in (True, False):
            with pytest.raises(KMeansError) as refused:
                client.create_job(  # type: ignore[arg-type]
                    **changed, request_id=request_id, validate_only=validate_only
                )
            assert refusal(refused) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert client.create_job(spec(dataset, max_k=4), request_id=request_id, validate_only=True).job.name == ""
    with pytest.raises(KMeansError) as refused:
        client.create_job(spec(dataset), request_id="mine")
    assert refusal(refused) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST_ID")
    assert len(list(client.list_jobs())) == 1


def test_a_queue_that_does_not_answer_loses_no_job(
    client: Client, backends: Any, dataset: dataset_pb2.Dataset
) -> None:
    backends.queue.close()
    job = client.create_job(spec(dataset)).job
    assert client.cancel_job(job.name).state == job_pb2.JOB_STATE_CANCELLED


def test_jobs_are_listed_by_state_and_dataset(
    client: Client, jobs: Any, dataset: dataset_pb2.Dataset
) -> None:
    other = client.upload_dataset(
        io.BytesIO(b"a\n" + b"\n".join(b"%d" % i for i in range(20))), display_name="o"
    )
    first, second = (client.create_job(spec(dataset)).job.name for _ in range(2))
    third = client.create_job(spec(other)).job.name
    client.cancel_job(second)
    assert {job.name for job in client.list_jobs()} == {first, second, third}
    assert [job.name for job in client.list_jobs(dataset=other.name)] == [third]
    cancelled = client.list_jobs(states=[job_pb2.JOB_STATE_CANCELLED], dataset=dataset.name)
    assert [job.name for job in cancelled] == [second]
    page = jobs.ListJobs(job_service_pb2.ListJobsRequest(page_size=1, states=[1]))
    for request in ({"states": [1, 2]}, {"dataset": dataset.name}, {}):
        with pytest.raises(KMeansError) as refused, translated("here"):
            jobs.ListJobs(job_service_pb2.ListJobsRequest(page_token=page.next_page_token, **request))
        assert refusal(refused) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")
    for request, field in (({"states": [0]}, "states[0]"), ({"dataset": "x"}, "dataset")):
        with pytest.raises(KMeansError) as refused, translated("here"):
            jobs.ListJobs(job_service_pb2.ListJobsRequest(**request))
        assert [violation.field for violation in refused.value.violations] == [field]


def test_jobs_are_searched(client: Client, jobs: Any, dataset: dataset_pb2.Dataset) -> None:
    first, second, third = (
        client.create_job(spec(dataset), display_name=title).job.name
        for title in ("Süd 100 %", "süd 100 m", "Nord")
    )
    assert [job.name for job in client.list_jobs(query="SÜD")] == [second, first]
    assert [job.name for job in client.list_jobs(query="%")] == [first]
    assert [job.name for job in client.list_jobs(query=third)] == [third]
    assert list(client.list_jobs(query="x" * 255)) == []
    page = jobs.ListJobs(job_service_pb2.ListJobsRequest(page_size=1, query="süd"))
    assert [job.name for job in page.jobs] == [second]
    following = job_service_pb2.ListJobsRequest(page_token=page.next_page_token, query="süd")
    assert [job.name for job in jobs.ListJobs(following).jobs] == [first]
    for request, field in (
        ({"query": "nord", "page_token": page.next_page_token}, "page_token"),
        ({"page_token": page.next_page_token}, "page_token"),
        ({"query": "ü" * 256}, "query"),
    ):
        with pytest.raises(KMeansError) as refused, translated("here"):
            jobs.ListJobs(job_service_pb2.ListJobsRequest(**request))
        assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in refused.value.violations] == [field]


def test_a_job_runs_is_cancelled_and_deleted(
    client: Client, backends: Any, bench: Any, done: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(spec(dataset, max_k=2, n_experiments=1)).job.name
    keys = bench.start(name)
    bench.finish(keys[:5], done)
    job = client.get_job(name)
    assert job.state == job_pb2.JOB_STATE_RUNNING
    assert (job.task_counts.done, job.task_counts.pending, job.task_counts.total) == (5, 7, 12)
    assert job.HasField("start_time")
    assert not job.HasField("end_time")
    with pytest.raises(KMeansError) as refused:
        client.delete_job(name)
    assert refusal(refused) == (grpc.StatusCode.FAILED_PRECONDITION, "JOB_NOT_ENDED")
    job = client.cancel_job(name)
    assert job.state == job_pb2.JOB_STATE_CANCELLED
    assert (job.task_counts.done, job.task_counts.cancelled) == (5, 7)
    assert client.cancel_job(name) == job
    client.delete_job(name)
    with pytest.raises(KMeansError) as refused:
        client.get_job(name)
    assert refusal(refused) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")


def test_failed_tasks_are_retried(
    client: Client, backends: Any, bench: Any, done: Any, failed: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(spec(dataset, max_k=2, n_experiments=1)).job.name
    keys = bench.start(name)
    bench.finish(keys[:4], failed)
    bench.finish(keys[4:], done)
    bench.close(name)
    assert client.get_job(name).state == job_pb2.JOB_STATE_FAILED
    task = client.get_task(f"{name}/tasks/{keys[0].short_id}")
    assert (task.state, task.error) == (task_pb2.TASK_STATE_ERROR, "The worker ran out of memory.")
    backends.queue.receive_events(0)
    job = client.retry_job(name)
    assert (job.state, job.task_counts.pending) == (job_pb2.JOB_STATE_RUNNING, 4)
    assert len(backends.queue.receive_events(0)) == 1
    named = f"{name}/tasks/{keys[-1].short_id}"
    assert client.retry_job(name, [named]).task_counts.pending == 5


def test_a_cancelled_job_goes_on_where_it_was_stopped(
    client: Client, bench: Any, done: Any, failed: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(spec(dataset, max_k=2, n_experiments=1)).job.name
    keys = bench.start(name)
    bench.finish(keys[:3], done)
    bench.finish(keys[3:5], failed)
    client.cancel_job(name)
    job = client.retry_job(name)
    assert job.state == job_pb2.JOB_STATE_RUNNING
    assert (job.task_counts.done, job.task_counts.pending) == (3, 9)


def test_tasks_are_retried_by_state(
    client: Client, bench: Any, done: Any, failed: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(spec(dataset, max_k=2, n_experiments=1)).job.name
    keys = bench.start(name)
    bench.finish(keys[:3], done)
    bench.finish(keys[3:5], failed)
    client.cancel_job(name)
    named = f"{name}/tasks/{keys[0].short_id}"
    job = client.retry_job(name, [named], states=[task_pb2.TASK_STATE_ERROR])
    assert (job.task_counts.pending, job.task_counts.done, job.task_counts.cancelled) == (3, 2, 7)
    for states, field in (([0], "states[0]"), ([5, 2], "states[1]"), ([9], "states[0]")):
        with pytest.raises(KMeansError) as refused:
            client.retry_job(name, states=states)  # type: ignore[arg-type]
        assert [violation.field for violation in refused.value.violations] == [field]


def test_nothing_to_retry_says_so(
    client: Client, backends: Any, bench: Any, done: Any, dataset: dataset_pb2.Dataset
) -> None:
    def sentence(*arguments: Any, **options: Any) -> str:
        backends.queue.receive_events(0)
        before = client.get_job(name)
        with pytest.raises(KMeansError) as refused:
            client.retry_job(name, *arguments, **options)
        assert refusal(refused) == (grpc.StatusCode.FAILED_PRECONDITION, "NOTHING_TO_RETRY")
        assert client.get_job(name) == before
        assert backends.queue.receive_events(0) == ()
        return str(refused.value).replace(name, "J")

    name = client.create_job(spec(dataset, max_k=1, n_experiments=1)).job.name
    assert sentence() == "The tasks of 'J' are not planned yet; they will run."
    keys = bench.start(name)
    assert sentence() == "'J' is RUNNING and has no task in ERROR. Name tasks to run them again."
    assert sentence([f"{name}/tasks/{keys[0].short_id}"]) == (
        "The named tasks of 'J' have not ended; they will run."
    )
    bench.finish(keys, done)
    bench.close(name)
    assert "'J' is SUCCEEDED and has no task in ERROR." in sentence()
    assert "has no task in CANCELLED" in sentence(states=[task_pb2.TASK_STATE_CANCELLED])
    name = client.create_job(spec(dataset)).job.name
    client.cancel_job(name)
    assert "cancelled before its tasks were planned" in sentence()


def test_a_job_that_failed_in_planning_is_planned_again(
    client: Client, backends: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(spec(dataset)).job.name
    backends.store.fail_job(name.removeprefix("jobs/"), "It could not be planned.", utc_now())
    job = client.retry_job(name)
    assert (job.state, job.failure) == (job_pb2.JOB_STATE_PENDING, "")


def test_only_tasks_of_the_job_are_retried(client: Client, bench: Any, dataset: dataset_pb2.Dataset) -> None:
    name = client.create_job(spec(dataset, max_k=1)).job.name
    bench.start(name)
    for task, code in (
        ("jobs/other/tasks/0-1-full-tied", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{name}/tasks/0-1", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{name}/tasks/0-2-full-tied", grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(KMeansError) as refused:
            client.retry_job(name, [task])
        assert refused.value.code is code


def test_tasks_are_listed_by_key_or_score_and_filtered(
    client: Client, jobs: Any, bench: Any, done: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(spec(dataset, max_k=3, n_experiments=2)).job.name
    keys = bench.start(name)
    bench.finish(keys[:10], done)
    tasks = list(client.list_tasks(name))
    assert [task.name for task in tasks] == [f"{name}/tasks/{key.short_id}" for key in sorted(keys)]
    assert not any(task.clusters for task in tasks)
    best = [task.result.bic for task in client.list_tasks(name, best_first=True) if task.HasField("result")]
    assert best == sorted(best, reverse=True)
    assert len(best) == 10
    for order in (job_service_pb2.TASK_ORDER_UNSPECIFIED, job_service_pb2.TASK_ORDER_KEY):
        page = jobs.ListTasks(job_service_pb2.ListTasksRequest(parent=name, order=order, page_size=100))
        assert list(page.tasks) == tasks
    filtered = list(client.list_tasks(name, covariances=["diag-tied"], k=2, experiment=1))
    assert [task.name for task in filtered] == [f"{name}/tasks/1-2-diag-tied"]
    states = [task_pb2.TASK_STATE_DONE]
    assert len(list(client.list_tasks(name, states=states))) == 10
    request = job_service_pb2.ListTasksRequest(parent=name, page_size=7)
    seen = []
    while True:
        page = jobs.ListTasks(request)
        seen += [task.name for task in page.tasks]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == [task.name for task in tasks]
    for wrong, field in (
        ({"order": 9}, "order"),
        ({"states": [9]}, "states[0]"),
        ({"covariances": [0]}, "covariances[0]"),
        ({"parent": "jobs/"}, "parent"),
    ):
        with pytest.raises(KMeansError) as refused, translated("here"):
            jobs.ListTasks(job_service_pb2.ListTasksRequest(**{"parent": name, **wrong}))
        assert [violation.field for violation in refused.value.violations] == [field]


def test_somebody_elses_job_is_not_there(
    client: Client, backends: Any, bench: Any, dataset: dataset_pb2.Dataset
) -> None:
    job = bench.job(client.create_job(spec(dataset)).job.name)
    backends.store.insert_job(replace(job, id="theirs", owner="somebody", request_id=""))
    bench.start("jobs/theirs")
    for call in (
        lambda: client.get_job("jobs/theirs"),
        lambda: client.cancel_job("jobs/theirs"),
        lambda: client.retry_job("jobs/theirs"),
        lambda: client.delete_job("jobs/theirs"),
        lambda: client.get_report("jobs/theirs"),
        lambda: list(client.list_tasks("jobs/theirs")),
        lambda: list(client.watch_job("jobs/theirs")),
        lambda: list(client.stream_labels("jobs/theirs")),
        lambda: client.get_task("jobs/theirs/tasks/0-1-full-tied"),
        lambda: list(client.stream_labels("jobs/theirs/tasks/0-1-full-tied")),
    ):
        with pytest.raises(KMeansError) as refused:
            call()
        assert refusal(refused) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    assert len(list(client.list_jobs())) == 1
