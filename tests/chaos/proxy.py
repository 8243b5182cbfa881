"""A TCP proxy on loopback whose connections can be cut, stalled, delayed, reset or answered falsely."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Proxy"]

_HOST = "127.0.0.1"
_CHUNK_BYTES = 1 << 16
_CONTROL_SECONDS = 10.0
# With a linger of zero, closing sends RST: what a crashed peer or a firewall's timeout looks like.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes bytes between clients and one server, from a thread of its own, until told otherwise.

    `cut`, `stall`, `delay` and `answer` hold until `mend`. All methods may be called from any thread.
    """

    def __init__(self, name: str, port: int, server_port: Callable[[], int]) -> None:
        """Listen on `port`, connect to `server_port()`, both on loopback; nothing happens before `start`."""
        self.name = name
        self.port = port
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{name}", daemon=True)
        # The loop's thread alone uses the rest.
        self._listener: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay_seconds = 0.0
        self._answer = b""
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def start(self) -> None:
        """Begin to listen; OSError when the port is taken."""
        self._thread.start()
        self._run(self._listen())

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._run(self._cut())

    def stall(self) -> None:
        """Hold back every byte, in both directions, of old connections and new ones."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def delay(self, seconds: float) -> None:
        """Pass every chunk on so many seconds later."""
        self._loop.call_soon_threadsafe(self._set, seconds, b"")

    def answer(self, response: bytes) -> None:
        """Answer whatever a client sends with these bytes, and hang up."""
        self._loop.call_soon_threadsafe(self._set, 0.0, response)

    def reset(self) -> None:
        """Reset every connection; new ones work."""
        self._run(self._reset())

    def mend(self) -> None:
        """Pass everything on again."""
        self._run(self._mend())

    def stop(self) -> None:
        """Reset every connection, listen no more and end the thread."""
        self._run(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CONTROL_SECONDS)
        self._loop.close()

    def _run(self, action: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(_CONTROL_SECONDS)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, _HOST, self.port, reuse_address=True)

    async def _cut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._reset()

    async def _reset(self) -> None:
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        connections = tuple(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _mend(self) -> None:
        self._set(0.0, b"")
        self._flowing.set()
        await self._listen()

    def _set(self, delay_seconds: float, answer: bytes) -> None:
        self._delay_seconds, self._answer = delay_seconds, answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelling this very task would make asyncio's own callback complain; the inner one is ours.
        connection = asyncio.create_task(self._connect(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        await asyncio.wait([connection])

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            from_server, upstream = await asyncio.open_connection(_HOST, self._server_port())
            self._writers.add(upstream)
            pumps = [
                asyncio.create_task(self._pump(reader, upstream, hears_client=writer)),
                asyncio.create_task(self._pump(from_server, writer)),
            ]
            try:
                # When one end hangs up, so does the other: none of the protocols here uses half of a line.
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            # The server is down: the client sees its connection close, as without a proxy.
            return
        finally:
            for each in (writer, upstream):
                if each is not None:
                    self._writers.discard(each)
                    each.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        hears_client: asyncio.StreamWriter | None = None,
    ) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await self._flowing.wait()
            if self._answer and hears_client is not None:
                hears_client.write(self._answer)
                await hears_client.drain()
                return
            writer.write(chunk)
            await writer.drain()
