"""The Listings tab: which SKU a listing counts as, and how it is offered, as people set it. Pure.

A listing is matched by the SKU that it carries on its channel, or by a person's word, and never by guess: what is not
matched gets a suggestion, no more. `read` turns a row's cells into settings, or says what is wrong with them; `apply`
puts settings on a listing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sheets_sync import names, offers
from sheets_sync.model import Cell, Listing

SKU, PACK_SIZE, HOLD_BACK, MAX, PAUSED = "SKU", "Pack size", "Hold back", "Max", "Paused"
TYPED = (SKU, PACK_SIZE, HOLD_BACK, MAX, PAUSED)
YES, NO = "yes", "no"


@dataclass(frozen=True)
class Settings:
    """What people set for one listing. Blank means: as the listing's own SKU and its channel have it."""

    sku: str | None = None
    pack_size: int = 1
    hold_back: int | None = None
    most: int | None = None
    paused: bool = False


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row; nothing of it is taken."""

    says: str


def read(cells: Mapping[str, Cell]) -> Settings | Problem:
    """A row's settings, or the first thing that is wrong with them."""
    pack, hold, most = (_units(cells.get(name)) for name in (PACK_SIZE, HOLD_BACK, MAX))
    for name, units, least in ((PACK_SIZE, pack, 1), (HOLD_BACK, hold, 0), (MAX, most, 0)):
        if isinstance(units, str) or (units is not None and units < least):
            return Problem(f"? {name} is {cells.get(name)}: type a whole number from {least} on, or clear it")
    paused = cells.get(PAUSED)
    word = str(paused).strip().casefold() if paused is not None else NO
    if word not in (YES, NO, "true", "false"):
        return Problem(f"? Paused is {paused}: choose yes, or clear it")
    sku = cells.get(SKU)
    if sku is not None and not isinstance(sku, str):
        return Problem(
            f"? The SKU {sku} is a number here, so leading zeros may be lost. Format the cell as plain text."
        )
    assert not isinstance(pack, str) and not isinstance(hold, str) and not isinstance(most, str)
    return Settings((sku or "").strip() or None, 1 if pack is None else pack, hold, most, word in (YES, "true"))


def _units(cell: Cell) -> int | str | None:
    if cell is None or (type(cell) is int and not isinstance(cell, bool)):
        return cell
    text = str(cell).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else (text or None)


def settings_of(item: Listing) -> Settings:
    """What is set for a listing now."""
    return Settings(item.mapped, item.pack_size, item.held_back, item.most, item.paused)


def cells_of(item: Listing) -> dict[str, Cell]:
    """The same as a person's cells, for a row that is added."""
    said = settings_of(item)
    return {
        SKU: said.sku, PACK_SIZE: said.pack_size if said.pack_size != 1 else None, HOLD_BACK: said.hold_back,
        MAX: said.most, PAUSED: YES if said.paused else None,
    }  # fmt: skip


def apply(item: Listing, wanted: Settings, channel_holds_back: int, *, own_is_known: bool) -> Listing:
    """The listing with these settings. Without a person's SKU it counts as its own, where that is known."""
    own = item.remote_sku if own_is_known else None
    sku = wanted.sku or (own if item.mapped is not None else item.sku or own)
    return replace(
        item,
        mapped=wanted.sku,
        sku=sku,
        pack_size=wanted.pack_size,
        held_back=wanted.hold_back,
        hold_back=channel_holds_back if wanted.hold_back is None else wanted.hold_back,
        most=wanted.most,
        paused=wanted.paused,
    )


# what a row says ------------------------------------------------------------------------------------------------


def state(item: Listing, available: int | None, suggestion: str, *, enabled: bool) -> str:
    """How a listing stands, in words."""
    if item.sku is None and item.why_not and not suggestion:
        return f"not matched, and not pushed: {item.why_not}"
    if item.sku is None:
        said = "not matched" if item.remote_sku else "not matched, and it has no SKU there"
        do = f"add {item.remote_sku} in Stock, or type the SKU that it counts as"
        other = "give it one there, or type the SKU that it counts as"
        return f"{said}. {suggestion}" if suggestion else f"{said}: {do if item.remote_sku else other}"
    if not item.pushable:
        return f"shown, not pushed: {item.why_not}" if item.why_not else "shown, not pushed"
    if not enabled:
        return "its channel is disabled: not pushed"
    if available is None:
        return "its SKU has no count yet: not pushed"
    if item.error:
        return f"refused: {item.error}"
    if item.paused:
        return "paused: lowered when it has to be, never raised"
    return "in step" if offers.offer(available, item) == offers.expected(item) else "out of step"


class Suggestions:
    """What an unmatched listing may be, by what is matched already: one barcode, one look of the SKU, one title."""

    def __init__(self, matched: Iterable[Listing]) -> None:
        self._by: dict[str, dict[str, set[str]]] = {
            "barcode": defaultdict(set),
            "SKU": defaultdict(set),
            "title": defaultdict(set),
        }
        for item in matched:
            if item.sku is None:
                continue
            for how, key in marks(item, item.sku).items():
                self._by[how][key].add(item.sku)

    def of(self, item: Listing) -> str:
        """In words, with the reason; "" where nothing, or more than one thing, fits."""
        for how, key in marks(item, item.remote_sku or "").items():
            found = self._by[how].get(key, set()) - {item.remote_sku}
            if len(found) == 1:
                alike = "a SKU that looks alike" if how == "SKU" else f"the same {how}"
                return f"Is it {next(iter(found))}? It has {alike}: type that under SKU if so"
        return ""


def marks(item: Listing, sku: str) -> dict[str, str]:
    """What may tell that a listing is another one's twin: by its kind."""
    title = " ".join(sorted(item.title.casefold().replace(",", " ").split()))
    found = {"barcode": names.bare(item.barcode), "SKU": names.form(sku, separators=False), "title": title}
    return {how: key for how, key in found.items() if key}
