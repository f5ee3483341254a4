"""The Listings tab in the sheet: what stands there over two looks is put on the listings, and rows are kept up to date.

The tab may be long (a row a listing), so it is read at a pace of its own: the longer a read takes, the rarer it is.
What is typed there is a level like all of the sheet; a row that is gone comes back with what was set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sheets_sync import catalogue, lacking, mapping, newcomers, offers, pages
from sheets_sync.desk import ARCHIVED, ROWS, Books, Desk, Shelf
from sheets_sync.lacking import Lack
from sheets_sync.ledger import Tx
from sheets_sync.mapping import Problem, Settings
from sheets_sync.model import Cell, Layout, Lease, Listing
from sheets_sync.order_book import count_waiting
from sheets_sync.pages import Changes, Page
from sheets_sync.sheet import tabs
from sheets_sync.sheet.workbook import Workbook


@dataclass
class Seen:
    """What one driver of a sheet keeps of the tab between two passes."""

    books: Books = field(default_factory=Books)
    shelves: dict[str, Shelf] = field(default_factory=dict)
    next_at: datetime | None = None
    pending: dict[str, Settings] = field(default_factory=dict)  # typed, and seen once


def take(
    desk: Desk, workbook: Workbook, seen: Seen, layout: Callable[[], Layout], lease: Lease | None
) -> Changes:  # fmt: skip
    """Take what stands there unchanged since the last look, and bring the tab up to date, when it is due."""
    now = desk.clock()
    if seen.next_at is not None and now < seen.next_at:
        return Changes()
    with desk.ledger.read() as view:
        if not view.listings_revision():
            return Changes()
    page = Page.of(workbook.values([f"'{tabs.LISTINGS_TAB}'"])[0])
    found = _refreshed(desk, seen)
    problems = _settle(desk, seen, page, found, lease)
    found = _refreshed(desk, seen)
    wanted = _wanted(desk, seen, found, problems)
    new = {key: mapping.cells_of(item) for key, item in found.items()}
    sheet = layout().tabs[tabs.LISTINGS_TAB].id
    gone: Mapping[str, Cell] = {tabs.STATE: "this listing is gone", tabs.SHOWS: None, tabs.OFFERS: None}
    done = pages.changes(page, tabs.KEY, wanted, new, mapping.TYPED, sheet, gone=gone)
    rest = pages.rest(desk.clock() - now)
    seen.next_at = None if done.more or seen.pending else now + rest
    return replace(done, more=done.more or bool(seen.pending))


def key_of(item: Listing) -> str:
    """The name of a listing's row."""
    return "/".join((item.channel, item.ref.listing, item.ref.parent, item.ref.place))


def _refreshed(desk: Desk, seen: Seen) -> dict[str, Listing]:
    with desk.ledger.read() as view:
        seen.books.refresh(view)
        for name in desk.settings.channels:
            seen.shelves.setdefault(name, Shelf()).refresh(view, name)
    return {key_of(item): item for name in desk.settings.channels for item in seen.shelves[name].listings.values()}


# what was typed -------------------------------------------------------------------------------------------------


def _settle(
    desk: Desk, seen: Seen, page: Page, found: Mapping[str, Listing], lease: Lease | None
) -> dict[str, str]:  # fmt: skip
    """Put settings on their listings; what is wrong with the others, by row."""
    typed: dict[str, Settings] = {}
    problems: dict[str, str] = {}
    with desk.ledger.read() as view:
        archived, ours = set(view.get(ARCHIVED, ())), {*view.get(ROWS, ()), *seen.books.available}
    for cells in page.rows.values():
        item = found.get(str(cells.get(tabs.KEY)))
        if item is None:
            continue
        said = mapping.read(cells)
        if isinstance(said, Settings) and item.sku in archived:
            said = replace(said, most=item.most)  # it is offered nowhere until its row is back
        if isinstance(said, Problem):
            problems[key_of(item)] = said.says
        elif said.sku is not None and said.sku not in ours:
            problems[key_of(item)] = f"? {said.sku} is no SKU of yours: correct it, or add it in Stock first"
        elif said != mapping.settings_of(item):
            typed[key_of(item)] = said
    stand = {key: said for key, said in typed.items() if seen.pending.get(key) == said}
    seen.pending = {key: said for key, said in typed.items() if key not in stand}
    if stand:
        _put(desk, stand, found, lease)
    return problems


def _put(desk: Desk, stand: Mapping[str, Settings], found: Mapping[str, Listing], lease: Lease | None) -> None:
    changed = {found[key].channel for key in stand}
    with desk.ledger.begin(lease) as tx:
        for name in changed:
            tx.lock_listings(name)
            _put_on_channel(tx, desk, name, {found[k].ref: s for k, s in stand.items() if found[k].channel == name})
            count_waiting(tx, desk, name)
    for name in changed:
        desk.wake(name)


def _put_on_channel(tx: Tx, desk: Desk, name: str, said: Mapping[object, Settings]) -> None:
    holds_back = desk.settings.channels[name].hold_back
    ids = {ref.listing for ref in said}  # type: ignore[attr-defined]
    before = [item for item in tx.listings(name, ids=ids) if item.ref in said]
    known = catalogue.known_skus(tx, [item.remote_sku for item in before if item.remote_sku])
    after = [mapping.apply(item, said[item.ref], holds_back, own_is_known=item.remote_sku in known) for item in before]
    tx.put_listings(after)
    newcomers.known_now(tx, {item.remote_sku for item in after if item.sku})
    tx.put_listings(catalogue.unbarred(desk, tx, name, {i.sku for i in (*before, *after) if i.sku}))


# what is shown --------------------------------------------------------------------------------------------------


def _wanted(
    desk: Desk, seen: Seen, found: Mapping[str, Listing], problems: Mapping[str, str]
) -> dict[str, dict[str, Cell]]:  # fmt: skip
    with desk.ledger.read() as view:
        started, archived = desk.started_at(view) is not None, set(view.get(ARCHIVED, ()))
        ours = [sku for sku in dict.fromkeys((*view.get(ROWS, ()), *seen.books.available)) if sku not in archived]
    hints = mapping.Suggestions(found.values()) if any(item.sku is None for item in found.values()) else None
    out: dict[str, dict[str, Cell]] = {}
    called = desk.settings.locations.by_title
    for key, item in found.items():
        available = desk.available(seen.books, item)
        shows = offers.expected(item)
        hint = hints.of(item) if hints and item.sku is None else ""
        enabled = desk.settings.channels[item.channel].enabled
        place = desk.settings.channels[item.channel].places.get(item.ref.place)
        says = mapping.state(item, available, hint, enabled=enabled)
        if place is not None:
            says = f"{called[place]}: {says}"
        out[key] = {
            tabs.CHANNEL: desk.titles[item.channel],
            tabs.THEIR_SKU: item.remote_sku or None,
            tabs.TITLE: item.title or None,
            tabs.COUNTS_AS: item.sku,
            tabs.OFFERS: offers.offer(available, item) if started and item.pushable else None,
            tabs.SHOWS: item.shown if shows is None or not item.taken else shows,
            tabs.STATE: problems.get(key) or says,
        }
    return out | {_lacks(one): _cells_of_lack(desk, one) for one in lacking.find(ours, found.values(), desk.titles)}


def _lacks(one: Lack) -> str:
    """The name of the row that tells of a SKU without a listing."""
    return f"lacks/{one.channel}/{one.sku}"


def _cells_of_lack(desk: Desk, one: Lack) -> dict[str, Cell]:
    says = f"no listing here. {one.says}".removesuffix(" ") if one.sku else one.says
    return {
        tabs.CHANNEL: desk.titles[one.channel], tabs.THEIR_SKU: None, tabs.TITLE: one.title or None,
        tabs.COUNTS_AS: one.sku or None, tabs.OFFERS: None, tabs.SHOWS: None, tabs.STATE: says,
    }  # fmt: skip
