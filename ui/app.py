"""What Streamlit runs: the pages, their addresses and what frames them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui import links
from ui.views import job, jobs, new_analysis

__all__ = ["main"]

# A file of ours: Streamlit would have the browser fetch an icon by name from an outside host.
_ICON = Path(__file__).with_name("icon.png")


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="K-Means Service", page_icon=_ICON, layout="wide")
    pages = [
        st.Page(
            new_analysis.show,
            title="New analysis",
            icon=":material/add_chart:",
            url_path=links.NEW_ANALYSIS,
            default=True,
        ),
        st.Page(jobs.show, title="Jobs", icon=":material/list_alt:", url_path=links.JOBS),
        st.Page(
            job.show, title="Job", icon=":material/scatter_plot:", url_path=links.JOB, visibility="hidden"
        ),
    ]
    links.remember_pages(pages)
    st.navigation(pages, position="top").run()


if __name__ == "__main__":
    main()
