"""S5: a Reason or Note typed after its edit becomes a remark that names that event; later it is only flagged.

`Standing` remembers since when a text has stood in a row without a change. It lives in memory: losing it only gives the
text more time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from sheets_sync.edits import NOTE, REASON
from sheets_sync.model import Cell, Event, Fact, Kind

AFTER_EDIT = timedelta(minutes=15)


@dataclass
class Standing:
    """Texts that stand in rows without a change: SKU -> (Reason, Note), since when, and over how many looks."""

    since: dict[str, tuple[tuple[str, str], datetime, int]] = field(default_factory=dict)

    def seen(self, notes: Mapping[str, tuple[str, str]], now: datetime) -> None:
        """Take in what a look found."""
        before, self.since = self.since, {}
        for sku, texts in notes.items():
            old = before.get(sku)
            kept = old is not None and old[0] == texts
            self.since[sku] = (texts, old[1], old[2] + 1) if kept and old is not None else (texts, now, 1)

    def settled(self) -> dict[str, tuple[str, str]]:
        """What has stood unchanged over two looks: it is no longer being typed."""
        return {sku: texts for sku, (texts, _, looks) in self.since.items() if looks > 1}

    def late(self, now: datetime) -> dict[str, tuple[str, str]]:
        """What has stood for too long to belong to an edit that is about to be typed."""
        return {sku: texts for sku, (texts, at, _) in self.since.items() if now - at > AFTER_EDIT}


def remarks(
    notes: Mapping[str, tuple[str, str]], edited: Mapping[str, Event], now: datetime
) -> Iterator[tuple[Fact, list[dict[str, Cell]]]]:
    """The remark on each SKU's last edit, where that is recent, and the cells to be cleared for it."""
    for sku, (reason, note) in notes.items():
        event = edited.get(sku)
        if event is None or now - event.recorded_at > AFTER_EDIT:
            continue
        mark = sha256(f"{reason}\n{note}".encode()).hexdigest()[:12]
        fact = Fact(
            f"remark:{event.id}:{mark}", sku, Kind.ADJUSTMENT, event.fact.occurred_at, source="sheet",
            reference=f"remark on event {event.id}", reason=reason, note=note,
        )  # fmt: skip
        texts = ((REASON, reason), (NOTE, note))
        group = f"remark:{event.id}:{mark}"
        clear: list[dict[str, Cell]] = [
            {"sku": sku, "column": column, "value": None, "expect": text, "group": f"{group}:{column}"}
            for column, text in texts
            if text
        ]
        yield fact, clear
