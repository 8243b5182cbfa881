"""Backends that can be handed out before they are open: until then every use of them says why not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, cast

from services.backends.assembly import Backends
from services.core.errors import StoreUnavailable, Unavailable
from services.core.ports import ObjectStore, Store, TaskQueue

__all__ = ["AwaitedBackends"]


class AwaitedBackends:
    """Three stand-ins, and behind them the three backends once these are open; safe on any thread."""

    def __init__(self) -> None:
        """Nothing is open yet, and nothing is known of why not."""
        self._opened: Backends | None = None
        self._failure: Unavailable = StoreUnavailable(
            "The service has only just begun, and waits for the servers behind it. Try again in a moment."
        )
        # They pass everything on, as the ports' own wrappers do; closing is for whoever opens the real ones.
        self.backends = Backends(
            cast(Store, _StandIn(lambda: self._current().store)),
            cast(TaskQueue, _StandIn(lambda: self._current().queue)),
            cast(ObjectStore, _StandIn(lambda: self._current().objects)),
            ExitStack(),
        )

    def note(self, failure: Unavailable) -> None:
        """From now on this is why they cannot be used."""
        self._failure = failure

    def open(self, backends: Backends) -> None:
        """From now on these are used."""
        self._opened = backends

    def _current(self) -> Backends:
        if self._opened is None:
            # A new one for each: callers on many threads would all add to the traceback of a single one.
            raise type(self._failure)(self._failure.message, self._failure.reason)
        return self._opened


class _StandIn:
    """Stands in for one backend."""

    def __init__(self, find: Callable[[], object]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)
