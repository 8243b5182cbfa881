"""The verdict: what came out beside what should have. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.schedule import Fault
from tests.chaos.workload import Fit, Results

__all__ = ["Verdict", "judge", "judge_watches"]

_FITTED = {"done", "degenerate"}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """Tasks that are not as they should be, and sentences about them and all else.

    Attributes:
        lost: tasks that are missing or have not ended.
        doubled: tasks that ended more than once, or that nobody planned.
        wrong: tasks whose result differs from the undisturbed one, in any bit.
    """

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    wrong: tuple[str, ...]
    complaints: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to complain about."""
        return not self.complaints


def judge(
    expected: Results, found: Results, ends_told: Sequence[Mapping[str, Collection[int]]] = ()
) -> Verdict:
    """Compare a job that was disturbed with one that was not.

    Args:
        ends_told: for each watcher, the revisions at which it was told that a task had ended.
    """
    lost = [
        task
        for task in expected.fits
        if task not in found.fits or found.fits[task].state in {"pending", "running"}
    ]
    told_twice = {
        task
        for told in ends_told
        for task, revisions in told.items()
        # Not told twice, but to the watcher another end than the store has: one of them was undone.
        if len(revisions) > 1 or task not in found.fits or set(revisions) != {found.fits[task].revision}
    }
    doubled = sorted(told_twice | (found.fits.keys() - expected.fits.keys()))
    wrong = [
        task
        for task, fit in expected.fits.items()
        if task not in lost
        and (fit.state, fit.scores, fit.model)
        != (found.fits[task].state, found.fits[task].scores, found.fits[task].model)
    ]
    complaints = [
        *_some("lost", lost),
        *_some("doubled", doubled),
        *(f"wrong: {task}: {_difference(expected, found, task)}" for task in wrong[:_SHOWN]),
        *(f"never claimed and yet ended: {task}" for task, fit in found.fits.items() if not _is_claimed(fit)),
    ]
    if found.n_counted != len(expected.fits):
        complaints.append(f"the job counts {found.n_counted} tasks, not {len(expected.fits)}.")
    for what, one, other in (
        ("state", expected.state, found.state),
        ("best task", expected.best, found.best),
        ("labels", expected.labels, found.labels),
    ):
        if one != other:
            complaints.append(f"the {what} of the job should be {one}, not {other}.")
    for number, told in enumerate(ends_told):
        missed = expected.fits.keys() - told.keys()
        complaints += _some(f"watcher {number} was not told the end of", sorted(missed))
    return Verdict(tuple(lost), tuple(doubled), tuple(wrong), tuple(complaints))


def judge_watches(struck: Collection[str], reconnections: int) -> tuple[str, ...]:
    """Complain when gateways ended under watches (these faults struck) and no watcher had to come back.

    It would mean that the watches were not there when it mattered.
    """
    ends = sorted(fault for fault in struck if fault in {Fault.KILL_GATEWAY, Fault.TERM_GATEWAY})
    return (f"no watcher came back after {', '.join(ends)}",) if ends and not reconnections else ()


def _is_claimed(fit: Fit) -> bool:
    return fit.attempts > 0 or fit.state not in _FITTED


def _difference(expected: Results, found: Results, task: str) -> str:
    one, other = expected.fits[task], found.fits[task]
    if one.state != other.state:
        return f"{other.state}, not {one.state}. {other.error}".strip()
    return f"{other.scores}, not {one.scores}" if one.scores != other.scores else "another model"


def _some(what: str, tasks: Sequence[str]) -> list[str]:
    more = f" and {len(tasks) - _SHOWN} more" if len(tasks) > _SHOWN else ""
    return [f"{what}: {', '.join(tasks[:_SHOWN])}{more}"] if tasks else []
