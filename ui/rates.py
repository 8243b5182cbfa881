"""How fast tasks end, and how long the rest will take."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Rate"]

_WINDOW_SECONDS = 15.0
_MIN_SECONDS = 0.5


@dataclass(slots=True)
class Rate:
    """Tasks per second over the last 15 seconds, from (seconds, tasks ended) as they were seen."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def see(self, seconds: float, ended: int) -> None:
        """Note that so many tasks had ended at this time; a retry makes fewer and starts anew."""
        if self._seen and ended < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((seconds, ended))
        while len(self._seen) > 2 and seconds - self._seen[1][0] >= _WINDOW_SECONDS:
            self._seen.popleft()

    def per_second(self, now: float) -> float | None:
        """Tasks per second up to `now`; None while too little was seen to tell."""
        if not self._seen:
            return None
        begun, first = self._seen[0]
        if now - begun < _MIN_SECONDS or self._seen[-1][1] == first:
            return None
        return (self._seen[-1][1] - first) / (now - begun)

    def seconds_left(self, now: float, remaining: int) -> float | None:
        """Until `remaining` tasks have ended, at this rate; None while nobody can tell."""
        rate = self.per_second(now)
        return None if rate is None else remaining / rate
