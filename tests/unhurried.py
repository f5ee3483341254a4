"""Adapters that do not keep themselves back: for local shops that take as many calls as come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sheets_sync.channels.http import Limiter


class Unhurried(Limiter):
    """In place of an adapter's rate limit: nobody waits."""

    def __init__(self) -> None:
        super().__init__(1e9, 1e9)

    def acquire(self, units: float = 1.0) -> None:
        pass

    def at_rate(self, rate: float) -> None:
        pass

    def left(self, units: float, *, rate: float | None = None, burst: float | None = None) -> None:
        pass

    def ready_in(self, units: float = 1.0) -> float:
        return 0.0


def parts(owner: Any) -> Iterator[tuple[Any, str, Any]]:
    """Everything that an adapter is made of: whose it is, under what name, and the thing itself."""
    for name, held in list(vars(owner).items()):
        yield owner, name, held
        if type(held).__module__.startswith("sheets_sync.channels."):
            yield from parts(held)


def unhurried(channel: Any) -> None:
    """Take the limits from an adapter."""
    for owner, part, held in list(parts(channel)):
        if isinstance(held, Limiter):
            setattr(owner, part, Unhurried())
