"""The report of a job: what it recommends, why, and what to take home."""

from __future__ import annotations

import streamlit as st
from kmeans.v1 import job_pb2, report_pb2

from kmeans_client import Client
from ui import address, links
from ui.report import agreement, summary
from ui.report.notes import warning_words
from ui.views import fetching, report_sections, take_away
from ui.words import plain

__all__ = ["read_min_members", "show"]

_DEFAULT_MIN_MEMBERS = 30
_INT32 = 2**31 - 1
_MIN_MEMBERS = "min_members"


def show(client: Client, job: job_pb2.Job) -> None:
    """Draw the report of a job, of what has ended so far while it runs."""
    answer, setting = st.columns([4, 1], gap="large", vertical_alignment="bottom")
    with setting:
        min_members = _choose_min_members()
    report = fetching.report(client, job, min_members)
    with answer:
        st.header(summary.headline(report), anchor=False)
        st.markdown(plain(summary.plain_words(job, report)))
        st.caption(plain(summary.subheadline(job, report)))
        if report.HasField("best"):
            ks = fetching.experiment_ks(client, job, min_members)
            if sentence := agreement.ks_sentence(ks, report.best.k):
                agree = len(set(ks)) == 1
                icon = ":material/check:" if agree else ":material/warning:"
                st.caption(f"{icon} {sentence}")
    _warnings(job, report)
    _cards(job, report)
    if report.HasField("best"):
        take_away.draw(client, job, report.best.task, min_members)
    report_sections.show(client, job, report)


def read_min_members(told: str) -> int:
    """The bound on the smallest cluster that an address tells; the service's default where it tells none."""
    try:
        return min(max(int(told), 1), _INT32)
    except ValueError:
        return _DEFAULT_MIN_MEMBERS


def _choose_min_members() -> int:
    told = address.follow(links.MIN_MEMBERS, _MIN_MEMBERS, read_min_members)
    min_members = int(
        st.number_input(
            "Smallest cluster",
            min_value=1,
            max_value=_INT32,
            value=told,
            key=_MIN_MEMBERS,
            help="Only fits whose every cluster has at least this many rows are recommended. Nothing is "
            "fitted again.",
        )
    )
    address.say(links.MIN_MEMBERS, str(min_members), str(_DEFAULT_MIN_MEMBERS))
    return min_members


def _warnings(job: job_pb2.Job, report: report_pb2.Report) -> None:
    for warning in report.warnings:
        text = plain(warning_words(warning.text))
        if warning.code != report_pb2.ReportWarning.CODE_BEST_AT_EDGE:
            kind = st.info if warning.code == report_pb2.ReportWarning.CODE_NO_FIT_QUALIFIES else st.warning
            kind(text, icon=":material/info:")
            continue
        more = summary.next_max_k(job.spec)
        with st.container(horizontal=True, vertical_alignment="center", key="best-at-edge"):
            st.warning(text, icon=":material/trending_up:")
            if more > job.spec.max_k and st.button(
                f"Run again with K up to {more}",
                icon=":material/replay:",
                key="run-with-more",
                help="Opens a new analysis filled in with this one's table and settings. Nothing starts "
                "before you say so.",
            ):
                spec = job_pb2.JobSpec()
                spec.CopyFrom(job.spec)
                spec.max_k = more
                links.run_again(spec)


def _cards(job: job_pb2.Job, report: report_pb2.Report) -> None:
    cards = summary.cards(report)
    for row in (cards[:3], cards[3:]):
        for place, card in zip(st.columns(3), row, strict=True):
            with place.container(border=True, height="stretch", key=f"card-{card.covariance}"):
                _card(job, card)
    st.caption(
        "One card per covariance model. Above, one covariance for all clusters (tied); below, one for each "
        "(untied). From left to right: full (any ellipse), diagonal (ellipses along the axes), spherical."
    )


def _card(job: job_pb2.Job, card: summary.Card) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**{card.covariance}**", width="content")
        if card.is_best:
            st.badge("best overall", icon=":material/star:", color="blue")
    if not card.task:
        st.caption(plain(card.note))
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(f"K = {card.k}", anchor=False, width="content")
        if st.button(
            "Look at it", key=f"look-{card.covariance}", type="tertiary", icon=":material/arrow_forward:"
        ):
            links.open_job(job.name, "task", card.task)
    behind = f", {card.behind}" if card.behind else ""
    lines = [f"BIC {card.bic}{behind}", f"smallest cluster {card.smallest} rows"]
    if card.at_edge:
        lines.append("K is at the edge of the range")
    st.caption("  \n".join(plain(line) for line in lines))
