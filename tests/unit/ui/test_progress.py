from __future__ import annotations

import re

from kmeans.v1 import job_pb2

from ui.views.progress import progress_html

COUNTS = job_pb2.TaskCounts(done=6, degenerate=1, error=1, running=1, pending=1, total=10)


def test_parts_are_as_wide_as_their_share_and_add_up() -> None:
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", progress_html(COUNTS, legend=False))]
    assert widths == [60, 10, 10, 10, 10]


def test_the_bar_is_described_in_words() -> None:
    assert "6 done, 1 degenerate, 1 error, 1 running, 1 pending" in progress_html(COUNTS, legend=False)
    assert "no tasks yet" in progress_html(job_pb2.TaskCounts(), legend=True)
