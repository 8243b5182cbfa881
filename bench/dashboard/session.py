"""One browser's session with the dashboard, without the browser: Streamlit's messages over its websocket.

It does what the page's own script does: asks for a run, repeats the parts that ask to be repeated, uploads a
file to the address that the server names, and clicks by sending a widget's new value.
"""

from __future__ import annotations

import asyncio
import http.client
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

__all__ = ["PageFailed", "Session", "open_session"]

_PATIENCE_SECONDS = 120.0
_PIECE_BYTES = 1 << 20
_BOUNDARY = "kmeans-bench-boundary"


class PageFailed(Exception):
    """The page drew an exception in place of what was asked for."""


class Session:
    """A session on one page; its widgets are known by the keys that the page gave them."""

    def __init__(self, socket: ClientConnection, url: str, page: str, query: str) -> None:
        self.url = url
        self.query = query
        self.repeated = 0
        self.plots = 0
        self.bars: list[str] = []
        self._socket = socket
        self._page = page
        self._script = ""
        self._id = ""
        self._elements: dict[str, object] = {}
        self._states: dict[str, WidgetState] = {}
        self._repeats: dict[str, asyncio.Task[None]] = {}
        self._files: asyncio.Future[FileURLs] | None = None
        self._drawn: asyncio.Future[None] | None = None
        self._address: asyncio.Future[str] | None = None

    async def show(self) -> float:
        """Run the whole page; seconds until it is drawn."""
        self._forget_repeats()
        self.plots = 0
        loop = asyncio.get_running_loop()
        self._drawn = loop.create_future()
        began = loop.time()
        await self._rerun()
        await asyncio.wait_for(self._drawn, _PATIENCE_SECONDS)
        return loop.time() - began

    async def choose(self, key: str, option: str) -> float:
        """Choose among the buttons of a group; seconds until the page is drawn."""
        group = self._elements[key]
        chosen = next(each.content for each in group.options if option in each.content)  # type: ignore[attr-defined]
        state = WidgetState(id=group.id)  # type: ignore[attr-defined]
        state.string_array_value.data.append(chosen)
        self._states[state.id] = state
        return await self.show()

    async def upload(self, key: str, file: Path) -> tuple[float, float]:
        """Put a file into an uploader; seconds until the dashboard has it, and then until it is drawn."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._files = loop.create_future()
        await self._send(
            BackMsg(
                file_urls_request={
                    "request_id": uuid.uuid4().hex,
                    "file_names": [file.name],
                    "session_id": self._id,
                }
            )
        )
        place = await asyncio.wait_for(self._files, _PATIENCE_SECONDS)
        await asyncio.to_thread(_put, self.url, place.upload_url, file)
        arrived = loop.time() - began
        state = WidgetState(id=self._elements[key].id)  # type: ignore[attr-defined]
        state.file_uploader_state_value.uploaded_file_info.add(
            file_id=place.file_id, name=file.name, size=file.stat().st_size, file_urls=place
        )
        self._states[state.id] = state
        return arrived, await self.show()

    async def download(self, key: str) -> tuple[float, int]:
        """Click a button that makes a file; seconds until the file is here, and its bytes."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._address = loop.create_future()
        button = self._elements[key]
        await self._send(
            BackMsg(
                backend_operation_request={
                    "request_id": uuid.uuid4().hex,
                    "session_id": self._id,
                    "deferred_file": {"file_id": button.deferred_file_id},  # type: ignore[attr-defined]
                }
            )
        )
        path = await asyncio.wait_for(self._address, _PATIENCE_SECONDS)
        size = await asyncio.to_thread(_get, self.url, path)
        return loop.time() - began, size

    async def listen(self) -> None:
        """Take what the server says, until the connection ends."""
        async for data in self._socket:
            assert isinstance(data, bytes)
            self._take(ForwardMsg.FromString(data))

    def close(self) -> None:
        self._forget_repeats()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "navigation":
            self._script = message.navigation.page_script_hash
        elif kind == "new_session":
            self._id = message.new_session.initialize.session_id or self._id
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "delta":
            self._see(message)
        elif kind == "auto_rerun":
            fragment = message.auto_rerun.fragment_id
            if fragment not in self._repeats:
                task = asyncio.create_task(self._repeat(fragment, message.auto_rerun.interval))
                self._repeats[fragment] = task
        elif kind == "file_urls_response" and self._files is not None:
            self._files.set_result(message.file_urls_response.file_urls[0])
        elif kind == "backend_operation_response" and self._address is not None:
            answer = message.backend_operation_response
            if answer.error_msg:
                self._address.set_exception(PageFailed(answer.error_msg))
            else:
                self._address.set_result(answer.deferred_file.url)
        elif kind == "script_finished":
            whole = message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
            if whole and self._drawn is not None and not self._drawn.done():
                self._drawn.set_result(None)

    def _see(self, message: ForwardMsg) -> None:
        if message.delta.WhichOneof("type") != "new_element":
            return
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        drawn = getattr(element, kind)
        if kind == "exception" and self._drawn is not None and not self._drawn.done():
            self._drawn.set_exception(PageFailed(f"{drawn.type}: {drawn.message}"))
        elif kind == "plotly_chart":
            self.plots += 1
        elif kind == "progress":
            self.bars.append(drawn.text)
        elif getattr(drawn, "id", "").startswith("$$ID-"):
            self._elements[drawn.id.split("-", 2)[2]] = drawn

    async def _repeat(self, fragment: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self.repeated += 1
            await self._rerun(fragment)

    def _forget_repeats(self) -> None:
        for task in self._repeats.values():
            task.cancel()
        self._repeats.clear()

    async def _rerun(self, fragment: str = "") -> None:
        state = ClientState(
            query_string=self.query,
            page_script_hash=self._script,
            page_name="" if self._script else self._page,
            fragment_id=fragment,
            is_auto_rerun=bool(fragment),
        )
        state.widget_states.widgets.extend(self._states.values())
        state.context_info.url = f"{self.url}/{self._page}"
        await self._send(BackMsg(rerun_script=state))

    async def _send(self, message: BackMsg) -> None:
        await self._socket.send(message.SerializeToString())


@asynccontextmanager
async def open_session(url: str, page: str = "", query: str = "") -> AsyncIterator[Session]:
    """A session on `url/page?query`; nothing is drawn before it is asked to."""
    address = f"ws://{urlsplit(url).netloc}/_stcore/stream"
    async with connect(address, subprotocols=["streamlit"], max_size=None, proxy=None) as socket:  # type: ignore[list-item]
        session = Session(socket, url, page, query)
        listening = asyncio.create_task(session.listen())
        try:
            yield session
        finally:
            session.close()
            listening.cancel()


def _put(url: str, path: str, file: Path) -> None:
    """Send the file as a form, in pieces, with the token that Streamlit's own page would show."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE_SECONDS)
    connection.request("GET", "/_stcore/health")
    answer = connection.getresponse()
    answer.read()
    cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{file.name}"; filename="{file.name}"\r\n'
        "Content-Type: text/csv\r\n\r\n"
    ).encode()
    tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
    connection.putrequest("PUT", path)
    connection.putheader("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}")
    connection.putheader("Content-Length", str(len(head) + file.stat().st_size + len(tail)))
    connection.putheader("Cookie", cookie)
    connection.putheader("X-Xsrftoken", cookie.partition("=")[2])
    connection.endheaders(head)
    with file.open("rb") as source:
        while piece := source.read(_PIECE_BYTES):
            connection.send(piece)
    connection.send(tail)
    answer = connection.getresponse()
    if answer.status >= http.client.BAD_REQUEST:
        raise PageFailed(f"upload: {answer.status} {answer.read()!r}")
    answer.read()
    connection.close()


def _get(url: str, path: str) -> int:
    """The bytes of a file, which is not kept."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE_SECONDS)
    connection.request("GET", path)
    answer = connection.getresponse()
    if answer.status >= http.client.BAD_REQUEST:
        raise PageFailed(f"download: {answer.status}")
    size = 0
    while piece := answer.read(_PIECE_BYTES):
        size += len(piece)
    connection.close()
    return size
