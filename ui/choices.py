"""What a reader chose about each job, kept while the widgets that hold it are not on the page.

Streamlit forgets the value of a widget that one run does not draw: axes would be lost by a look at another
section, filters by a look at another view, all of it by a look at another job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import streamlit as st

__all__ = ["begin", "choice"]

T = TypeVar("T")

_KEPT = "kept-choices"
_OF = "kept-choices-of"
# Of a session that looks at one job after the other all day.
_MAX_JOBS = 50


def begin(job: str) -> None:
    """From here on the choices are about this job: its columns and its experiments are its own."""
    before = st.session_state.get(_OF, "")
    if before == job:
        return
    for key in _kept(before):
        st.session_state.pop(key, None)
    st.session_state[_OF] = job
    jobs = st.session_state[_KEPT]
    jobs[job] = jobs.pop(job, {})
    while len(jobs) > _MAX_JOBS:
        del jobs[next(iter(jobs))]


def choice(key: str, first: T, options: Sequence[T] = ()) -> T:
    """What a widget shows: `first`, and later what was chosen last; to be given to it as its first value.

    Without one, a browser that was clicked before a page was drawn to its end has forgotten what it showed.

    Args:
        key: of the widget.
        first: its value until somebody says otherwise.
        options: what can be chosen now; a choice that is no longer among them is given up.
    """
    kept = _kept(st.session_state.get(_OF, ""))
    chosen: T = st.session_state[key] if key in st.session_state else kept.get(key, first)
    if options and chosen not in options:
        chosen = first
    if key not in st.session_state or st.session_state[key] != chosen:
        # Only then: a value that is set anew at each run would overtake a reader who is quick.
        st.session_state[key] = chosen
    kept[key] = chosen
    return chosen


def _kept(job: str) -> dict[str, Any]:
    jobs: dict[str, dict[str, Any]] = st.session_state.setdefault(_KEPT, {})
    return jobs.setdefault(job, {})
