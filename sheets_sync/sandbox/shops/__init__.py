"""Local shops, one file a vendor. Each speaks its vendor's own wire protocol; adapters reach it by base URL alone."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from sheets_sync.sandbox import VENDORS
from sheets_sync.sandbox.shops._common import Clock, Running, Seed, utc_now

__all__ = ["VENDORS", "Running", "Seed", "serve"]


def serve(
    vendor: str, data: Path | None, port: int = 0, *, seed: Sequence[Seed] | None = None, clock: Clock = utc_now
) -> Running:
    """Start the local shop of `vendor`; it listens when this returns. `data` is its file (None: in memory)."""
    if vendor not in VENDORS:
        raise ValueError(f"no local shop called '{vendor}'; there are: {', '.join(VENDORS)}")
    module = import_module(f"sheets_sync.sandbox.shops.{vendor}")
    running: Running = module.serve(data, port, seed=seed, clock=clock)
    return running
