"""The first step: a file to upload, a sample to try, or a table that is there already."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import TimeoutError as NotYet
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import streamlit as st
from kmeans.v1 import dataset_pb2

from kmeans_client import Client, KMeansError, Unreachable
from ui.samples import SAMPLES, Sample, sample_path, sample_request_id
from ui.uploads import Upload
from ui.words import age, count, moment, plain, size

__all__ = ["show"]

_UPLOAD = "upload"
_UPLOADER = "uploader-number"
_REFUSED = "upload-refused"
_LOOK_SECONDS = 0.2
_EARLIER = 200
_TYPES = ("csv", "tsv", "txt", "gz", "parquet")


def show(client: Client) -> None:
    """Draw the three ways to a table."""
    with st.container(border=True):
        st.subheader("Upload a table", anchor=False)
        _upload(client)
    st.subheader("Or try a sample", anchor=False)
    for sample, place in zip(SAMPLES, st.columns(len(SAMPLES), gap="medium"), strict=True):
        with place.container(border=True, height="stretch"):
            _sample(client, sample)
    earlier = list(islice(client.list_datasets(), _EARLIER))
    if earlier:
        st.subheader("Or go on with an earlier table", anchor=False)
        _earlier(earlier)


def _use(dataset: str) -> None:
    st.session_state.pop(_REFUSED, None)
    st.query_params["dataset"] = dataset.removeprefix("datasets/")
    st.rerun()


def _upload(client: Client) -> None:
    number = st.session_state.get(_UPLOADER, 0)
    file = st.file_uploader(
        "CSV, TSV, gzip of either, or Parquet; at most 1 GiB and 256 columns. The first row names them.",
        type=_TYPES,
        key=f"uploader-{number}",
    )
    if refused := st.session_state.get(_REFUSED):
        st.error(refused, icon=":material/error:")
    if file is None:
        return
    upload: Upload | None = st.session_state.get(_UPLOAD)
    if upload is None or upload.file_id != file.file_id:
        upload = Upload(file.file_id, file.name, file.size)
        st.session_state[_UPLOAD] = upload
        st.session_state.pop(_REFUSED, None)
        upload.start(client, file, str(uuid.uuid4()))
    try:
        dataset = _await(upload)
    except (KMeansError, OSError) as error:
        st.session_state[_REFUSED] = f"{plain(upload.name)} was not accepted. {plain(str(error))}"
        _forget_file(number)
        st.rerun()
    _forget_file(number)
    _use(dataset.name)


def _forget_file(number: int) -> None:
    """Another uploader takes its place, so that the server lets go of the file's bytes."""
    st.session_state[_UPLOADER] = number + 1
    st.session_state.pop(_UPLOAD, None)


def _await(upload: Upload) -> dataset_pb2.Dataset:
    bar = st.progress(0.0, text=f"Sending {plain(upload.name)}")
    began = time.monotonic()
    while True:
        try:
            return upload.future.result(timeout=_LOOK_SECONDS)
        except NotYet:
            seconds = time.monotonic() - began
            text = (
                f"Reading the table ({seconds:.0f} s)"
                if upload.is_sent
                else f"Sending {plain(upload.name)}: {size(upload.sent_bytes)} of {size(upload.total_bytes)}"
            )
            bar.progress(upload.share, text=text)


def _sample(client: Client, sample: Sample) -> None:
    st.markdown(f"**{sample.title}**")
    st.caption(sample.text)
    if not st.button("Try it", key=f"sample-{Path(sample.file).stem}", icon=":material/science:"):
        return
    path = sample_path(sample)
    try:
        with st.spinner("Reading the table"):
            dataset = client.upload_dataset(path, request_id=sample_request_id(path))
    except Unreachable:
        # Nothing else on the page works then either, and the page says so once.
        raise
    except KMeansError as error:
        st.error(plain(error.message), icon=":material/error:")
        return
    _use(dataset.name)


def _earlier(datasets: list[dataset_pb2.Dataset]) -> None:
    now = datetime.now(UTC)
    words = {
        each.name: f"{each.display_name}: {count(each.row_count, 'row')}, "
        f"{count(len(each.columns), 'column')}, {age(moment(each.create_time), now)}"
        for each in datasets
    }
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Table", list(words), format_func=words.__getitem__, label_visibility="collapsed", width=520
        )
        if st.button("Use it", key="use-earlier", icon=":material/arrow_forward:") and name:
            _use(name)
