"""`python -m bench.dashboard.lookers URL QUERY COUNT`: sessions that look at one page while they may.

A process of its own, so that the client that is measured meanwhile does not wait for them. Prints a line when
every session is drawn, and one with what it saw when its input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack

from bench.dashboard.session import open_session


async def look(url: str, query: str, count: int) -> None:
    async with AsyncExitStack() as opened:
        sessions = [await opened.enter_async_context(open_session(url, "job", query)) for _ in range(count)]
        drawn = await asyncio.gather(*(session.show() for session in sessions))
        print(json.dumps({"longest_first_page_seconds": max(drawn)}), flush=True)
        before, began = sum(session.repeated for session in sessions), time.perf_counter()
        await asyncio.to_thread(sys.stdin.read)
        repeated = sum(session.repeated for session in sessions) - before
        seen = {"refreshes_per_second": repeated / (time.perf_counter() - began)}
        print(json.dumps(seen), flush=True)


asyncio.run(look(sys.argv[1], sys.argv[2], int(sys.argv[3])))
