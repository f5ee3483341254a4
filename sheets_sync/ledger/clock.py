"""A clock that never goes back: law 2 orders facts by their times, and those that we see ourselves get them from us.

Clocks of machines do go back, a little whenever they are set right. Were an edit then written down as older than a
count that it followed, the count would be taken to have seen it, and the edit would be gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

log = structlog.get_logger()

MOST = timedelta(seconds=60)
"""A clock that goes back by more is followed: times of ours may differ from a vendor's by the clock allowance at most.
(`exchange.settle` sees to edits then.)
"""

_TICK = timedelta(microseconds=1)


class Steady:
    """`clock`, but never behind what it gave before, nor behind `floor`. Safe between threads.

    Where the clock went back, time goes on at half its pace until the clock has caught up: leases still run out, and
    what waits still comes.
    """

    def __init__(self, clock: Callable[[], datetime], floor: datetime | None = None) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._seen = self._now = datetime.min.replace(tzinfo=UTC)
        if floor is not None:
            self.not_before(floor)

    def __call__(self) -> datetime:
        with self._lock:
            before, self._seen = self._seen, self._clock()
            behind = self._now - self._seen
            if behind > MOST or behind <= timedelta():
                self._now = self._seen
            else:
                self._now += max((self._seen - before) / 2, _TICK)
            return self._now

    def not_before(self, moment: datetime) -> None:
        """Something was recorded at `moment`: whatever is seen from here on was seen later."""
        self()
        with self._lock:
            ahead = moment - self._now
            if timedelta() < ahead <= MOST:
                self._now = moment + _TICK
            if ahead > MOST:
                log.warning("clock.behind", newest=moment.isoformat(), by=str(ahead))
