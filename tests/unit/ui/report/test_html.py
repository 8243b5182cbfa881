"""The HTML file: complete, self-contained, and safe whatever the names are."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from kmeans.v1 import task_pb2
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from tests.unit.ui.report.conftest import HOSTILE, make_material
from ui.report.html import render
from ui.report.material import Material
from ui.report.sample import Sample


class Page(HTMLParser):
    """What a browser makes of a file, as far as it matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self._inside: list[str] = []
        self._script = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)
        if tag == "script":
            self._script = dict(attrs).get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] == "script":
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif not self._inside or self._inside[-1] != "style":
            self.text += data


@pytest.fixture
def page(material: Material) -> Page:
    return Page(render(material))


def test_it_holds_the_answer_and_every_plot(page: Page) -> None:
    words = " ".join(page.text.split())
    assert "2 clusters, full-untied" in words
    assert "2 of 102 rows <b>were</b> left out." in words
    assert "No task of this model counts: 3 have a cluster of fewer than 30 rows." in words
    assert "--seed 11" in words
    plots = {name.removeprefix("data-") for name in page.scripts if name.startswith("data-")}
    assert plots == {
        *("clusters", "bic", "aic", "counted", "correlation", "agreement", "sizes", "differences", "boxes"),
        *("parallel", "matrix"),
    }
    for name in plots:
        assert json.loads(page.scripts[f"data-{name}"])["data"]
        assert ("div", name) in {(tag, attributes.get("data-plot")) for tag, attributes in page.tags}


def test_plots_of_many_columns_say_that_they_show_some(labels: NDArray[np.int64]) -> None:
    names = [f"column {number}" for number in range(30)]
    values = np.random.default_rng(2).normal(size=(30, len(labels)))
    wide = Sample(np.arange(len(labels)), dict(zip(names, values, strict=True)), len(labels))
    clusters = [
        task_pb2.Cluster(
            label=label,
            count=50,
            weight=0.5,
            center=[10.0 * label if place == 29 else 0.0 for place in range(30)],
            standard_deviation=[1.0] * 30,
            covariance=np.eye(30).ravel().tolist(),
        )
        for label in range(2)
    ]
    page = Page(render(make_material(wide, labels, clusters)))
    words = " ".join(page.text.split())
    assert "These are the 12 columns that tell the clusters apart best, of 30." in words
    assert "These are the 24 columns that tell the clusters apart best, of 30." in words
    shown = [note["text"] for note in json.loads(page.scripts["data-boxes"])["layout"]["annotations"]]
    assert len(shown) == 12
    assert "column 29" in shown


def test_a_small_cluster_has_a_share_in_words_as_in_the_table(
    sample: Sample, labels: NDArray[np.int64], clusters: list[task_pb2.Cluster]
) -> None:
    clusters[0].count, clusters[1].count, clusters[1].weight = 996, 4, 0.004
    words = " ".join(Page(render(make_material(sample, labels, clusters))).text.split())
    assert words.count("0.4 %") == 2


def test_hostile_names_stay_text(page: Page) -> None:
    assert HOSTILE in page.text
    # Ours: the data of each plot, the themes, Plotly and what draws.
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    assert kinds.count(None) == 2
    assert not any("alert(" in text for name, text in page.scripts.items() if not name.startswith("data-"))
    assert not any("<script" in text for name, text in page.scripts.items() if name.startswith("data-"))
    # Plotly reads HTML in its texts, so there the name must be escaped once more.
    assert "<script" not in json.dumps(json.loads(page.scripts["data-boxes"])["layout"])


def test_it_asks_nothing_of_any_host(material: Material, page: Page) -> None:
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    outside = render(material).replace(get_plotlyjs(), "")
    assert re.findall(r"https?://", outside) == []
    assert render(material).count(get_plotlyjs()) == 1
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_without_any_fit_that_counts_it_says_so(
    sample: Sample, labels: NDArray[np.int64], clusters: list[task_pb2.Cluster]
) -> None:
    page = Page(render(make_material(sample, labels, clusters, qualifies=False)))
    assert "No fit has clusters of at least 30 members" in page.text
    assert "3 have a cluster of fewer than 30 rows" in page.text
    assert "data-bic" in page.scripts
    assert "data-clusters" not in page.scripts


def test_one_column_and_one_cluster(labels: NDArray[np.int64], sample: Sample) -> None:
    one = Sample(sample.rows, {"a": sample.columns["a"]}, sample.row_count)
    cluster = task_pb2.Cluster(
        label=0, count=100, weight=1, center=[1], standard_deviation=[2], covariance=[4]
    )
    page = Page(render(make_material(one, np.minimum(labels, 0), [cluster])))
    drawn: Any = json.loads(page.scripts["data-clusters"])
    assert {trace["type"] for trace in drawn["data"]} == {"bar"}
    assert "data-matrix" not in page.scripts
    assert "There is one cluster" in page.text
