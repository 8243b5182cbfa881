"""A page in a real browser that hears every complaint and every request to an outside host."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.servers.chromium import ARGUMENTS, provide_chromium

__all__ = ["SCREENSHOTS", "Watched", "open_browser", "open_page"]

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"

_PATIENCE_MS = 60_000
_LOOPBACK = {"127.0.0.1", "localhost", ""}
_HEIGHT = 900
_TALLEST = 3200
# Opened at /jobs, Streamlit's page asks there for its server first, is told 404, and then asks at /.
_LOOKS_FOR_ITSELF = re.compile(r"//[^/]+/[a-z]+/_stcore/(health|host-config)$")


@dataclass
class Watched:
    """A page, and what it should not have done so far."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def screenshot(self, name: str) -> Path:
        """Write the whole page to build/screenshots/NAME.png; the page is as it was afterwards."""
        size = self.page.viewport_size or {"width": 1280, "height": _HEIGHT}
        height = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        self.page.set_viewport_size({**size, "height": max(_HEIGHT, min(height, _TALLEST))})
        # Two frames: one to lay the page out anew, one to draw the plots in their new places.
        self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => setTimeout(r, 400)))")
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, animations="disabled")
        self.page.set_viewport_size(size)
        return path

    def overflow_px(self) -> int:
        """How far the page is wider than its window."""
        return int(
            self.page.evaluate(
                "(() => {const m = document.querySelector('[data-testid=stMain]');"
                "return Math.max(m.scrollWidth - m.clientWidth,"
                " document.documentElement.scrollWidth - window.innerWidth)})()"
            )
        )


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium; ServerMissing when there is none to be had."""
    chromium = provide_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.program,
            args=list(ARGUMENTS),
            env={**os.environ, **chromium.environment},
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, *, width: int = 1280, dark: bool = False) -> Iterator[Watched]:
    """A page of its own session."""
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": _HEIGHT},
        color_scheme="dark" if dark else "light",
        accept_downloads=True,
        reduced_motion="reduce",
    )
    context.set_default_timeout(_PATIENCE_MS)
    watched = Watched(context.new_page())

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            where = str(message.location.get("url", ""))
            if _LOOKS_FOR_ITSELF.search(where):
                return
            watched.complaints.append(f"console: {message.text} ({where})")

    def see(request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme in {"http", "https", "ws", "wss"} and url.hostname not in _LOOPBACK:
            watched.complaints.append(f"request to {request.url}")

    watched.page.on("console", hear)
    watched.page.on("request", see)
    watched.page.on("pageerror", lambda error: watched.complaints.append(f"page: {error}"))
    try:
        yield watched
    finally:
        context.close()
