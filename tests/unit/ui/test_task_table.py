from __future__ import annotations

import csv
import io

from kmeans.v1 import task_pb2

from ui.task_table import COLUMNS, TaskFilter, filter_tasks, task_frame, to_csv

DONE = task_pb2.Task(
    name="jobs/a/tasks/0-2-full-tied",
    experiment=0,
    k=2,
    covariance=2,
    state=task_pb2.TASK_STATE_DONE,
    result={"bic": -10.123456789012345, "aic": -9.0, "log_likelihood": -8.0, "counts": [7, 3], "n_iter": 4},
    attempt_count=1,
    end_time={"seconds": 9},
    compute_seconds=0.25,
)
DEGENERATE = task_pb2.Task(
    name="jobs/a/tasks/1-3-full-untied",
    experiment=1,
    k=3,
    covariance=1,
    state=task_pb2.TASK_STATE_DEGENERATE,
    result={"bic": -5.0, "counts": [9, 1, 0], "diagnosis": "Cluster 2 is empty."},
)
FAILED = task_pb2.Task(
    name="jobs/a/tasks/0-3-full-untied", k=3, covariance=1, state=task_pb2.TASK_STATE_ERROR, error="Broken."
)
WAITING = task_pb2.Task(
    name="jobs/a/tasks/1-1-full-tied", experiment=1, k=1, covariance=2, state=task_pb2.TASK_STATE_PENDING
)


def test_tasks_are_rows_in_the_order_of_experiment_k_and_covariance() -> None:
    frame = task_frame([WAITING, FAILED, DEGENERATE, DONE])
    assert tuple(frame.columns) == COLUMNS
    assert frame["task"].tolist() == [DONE.name, FAILED.name, WAITING.name, DEGENERATE.name]
    assert frame["state"].tolist() == ["done", "error", "pending", "degenerate"]
    assert frame["reason"].tolist() == ["", "Broken.", "", "Cluster 2 is empty."]
    assert frame["smallest_cluster"].tolist()[0] == 3
    assert frame["bic"].isna().tolist() == [False, True, True, False]


def test_every_part_of_a_filter_counts() -> None:
    frame = task_frame([WAITING, FAILED, DEGENERATE, DONE])

    def left(**wanted: object) -> set[str]:
        return set(filter_tasks(frame, TaskFilter(**wanted))["task"])  # type: ignore[arg-type]

    assert left() == {WAITING.name, FAILED.name, DEGENERATE.name, DONE.name}
    assert left(states=("error", "degenerate")) == {FAILED.name, DEGENERATE.name}
    assert left(covariances=("full-tied",)) == {DONE.name, WAITING.name}
    assert left(k_range=(2, 3), experiments=(1,)) == {DEGENERATE.name}


def test_the_download_keeps_every_digit_and_leaves_what_is_unknown_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(task_frame([DONE, FAILED])).decode())))
    assert float(rows[0]["bic"]) == DONE.result.bic
    assert rows[0]["seconds"] == "0.25"
    assert rows[1]["bic"] == ""
    assert rows[1]["reason"] == "Broken."


def test_a_job_without_tasks_has_an_empty_table() -> None:
    frame = task_frame([])
    assert frame.empty
    assert filter_tasks(frame, TaskFilter(states=("done",), k_range=(1, 2))).empty
