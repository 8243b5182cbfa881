"""The verdict finds what a good run must not have, and nothing in one that is good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.verdict import judge, judge_watches
from tests.chaos.workload import Fit, Results

FIT = Fit("done", "TaskResult(bic=-1.5)", "ab", attempts=1, revision=4)
EXPECTED = Results(
    "JOB_STATE_SUCCEEDED", {"0-1-full-tied": FIT, "0-2-full-tied": FIT}, "0-2-full-tied", "cd", n_counted=2
)
TOLD = {"0-1-full-tied": {4}, "0-2-full-tied": {4}}


def found(task: Fit | None = None, **fields: Any) -> Results:
    fits = {**EXPECTED.fits}
    if task is not None:
        fits["0-2-full-tied"] = task
    return replace(EXPECTED, **({"fits": fits} | fields))


def test_same_results_are_good_however_often_they_were_claimed() -> None:
    verdict = judge(EXPECTED, found(replace(FIT, attempts=5, revision=9)), [{**TOLD, "0-2-full-tied": {9}}])
    assert verdict.is_good
    assert (verdict.lost, verdict.doubled, verdict.wrong) == ((), (), ())


@pytest.mark.parametrize(
    "changed",
    [
        replace(FIT, scores="TaskResult(bic=-1.4999999999999998)"),
        replace(FIT, model="ac"),
        replace(FIT, state="degenerate"),
        replace(FIT, state="error", error="Given up."),
    ],
)
def test_any_other_bit_is_wrong(changed: Fit) -> None:
    verdict = judge(EXPECTED, found(changed))
    assert verdict.wrong == ("0-2-full-tied",)
    assert not verdict.is_good


def test_task_that_has_not_ended_or_is_missing_is_lost() -> None:
    assert judge(EXPECTED, found(replace(FIT, state="running"))).lost == ("0-2-full-tied",)
    missing = found(fits={"0-1-full-tied": FIT}, n_counted=1)
    assert judge(EXPECTED, missing).lost == ("0-2-full-tied",)


def test_task_that_ended_twice_is_doubled() -> None:
    told_twice = {**TOLD, "0-2-full-tied": {4, 7}}
    assert judge(EXPECTED, found(replace(FIT, revision=7)), [told_twice]).doubled == ("0-2-full-tied",)
    assert judge(EXPECTED, found(replace(FIT, revision=7)), [TOLD]).doubled == ("0-2-full-tied",)


def test_task_that_nobody_planned_is_doubled() -> None:
    more = found(fits={**EXPECTED.fits, "1-1-full-tied": FIT}, n_counted=3)
    assert judge(EXPECTED, more).doubled == ("1-1-full-tied",)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"state": "JOB_STATE_FAILED"}, "state of the job"),
        ({"best": "0-1-full-tied"}, "best task"),
        ({"labels": "ce"}, "labels"),
        ({"n_counted": 3}, "counts 3 tasks"),
    ],
)
def test_the_job_as_a_whole_counts_too(fields: dict[str, Any], sentence: str) -> None:
    (complaint,) = judge(EXPECTED, found(**fields)).complaints
    assert sentence in complaint


@pytest.mark.parametrize(
    ("struck", "reconnections", "complaints"),
    [
        ([], 0, ()),
        (["kill-worker"], 0, ()),
        (["kill-gateway", "kill-worker"], 2, ()),
        (["kill-worker", "kill-gateway"], 0, ("no watcher came back after kill-gateway",)),
    ],
)
def test_watchers_come_back_where_a_gateway_ended(
    struck: list[str], reconnections: int, complaints: tuple[str, ...]
) -> None:
    assert judge_watches(struck, reconnections) == complaints


def test_result_without_a_claim_and_an_end_not_told_are_complained_of() -> None:
    assert not judge(EXPECTED, found(replace(FIT, attempts=0))).is_good
    (complaint,) = judge(EXPECTED, found(), [{"0-1-full-tied": {4}}]).complaints
    assert "was not told the end of: 0-2-full-tied" in complaint
