"""Plots of many points are drawn once, though Streamlit's page hands each to Plotly twice, then as a copy."""

from __future__ import annotations

import json

import numpy as np
from kmeans.v1 import task_pb2
from playwright.sync_api import Browser
from plotly.offline import get_plotlyjs

from tests.servers.browser import open_page
from ui.report import scatter
from ui.report.panels import Axis, Panel
from ui.report.theme import Theme

# Plotly computes its data anew whenever it draws them anew.
TWICE = """async (figures) => {
    const element = document.getElementById('plot'), seen = [];
    for (const text of figures) {
        const figure = JSON.parse(text);
        await Plotly.react(element, figure.data, {...figure.layout, width: 900});
        seen.push(element.calcdata);
    }
    return seen.slice(1).map((each, place) => each === seen[place]);
}"""


def _drawn(shift: float, theme: Theme = "light") -> str:
    values = np.linspace(0, 1, 3_000)
    labels = (np.arange(3_000) % 2).astype(np.int64)
    clusters = [
        task_pb2.Cluster(label=label, count=1_500, center=[0.5, 0.5], covariance=[0.1, 0.02, 0.02, 0.1])
        for label in range(2)
    ]
    panels = [Panel(f"fit {each}", labels, clusters, ["a", "b"]) for each in range(3)]
    drawn = scatter.grid(Axis("a", values), Axis("b", values**2 + shift), panels, theme=theme)
    assert {each["type"] for each in json.loads(drawn.to_json())["data"]} == {"scattergl"}
    return str(drawn.to_json())


def test_a_copy_of_a_plot_is_not_drawn_again_and_another_is(browser: Browser) -> None:
    with open_page(browser) as opened:
        opened.page.set_content('<div id="plot"></div>')
        opened.page.add_script_tag(content=get_plotlyjs())
        figures = [_drawn(0.0), _drawn(0.0), _drawn(0.25), _drawn(0.25)]
        assert opened.page.evaluate(TWICE, figures) == [True, False, True]
        # The ground of the other theme is drawn, whether its points are or not.
        opened.page.evaluate(TWICE, [_drawn(0.25, "dark")])
        assert opened.page.evaluate("document.getElementById('plot')._fullLayout.paper_bgcolor") == "#0E1117"
        assert opened.complaints == []
