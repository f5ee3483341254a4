"""What deliveries say that needs a second thought before it is believed.

`settle` takes the levels of listings that a channel tells of. Most are echoes of what we wrote ourselves, or of a sale
that is booked: they say what we expect, and are let go by their *value*, whenever they come. Any other makes the
listing one of which nobody knows what it shows, so that the next look finds out; no figure is taken from a delivery.

`takes_back` finds an order's body that says less came back than is known. Bodies leave out what became of returned
goods (Shopify), so such an order is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sheets_sync import offers
from sheets_sync.channels import Channel, RawRequest, SignalKind
from sheets_sync.desk import Desk, Shelf
from sheets_sync.model import Figure, Lease, LineState, Listing, Order, Ref, StoredDelivery

Levels = tuple[StoredDelivery, tuple[Figure, ...]]


def only_levels(channel: Channel, deliveries: Iterable[StoredDelivery]) -> tuple[list[StoredDelivery], list[Levels]]:
    """Deliveries that have more to say, and those that carry levels of listings and nothing else."""
    rest: list[StoredDelivery] = []
    levels: list[Levels] = []
    for delivery in deliveries:
        signals = channel.signals(RawRequest("POST", "", delivery.headers, delivery.body))
        figures = tuple(s.figure for s in signals if s.kind is SignalKind.LISTING and s.figure is not None)
        if figures and len(figures) == len(signals):
            levels.append((delivery, figures))
        else:
            rest.append(delivery)
    return rest, levels


def settle(desk: Desk, name: str, shelf: Shelf, levels: Sequence[Levels], lease: Lease | None) -> list[Listing]:
    """Note which listings show another figure than we expect; gives them as known until now. `shelf` is as fresh as the
    last booking.
    """
    doubtful = unexpected(shelf.listings.values(), [figure for _, figures in levels for figure in figures])
    with desk.ledger.begin(lease) as tx:
        tx.lock_listings(name)
        stored = tx.listings(name, ids={ref.listing for ref in doubtful})
        tx.put_listings(replace(item, taken=None) for item in stored if item.ref in doubtful)
        for delivery, _ in levels:
            tx.mark_delivery(name, delivery.id, "applied")
    return [shelf.listings[ref] for ref in doubtful]


def unexpected(listings: Iterable[Listing], figures: Iterable[Figure]) -> set[Ref]:
    """The listings of which the newest of `figures`, in the order in which they came, is not what we expect.

    A ref may leave out what its vendor does not name in a delivery: the listing, or its parent and place.
    """
    newest = {figure.ref: figure.shows for figure in figures}
    found: set[Ref] = set()
    for item in listings:
        told = next((newest[ref] for ref in _names(item.ref) if ref in newest), None)
        expected = offers.expected(item)
        if told is not None and expected is not None and max(0, told) != expected:
            found.add(item.ref)
    return found


def _names(ref: Ref) -> tuple[Ref, ...]:
    return ref, ref._replace(listing=""), Ref(ref.listing), ref._replace(place="")


def takes_back(stored: Iterable[LineState], order: Order) -> bool:
    """Whether a delivered body says that fewer units came back than were known before."""
    levels = {line.level.id: line.level for line in stored}
    known = ((line, levels[line.id]) for line in order.lines if line.id in levels)
    return any(line.returned < before.returned or line.restocked < before.restocked for line, before in known)
