"""The second step: which columns and settings, how much work that is, and the button that starts it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import grpc
import streamlit as st
from kmeans.v1 import dataset_pb2, job_pb2, job_service_pb2

from kmeans_client import (
    Client,
    KMeansError,
    Violation,
    assignment_name,
    assignment_value,
    covariance_name,
    covariance_value,
)
from ui import links
from ui.columns import choose_columns, coordinates_sentence
from ui.estimates import tasks_sentence, time_sentence
from ui.violations import by_field, unplaced
from ui.words import count, plain

__all__ = ["read_seed", "show"]

_COVARIANCES = tuple(covariance_name(value) for value in job_pb2.Covariance.values() if value)
_ASSIGNMENTS = {
    "likelihood": "By likelihood: spread and size of a cluster count (recommended)",
    "mahalanobis": "By Mahalanobis distance alone: the classic rule, may not settle",
}
_CHECKED = "checked-spec"
_REQUEST = "form-request"
_MAX_SEED = (1 << 63) - 1
_NO_SEED = -1
# Fields of a JobSpec beside which the form shows what is wrong with them.
_FIELDS = (
    "columns",
    "max_k",
    "n_experiments",
    "n_init",
    "covariances",
    "assignment",
    "seed",
    "max_iter",
    "scale",
)


def show(client: Client, dataset: dataset_pb2.Dataset, prefill: job_pb2.JobSpec | None) -> None:
    """Draw the form of a dataset; filled in anew from `prefill` when there is one."""
    _fill_in(dataset, prefill)
    st.subheader("What to compute", anchor=False)
    error: KMeansError | None = st.session_state.get(_CHECKED, (b"", None, None))[2]
    wrong = by_field(error)
    spec, title = _form(dataset, wrong)
    answer, found = _check(client, spec)
    if by_field(found) != wrong:
        # The sentences belong beside fields that are drawn already.
        st.rerun()
    _submit(client, spec, title, answer, found)


def _key(name: str) -> str:
    return f"form-{name}"


def _fill_in(dataset: dataset_pb2.Dataset, prefill: job_pb2.JobSpec | None) -> None:
    """Set the form's first values, once per table: the service's defaults, or those of another job."""
    state = st.session_state
    if prefill is None and state.get("form-of") == dataset.name and _key("columns") in state:
        return
    state["form-of"] = dataset.name
    spec = prefill or job_pb2.JobSpec()
    defaults = [choice.name for choice in choose_columns(dataset.columns) if choice.is_chosen]
    values = {
        "columns": list(spec.columns) or defaults,
        "max_k": spec.max_k if spec.HasField("max_k") else 10,
        "n_experiments": spec.n_experiments if spec.HasField("n_experiments") else 10,
        "n_init": spec.n_init if spec.HasField("n_init") else 10,
        "covariances": [covariance_name(each) for each in spec.covariances] or list(_COVARIANCES),
        "assignment": assignment_name(spec.assignment) if spec.assignment else "likelihood",
        "scale": spec.scale if spec.HasField("scale") else True,
        "seed": str(spec.seed),
        "max_iter": spec.max_iter if spec.HasField("max_iter") else 300,
        "title": "",
    }
    for name, value in values.items():
        state[_key(name)] = value


def _form(dataset: dataset_pb2.Dataset, wrong: Mapping[str, str]) -> tuple[job_pb2.JobSpec, str]:
    columns = _columns(dataset, wrong)
    left, middle, right = st.columns(3, gap="medium")
    with left:
        max_k = st.number_input(
            "Most clusters (K)",
            1,
            50,
            key=_key("max_k"),
            help="Every number of clusters from 1 to this is tried. When the best is at this edge, try more.",
        )
        _complain(wrong, "max_k")
    with middle:
        experiments = st.number_input(
            "Experiments",
            1,
            100,
            key=_key("n_experiments"),
            help="Each fit is repeated as often, independently: it shows how sure the answer is.",
        )
        _complain(wrong, "n_experiments")
    with right:
        title = st.text_input(
            "Name of this analysis",
            key=_key("title"),
            placeholder=dataset.display_name,
            max_chars=255,
            help="To find it again.",
        )
    spec = job_pb2.JobSpec(
        dataset=dataset.name, columns=columns, max_k=int(max_k), n_experiments=int(experiments)
    )
    _advanced(spec, wrong)
    return spec, str(title or "")


def _columns(dataset: dataset_pb2.Dataset, wrong: Mapping[str, str]) -> list[str]:
    choices = choose_columns(dataset.columns)
    choosable = [choice.name for choice in choices if choice.is_choosable]
    columns = st.multiselect(
        "Columns to cluster on",
        choosable,
        key=_key("columns"),
        placeholder="Choose at least one" if choosable else "No column of this table can be clustered on",
        help="Columns of numbers that vary.",
    )
    if choosable:
        _complain(wrong, "columns")
    if sentence := coordinates_sentence(dataset.columns, columns):
        st.caption(f":material/map: {plain(sentence)}")
    if not choosable:
        st.warning(
            "This table has no column of numbers that vary, so there is nothing to cluster on. Choose "
            "another table, or write its numbers without units and other text.",
            icon=":material/block:",
        )
    others = [choice for choice in choices if not choice.is_choosable]
    if others:
        names = ", ".join(plain(choice.name) for choice in others[:8]) + (" …" if len(others) > 8 else "")
        st.caption(
            f":material/block: {count(len(others), 'column')} cannot be clustered on ({names}); "
            "the table above says why."
        )
    return list(columns)


def _advanced(spec: job_pb2.JobSpec, wrong: Mapping[str, str]) -> None:
    """Read the settings behind the fold into `spec`."""
    fields = ("covariances", "n_init", "assignment", "seed", "max_iter", "scale")
    with st.expander(
        "Advanced settings", icon=":material/tune:", expanded=any(name in wrong for name in fields)
    ):
        covariances = st.pills(
            "Shapes of clusters (covariance models)",
            _COVARIANCES,
            selection_mode="multi",
            key=_key("covariances"),
            help="full: any ellipse; diag: along the axes; spher: round. tied: the same for all clusters.",
        )
        _complain(wrong, "covariances")
        assignment = st.radio(
            "How a row is given to a cluster",
            list(_ASSIGNMENTS),
            format_func=_ASSIGNMENTS.__getitem__,
            key=_key("assignment"),
        )
        left, middle, right = st.columns(3, gap="medium")
        with left:
            spec.n_init = int(
                st.number_input(
                    "Starts per fit",
                    1,
                    2048,
                    key=_key("n_init"),
                    help="The best of so many random starts counts.",
                )
            )
            _complain(wrong, "n_init")
        with middle:
            spec.max_iter = int(
                st.number_input("Iterations per start, at most", 1, 10_000, key=_key("max_iter"))
            )
            _complain(wrong, "max_iter")
        with right:
            # A field of text: numbers of a browser are exact up to 2**53 only, and seeds go further.
            seed = st.text_input(
                "Seed", key=_key("seed"), help="The same seed gives the same result, bit for bit."
            )
            spec.seed = _NO_SEED if (read := read_seed(seed)) is None else read
            _complain(wrong, "seed")
        spec.scale = st.toggle(
            "Bring every column to mean 0 and variance 1 first",
            key=_key("scale"),
            help="Otherwise columns with large numbers count more where clusters are round.",
        )
    chosen = [covariance_value(name) for name in covariances or ()]
    spec.MergeFrom(job_pb2.JobSpec(covariances=chosen, assignment=assignment_value(str(assignment))))


def read_seed(text: str) -> int | None:
    """The seed that stands in the form; None where it is none."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or int(digits) > _MAX_SEED:
        return None
    return int(digits)


def _complain(wrong: Mapping[str, str], field: str) -> None:
    if field in wrong:
        st.error(plain(wrong[field]), icon=":material/error:")


def _check(
    client: Client, spec: job_pb2.JobSpec
) -> tuple[job_service_pb2.CreateJobResponse | None, KMeansError | None]:
    """What the service says of the spec; asked once per spec."""
    asked = spec.SerializeToString(deterministic=True)
    kept = st.session_state.get(_CHECKED)
    if kept is None or kept[0] != asked:
        try:
            kept = (asked, _validated(client, spec), None)
        except KMeansError as error:
            if not error.violations:
                raise
            kept = (asked, None, error)
        st.session_state[_CHECKED] = kept
    return kept[1], kept[2]


def _validated(client: Client, spec: job_pb2.JobSpec) -> job_service_pb2.CreateJobResponse:
    if spec.seed == _NO_SEED:
        raise _wrong("seed", f"The seed must be a whole number from 0 to {_MAX_SEED}.")
    if not spec.columns or not spec.covariances:
        # The service takes none for all of them; somebody who unticks everything does not.
        raise _nothing_chosen("columns" if not spec.columns else "covariances")
    return client.create_job(spec, validate_only=True)


def _nothing_chosen(field: str) -> KMeansError:
    what = {"columns": "column", "covariances": "covariance model"}[field]
    return _wrong(field, f"No {what} is chosen; choose at least one.")


def _wrong(field: str, sentence: str) -> KMeansError:
    return KMeansError(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", sentence, (Violation(f"spec.{field}", sentence),)
    )


def _request_id(spec: job_pb2.JobSpec, title: str) -> str:
    """One UUID for this form as it is filled in, so that clicking twice or trying again makes one job."""
    filled_in = (spec.SerializeToString(deterministic=True), title)
    kept = st.session_state.get(_REQUEST)
    if kept is None or kept[0] != filled_in:
        kept = (filled_in, str(uuid.uuid4()))
        st.session_state[_REQUEST] = kept
    return str(kept[1])


def _submit(
    client: Client,
    spec: job_pb2.JobSpec,
    title: str,
    answer: job_service_pb2.CreateJobResponse | None,
    error: KMeansError | None,
) -> None:
    with st.container(border=True):
        if answer is not None:
            st.markdown(f"**{tasks_sentence(answer.job.spec, answer.planned_task_count)}**")
            st.caption(time_sentence(answer.estimated_core_seconds))
            if skipped := answer.job.skipped_row_count:
                st.caption(
                    f"{count(skipped, 'row')} will be left out because a chosen column is missing there; "
                    f"{answer.job.row_count:,} are clustered."
                )
        elif other := unplaced(error, _FIELDS):
            st.error(plain(other), icon=":material/error:")
        else:
            st.markdown("Correct what is marked above first.")
        if st.button(
            "Start the analysis",
            type="primary",
            icon=":material/play_arrow:",
            disabled=answer is None,
            key="start",
        ):
            with st.spinner("Submitting"):
                request_id = _request_id(spec, title)
                job = client.create_job(spec, display_name=title.strip(), request_id=request_id).job
            del st.session_state[_REQUEST]
            links.open_job(job.name)
