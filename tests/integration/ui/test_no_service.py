"""Pages while no service answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.ui.conftest import as_read
from tests.servers.ports import choose_ports


@pytest.mark.parametrize("path", ["", "jobs", "job"])
def test_a_page_says_once_that_nobody_answers(
    open_page: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    nobody = f"127.0.0.1:{choose_ports(['nobody'])['nobody']}"
    monkeypatch.setenv("KMEANS_GATEWAY", nobody)
    app = open_page(path, **({"id": "0123456789abcdef"} if path == "job" else {}))
    (error,) = app.error
    assert f"No K-Means Service answers at {nobody}." in as_read(error.value)
    assert "UNKNOWN" not in error.value
    assert [button.label for button in app.button].count("Try again") == 1
    if path == "":
        # A sample needs the service as well: still one sentence, and no failure of the page.
        app.button("sample-wine").click().run()
        assert not app.exception
        assert len(app.error) == 1
        assert [button.label for button in app.button].count("Try again") == 1
