"""What Streamlit runs: the pages, their addresses and what frames them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import Page

from ui import links
from ui.views import job, jobs, new_analysis

__all__ = ["main", "pages"]

# A file of ours: Streamlit would have the browser fetch an icon by name from an outside host.
_ICON = Path(__file__).with_name("icon.png")
# Lines of text stay short enough to be read on a wide screen; links stand where text stands. A card's K
# stands on one line with its button. Headings are no links. What is drawn anew each second
# does not fade meanwhile.
_STYLE = """<style>
[data-testid="stMainBlockContainer"] {max-width: 84rem;}
[data-testid="stPageLink-NavLink"] {padding-left: 0;}
[class*="st-key-card-"] h3 {padding: 0;}
[data-testid="stHeaderActionElements"] {display: none;}
[class*="st-key-live-"][data-stale="true"],
[class*="st-key-live-"] [data-stale="true"] {opacity: 1 !important;}
</style>"""


def pages() -> list[Page]:
    """Every page, the first one opened without a path."""
    return [
        st.Page(
            new_analysis.show,
            title="New analysis",
            icon=":material/add_chart:",
            url_path=links.NEW_ANALYSIS,
            default=True,
        ),
        st.Page(jobs.show, title="Jobs", icon=":material/list_alt:", url_path=links.JOBS),
        st.Page(job.show, title="Job", url_path=links.JOB, visibility="hidden"),
    ]


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="K-Means Service", page_icon=_ICON, layout="wide")
    st.html(_STYLE)
    mine = pages()
    links.remember_pages(mine)
    st.navigation(mine, position="top").run()


if __name__ == "__main__":
    main()
