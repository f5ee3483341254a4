"""A channel's catalogue, read page by page into the ledger: matched by SKU or by a person's word, never by guess.

Each page is one transaction, and with it goes the cursor of the next one: an import that was killed, or that a shop's
limit stopped, goes on where it was. No more than a page is held in memory, and a number for each listing seen.
`read_catalogue` is the import; a pass reads on a few pages at a time (`begin`, `read_page`), so that orders never wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from sheets_sync import newcomers, offers
from sheets_sync.desk import Desk, kits_of, remember
from sheets_sync.errors import BadInput, ChannelRefused
from sheets_sync.ledger import Tx, View
from sheets_sync.model import Lease, Listing, Ref, RemoteListing

log = structlog.get_logger()

MATCHED_AT_ONCE = 500
CURSOR_LIVES = timedelta(hours=12)
"""A cursor older than this is not gone on with: the catalogue has changed too much meanwhile."""


def _cursor(channel: str) -> str:
    return f"import:{channel}"


def _listed(channel: str) -> str:
    """Whether a channel's catalogue has been read to its end once: what comes after that is new (B7)."""
    return f"listed:{channel}"


def known_skus(view: View, skus: Iterable[str]) -> set[str]:
    """Of these SKUs those that we know: with a balance, or of a matched listing."""
    wanted = list(skus)
    known = {k.sku for k in view.balances(wanted)} | {i.sku for i in view.listings(skus=wanted) if i.sku}
    return known | (kits_of(view).keys() & set(wanted))


@dataclass
class Reading:
    """How far one reading of a catalogue is. `seen` is None where an earlier process read the first pages."""

    begun: datetime
    cursor: str | None = None
    count: int = 0
    seen: set[int] | None = field(default_factory=set)
    imports: bool = False  # it goes on after a crash, and tells the Channels tab how far it is
    waits: bool = False  # the shop is still preparing the next page
    sure: set[Ref] = field(
        default_factory=set
    )  # listings of which this process knows what they show, unless somebody else wrote


def read_catalogue(desk: Desk, name: str, *, progress: Callable[[int], None] | None = None) -> int:
    """Import every listing of a channel, with its figure, into the ledger. How many. Goes on with what was left."""
    reading = begin(desk, name, imports=True)
    while read_page(desk, name, reading):
        if progress:
            progress(reading.count)
    if progress:
        progress(reading.count)
    return reading.count


def begin(desk: Desk, name: str, *, imports: bool = False) -> Reading:
    """A new reading, or for an import the one that was left within the last hours."""
    now = desk.clock()
    with desk.ledger.read() as view:
        left: dict[str, Any] | None = view.get(_cursor(name)) if imports else None
    if left is None or now - datetime.fromisoformat(left["begun"]) > CURSOR_LIVES:
        return Reading(now, imports=imports)
    log.info("import.resumed", channel=name, after=left["count"])
    return Reading(datetime.fromisoformat(left["begun"]), left["cursor"], left["count"], None, imports)


def read_page(desk: Desk, name: str, reading: Reading, lease: Lease | None = None) -> bool:
    """One page into the ledger; False once the catalogue has been read to its end."""
    try:
        page = desk.channels[name].listings(reading.cursor)
    except (ChannelRefused, BadInput):
        if reading.seen is not None or reading.cursor is None:
            raise
        log.info("import.anew", channel=name, why="the shop does not know the cursor any more")
        reading.begun, reading.cursor, reading.count, reading.seen = desk.clock(), None, 0, set()
        return True
    reading.count += len(page.items)
    reading.cursor = page.cursor
    reading.waits = not page.items and page.cursor is not None
    if reading.seen is not None:
        reading.seen |= {hash(item.ref) for item in page.items}
    _store(desk, name, page.items, reading, lease)
    if page.cursor is None:
        _finish(desk, name, reading, lease)
    return page.cursor is not None


def _store(desk: Desk, name: str, items: Sequence[RemoteListing], reading: Reading, lease: Lease | None) -> None:
    """The listings and the cursor behind them, in one transaction."""
    with desk.ledger.begin(lease) as tx:
        tx.lock_listings(name)
        _store_page(tx, desk, name, items, reading)
        if reading.imports:
            left = {"cursor": reading.cursor, "count": reading.count, "begun": reading.begun.isoformat()}
            tx.put(_cursor(name), left if reading.cursor is not None else None)
            remember(tx, name, progress=f"importing: {reading.count:,} listings" if reading.cursor else "")


def _store_page(tx: Tx, desk: Desk, name: str, items: Sequence[RemoteListing], reading: Reading) -> None:
    begun = reading.begun
    have = {item.ref: item for item in tx.listings(name, ids=[item.ref.listing for item in items])}
    started = desk.started_at(tx) is not None
    seeds = desk.primary(tx) == name and not started
    known = known_skus(tx, [item.sku for item in items if item.sku])
    out = []
    for item in items:
        old = have.get(item.ref)
        now = _now(desk, name, item, old or _elsewhere(item, have.values()), seeds or item.sku in known)
        odd = old is not None and item.ref in reading.sure and offers.expected(old) not in (None, item.shows)
        # P5: another figure than expected may be a sale that no order told of yet; only a look that reads them may say
        if not odd and (old is None or old.shown is None or old.shown_at is None or old.shown_at < begun):
            now = offers.seen(now, item.shows, item.reserved, begun, before=old)
            reading.sure.add(item.ref)
        out.append(now)
    tx.put_listings(item for item in out if have.get(item.ref) != item)
    new = [item for item in out if item.ref not in have]
    if started and tx.get(_listed(name)) and len(new) <= newcomers.AT_ONCE:
        tx.ask(newcomers.questions(desk, new, desk.clock()))


def _elsewhere(item: RemoteListing, have: Iterable[Listing]) -> Listing | None:
    """What people said of the same listing at another of its channel's places holds at this one too."""
    one = next((known for known in have if known.ref.listing == item.ref.listing and known.sku is not None), None)
    if one is None:
        return None
    said = Listing(one.channel, item.ref, one.sku, mapped=one.mapped, pack_size=one.pack_size, hold_back=one.hold_back)
    return replace(said, held_back=one.held_back, most=one.most, paused=one.paused)


def _now(desk: Desk, name: str, item: RemoteListing, old: Listing | None, known: bool) -> Listing:
    """A listing as its channel shows it now; what people said of it stays."""
    base = old or Listing(name, item.ref, None)
    own = item.sku if item.sku and known else None
    return replace(
        base,
        sku=base.mapped or base.sku or own,
        hold_back=desk.settings.channels[name].hold_back if base.held_back is None else base.held_back,
        title=item.title,
        remote_sku=item.sku,
        barcode=item.barcode,
        pushable=item.pushable,
        why_not=item.why_not,
    )


def _finish(desk: Desk, name: str, reading: Reading, lease: Lease | None) -> None:
    """Listings that are gone, or share a SKU by chance, are not pushed, and say why."""
    with desk.ledger.read() as view:
        barred = {**_gone(desk, view, name, reading.seen), **_shared(desk, view, name, reading.seen)}
    _bar(desk, name, barred, lease)
    with desk.ledger.begin(lease) as tx:
        if not tx.get(_listed(name)):
            tx.put(_listed(name), desk.clock().isoformat())


def _bar(desk: Desk, name: str, barred: Mapping[Ref, str], lease: Lease | None) -> None:
    with desk.ledger.begin(lease) as tx:
        tx.lock_listings(name)
        found = tx.listings(name, ids={ref.listing for ref in barred})
        now = [item for item in found if item.ref in barred]
        there = {item.ref.listing for item in found if item.ref not in barred}
        after = [_barred(item, barred[item.ref], item.ref.listing in there) for item in now]
        tx.put_listings(item for item, before in zip(after, now, strict=True) if item != before)


def _barred(item: Listing, why: str, elsewhere: bool) -> Listing:
    """`elsewhere`: the listing is there still, at other places than this one, so that this one stands for nothing."""
    if not elsewhere:
        return replace(item, pushable=False, why_not=why)
    return replace(item, pushable=False, why_not=_ELSEWHERE, sku=None, mapped=None, remote_sku=None, shown=None)


_ELSEWHERE = "its channel keeps it at other places now"


def match_catalogue(desk: Desk, name: str) -> None:
    """Match what was read before its SKU was known: at the import all channels are read at once."""
    with desk.ledger.read() as view:
        some: list[Listing] = []
        for item in view.iter_listings(name):
            if item.sku is None and item.remote_sku:
                some.append(item)
            if len(some) == MATCHED_AT_ONCE:
                _match(desk, name, some)
                some = []
        _match(desk, name, some)
    with desk.ledger.read() as view:
        barred = _shared(desk, view, name, None)
    _bar(desk, name, barred, None)


def _match(desk: Desk, name: str, items: Sequence[Listing]) -> None:
    with desk.ledger.begin() as tx:
        known = known_skus(tx, [item.remote_sku for item in items if item.remote_sku])
        refs = {item.ref for item in items if item.remote_sku in known}
        now = tx.listings(name, ids=[ref.listing for ref in refs])
        tx.put_listings(replace(i, sku=i.remote_sku) for i in now if i.ref in refs and i.sku is None)


def _gone(desk: Desk, view: View, name: str, seen: set[int] | None) -> dict[Ref, str]:
    """What this reading did not show. One that was resumed cannot tell; the next one will."""
    if seen is None:
        return {}
    why = f"not on {desk.titles[name]} any more"
    return {item.ref: why for item in view.iter_listings(name) if hash(item.ref) not in seen}


def _shared(desk: Desk, view: View, name: str, seen: set[int] | None) -> dict[Ref, str]:
    """Several listings of one SKU that nobody mapped: each would show the whole stock, meant or not."""
    found = [
        item
        for item in view.listings(name, skus=view.shared_skus(name))
        if item.mapped is None and (seen is None or hash(item.ref) in seen)
    ]
    times = _times(found)
    return {
        item.ref: f"{times[item.sku]} listings on {desk.titles[name]} carry the SKU {item.sku}; {_WAY_OUT}"
        for item in found
        if times[item.sku] > 1
    }


def _times(found: Iterable[Listing]) -> Counter[str | None]:
    """How many listings stand for each SKU; one at several of its channel's places is one (P8)."""
    return Counter(sku for sku, _ in {(item.sku, item.ref.listing) for item in found})


_WAY_OUT = "give each its own, or map them in the Listings tab"


def unbarred(desk: Desk, view: View, name: str, skus: Iterable[str]) -> list[Listing]:
    """Of these SKUs' listings those that shared one by chance, and do so no more since a person mapped them."""
    found = view.listings(name, skus=skus)
    still = _times(item for item in found if item.mapped is None)
    return [
        replace(item, pushable=True, why_not="")
        for item in found
        if item.why_not.endswith(_WAY_OUT) and (item.mapped is not None or still[item.sku] == 1)
    ]
