"""The Kits tab in the sheet: kits that stand there whole over two looks take effect, and each row says so.

A SKU that has a count of its own becomes a kit only on a person's word (K1): its units that nobody has ordered are
turned into components, and those of open orders stay until they are shipped. Rows of a kit that are all gone come
back: a missing row is not zero. To dissolve a kit, write `no kit` over its Units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sheets_sync import exchange, guard, kits, pages, showing, views
from sheets_sync.desk import KITS, ROWS, Books, Desk, kits_of
from sheets_sync.errors import BadInput
from sheets_sync.ledger import Tx, View
from sheets_sync.model import MAIN, Cell, Event, Fact, Kind, Layout, Lease, Question, Reason, Stock, StockKey
from sheets_sync.order_book import count_waiting
from sheets_sync.pages import Changes, Page
from sheets_sync.sheet import tabs
from sheets_sync.sheet.workbook import Workbook

KIND = "make_kit"
DISSOLVED = "no kit"


@dataclass
class Seen:
    """What one driver of a sheet keeps of the tab between two passes."""

    books: Books = field(default_factory=Books)
    next_at: datetime | None = None
    before: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # whole kits of the last look
    gone: frozenset[str] = frozenset()  # kits that were dissolved or had no row in the last look


def take(
    desk: Desk, workbook: Workbook, seen: Seen, layout: Callable[[], Layout], lease: Lease | None
) -> Changes:  # fmt: skip
    """Take the kits that stand unchanged since the last look, and say what became of each row, when it is due."""
    now = desk.clock()
    if seen.next_at is not None and now < seen.next_at:
        return Changes()
    page = Page.of(workbook.values([f"'{tabs.KITS}'"])[0])
    with desk.ledger.read() as view:
        seen.books.refresh(view)
        in_force, ours = kits_of(view), {*view.get(ROWS, ()), *seen.books.available}
    dissolved = {str(c.get(kits.KIT)) for c in page.rows.values() if str(c.get(kits.UNITS)).strip() == DISSOLVED}
    rows = kits.read({n: c for n, c in page.rows.items() if str(c.get(kits.KIT)) not in dissolved}, ours)
    fresh = {kit: parts for kit, parts in rows.kits.items() if in_force.get(kit) != parts}
    stand = {kit: parts for kit, parts in fresh.items() if seen.before.get(kit) == parts}
    ends = dissolved & in_force.keys() & seen.gone
    asks = _settle(desk, stand, ends, lease)
    pending = bool(fresh.keys() - stand.keys()) or bool((dissolved & in_force.keys()) - ends)
    seen.before, seen.gone = fresh, frozenset(dissolved)
    requests = _requests(desk, seen, page, rows, asks, dissolved, layout().tabs[tabs.KITS].id)
    rest = pages.rest(desk.clock() - now)
    seen.next_at = None if pending else now + rest
    return Changes(tuple(requests), pending)


def _settle(
    desk: Desk, stand: Mapping[str, Mapping[str, int]], ends: set[str], lease: Lease | None
) -> dict[str, str]:  # fmt: skip
    """Put kits in force, or ask; what is asked, by kit."""
    if not stand and not ends:
        with desk.ledger.read() as view:
            return {q.sku: q.text for q in view.questions() if q.kind == KIND}
    asked: dict[str, str] = {}
    with desk.ledger.begin(lease) as tx:
        in_force = {kit: parts for kit, parts in kits_of(tx).items() if kit not in ends}
        for kit, parts in stand.items():
            balance = tx.balances([kit]).get(StockKey(kit, MAIN))
            if kit in in_force or balance is None or not balance.counted:
                in_force[kit] = dict(parts)
                continue
            question = _question(kit, parts, balance.stock, desk.clock())
            asked[kit] = question.text
            tx.ask([question])
        tx.put(KITS, in_force)
        for name in desk.channels:
            count_waiting(tx, desk, name)
    desk.wake_others("sheet")
    return asked


def _question(kit: str, parts: Mapping[str, int], had: Stock, at: datetime) -> Question:
    open_units = f", {had.committed} of them ordered" if had.committed else ""
    text = (
        f"? {kit} has a count of its own, {had.on_hand} on hand{open_units}. A kit has none. Turn what nobody has "
        f"ordered into components ({kits.described(parts)}), or leave it as it is?"
    )
    about: dict[str, Cell] = {f"part:{sku}": units for sku, units in parts.items()}
    named = "; ".join(f"{units} {sku}" for sku, units in parts.items())
    return guard.ask(KIND, kit, text, at, reference=named, about=about)


def make_kit(tx: Tx, desk: Desk, question: Question, actor: str) -> list[Event]:
    """A person's word: the SKU's free units become components, and it is a kit from here on. Raises BadInput."""
    kit, at = question.sku, desk.clock()
    parts = {name.removeprefix("part:"): int(str(n)) for name, n in question.about.items() if name.startswith("part:")}
    had = tx.balances([kit])[StockKey(kit, MAIN)].stock
    counted = {key.sku for key, balance in tx.balances(parts).items() if balance.counted}
    if any(any(balance.stock) for key, balance in tx.balances([kit]).items() if key.location != MAIN):
        raise BadInput(f"{kit} has units at other locations than the main one: transfer them to it first.")
    if had.available < 0 or had.damaged:
        raise BadInput(f"{kit} has {had.available} available and {had.damaged} damaged units: put that right first.")
    if counted != set(parts):
        raise BadInput(f"{', '.join(sorted(set(parts) - counted))} has no count yet: count it first.")
    common = Fact(
        f"answer:{question.key}:{at.isoformat()}", kit, Kind.STOCK_TAKE, at, count=had.committed, source="review",
        actor=actor, reference=f"{kit} is a kit now", batch=f"kit-{at.isoformat()}",
    )  # fmt: skip
    facts = [common] + [
        Fact(
            f"{common.key}:{sku}", sku, Kind.ADJUSTMENT, at, Stock(on_hand=units * had.available), source="review",
            actor=actor, reference=f"from {had.available} {kit}", reason=str(Reason.OTHER), batch=common.batch,
        )
        for sku, units in parts.items() if had.available
    ]  # fmt: skip
    tx.put(KITS, {**kits_of(tx), kit: parts})
    return tx.append(facts)


# what is shown --------------------------------------------------------------------------------------------------


def _requests(
    desk: Desk, seen: Seen, page: Page, rows: kits.Rows, asks: Mapping[str, str], dissolved: set[str], sheet: int
) -> list[exchange.Request]:
    with desk.ledger.read() as view:
        seen.books.refresh(view)
        in_force = kits_of(view)
    out: list[tuple[int, Mapping[str, Cell]]] = []
    for number, cells in page.rows.items():
        kit = str(cells.get(kits.KIT) or "")
        wanted: dict[str, Cell] = {tabs.AVAILABLE: seen.books.available.get(kit) if kit in in_force else None}
        wanted[tabs.STATUS] = rows.problems.get(number) or asks.get(kit) or _says(kit, in_force, rows, dissolved)
        differ = {h: v for h, v in wanted.items() if h in cells and not showing.same(cells[h], v)}
        if differ:
            out.append((number, differ))
    there = {kit for kit, _ in rows.rows.values()} | dissolved
    back = [
        views.picked({kits.KIT: kit, kits.COMPONENT: sku, kits.UNITS: units}, page.header)
        for kit, parts in in_force.items() if kit not in there and page.header
        for sku, units in parts.items()
    ]  # fmt: skip
    requests = showing.placed(out, page.header, sheet)
    if back:
        cells_of = [exchange.cells_of(row) for row in back]
        requests.append({"appendCells": {"sheetId": sheet, "rows": cells_of, "fields": "userEnteredValue"}})
    return requests


def _says(kit: str, in_force: kits.Kits, rows: kits.Rows, dissolved: set[str]) -> str | None:
    if not kit:
        return None
    if kit in dissolved:
        return "no kit any more: delete its rows" if kit not in in_force else "is being dissolved"
    return kits.described(in_force[kit]) if in_force.get(kit) == rows.kits.get(kit) else "takes effect at the next look"


def kit_rows(view: View) -> dict[str, str]:
    """What Stock says of a kit in its Status."""
    return {kit: f"{kits.described(parts)}: count those" for kit, parts in kits_of(view).items()}
