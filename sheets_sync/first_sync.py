"""After Start: how far each channel is with its first sync, and the primary marketplace's retirement after it.

Until every channel shows what the counts say, the primary is still the source that everything came from. Then it is
retired: an event in the ledger, and from there on a channel like the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from sheets_sync import offers
from sheets_sync.desk import RETIRED, STARTS, Desk, channel_state, remember
from sheets_sync.ledger import Tx, View
from sheets_sync.model import EVERY_SKU, Event, Fact, Kind


@dataclass
class Meter:
    """How many listings a first sync has to bring into step, and how many are left."""

    of: int
    left: int

    @property
    def words(self) -> str:
        """How far it is, for the Channels tab; "" once it is done."""
        return f"first sync: {self.of - self.left:,} of {self.of:,}" if self.left else ""


def is_done(view: View, channel: str) -> bool:
    """Whether a channel has been in step with the counts once since Start."""
    return bool(view.get(channel_state(channel), {}).get("first_sync"))


def waiting(plan: offers.Plan) -> int:
    """Listings that are yet to be written. One that its channel refused, or that is paused, holds nothing up."""
    steps = [*plan.lower, *plan.look, *plan.raise_, *(s for s in plan.left if s.listing.pending_job)]
    return sum(step.figure is not None and step.listing.pushable for step in steps)


def note(tx: Tx, desk: Desk, channel: str, meter: Meter) -> list[Event]:
    """Note how far a channel's first sync is; after the last one the primary is retired."""
    if meter.left:
        remember(tx, channel, progress=meter.words)
        return []
    remember(tx, channel, first_sync=desk.clock(), progress="")
    primary = desk.primary(tx)
    busy = [name for name, about in desk.settings.channels.items() if about.enabled and not is_done(tx, name)]
    if primary is None or busy or tx.get(RETIRED):
        return []
    tx.put(RETIRED, desk.clock().isoformat())
    remember(tx, primary, retired_at=desk.clock())
    title = desk.titles[primary]
    fact = Fact(
        f"retired:{tx.get(STARTS, 0)}:{primary}", EVERY_SKU, Kind.ADJUSTMENT, desk.clock(), source=primary,
        actor="Start", reference=f"{title} retired as primary",
    )  # fmt: skip
    return tx.append([fact])
