"""When a workbook or a ledger went back in time, or the chain was lost: what goes on by itself, and what asks a person.

A lost chain (`_exchange` deleted, its named range deleted) is made anew: nothing that was made for the old one can land
any more. Rows that an exchange wrote of which the image is gone are asked about. An older *workbook* is followed: the
ledger stands, and every change in it is asked about (`sync.py` does that in an ordinary pass). An older *ledger*, or a
workbook that belongs to another one, stops everything until a person says which of the two stands: `adopt`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import structlog

from sheets_sync import edits, exchange, guard
from sheets_sync.desk import ADOPTING, ANSWERED, CHAIN, ROWS, Desk
from sheets_sync.errors import BadInput, ExchangeRefused, SheetNotReady
from sheets_sync.exchange import Intent, Place, Request
from sheets_sync.ledger import Tx, View
from sheets_sync.model import MAIN, Cell, Fact, Kind, Layout, Lease, Look, Origin, Question, StockKey
from sheets_sync.sheet import tabs
from sheets_sync.sheet.workbook import Workbook

log = structlog.get_logger()

_NAMES = 20
LEDGER, WORKBOOK = "ledger", "workbook"


def chain_name(view: View) -> str:
    """The named range that is our chain in this workbook."""
    return str(view.get(CHAIN, exchange.CHAIN_NAME))


def exchange_id(view: View, draw: Callable[[int], int] = secrets.randbelow) -> str:
    """A new exchange's id: of the form that Google gives named ranges, and never used before."""
    while True:
        new = str(1_000_000_000 + draw(1_147_483_647))
        if not view.issued(new):
            return new


def chain_id(desk: Desk, workbook: Workbook) -> str:
    """Where the chain stands in the workbook: the id of the last exchange; "" where it is gone."""
    with desk.ledger.read() as view:
        name = chain_name(view)
    return workbook.named_range_ids().get(name, "")


def chain_now(desk: Desk, workbook: Workbook, mark: str) -> tuple[str, str]:
    """(name, id) of the chain in a workbook that may have gone back: its range may have had another name then.

    `mark` is what `_exchange` says. An id that the ledger never issued is no chain of ours; ("", "") where none is.
    """
    ranges = workbook.named_range_ids()
    with desk.ledger.read() as view:
        name = chain_name(view)
        ours = {n: id for n, id in ranges.items() if n.startswith(exchange.CHAIN_NAME) and view.issued(id)}
    found = next((n for n in (name, *(n for n, id in ours.items() if id == mark), *ours) if n in ours), "")
    return found, ours.get(found, "")


# a chain that was lost ------------------------------------------------------------------------------------------


def heal(desk: Desk, workbook: Workbook, lease: Lease | None) -> bool:
    """Make `_exchange` and the chain anew where one of them is gone; False where nothing was to be done."""
    layout = workbook.layout()
    with desk.ledger.read() as view:
        head, name, new_id = view.head(), chain_name(view), exchange_id(view)
    if not head or tabs.STOCK not in layout.tabs or (tabs.EXCHANGE in layout.tabs and name in layout.named_ranges):
        return False
    written = bearers(workbook)
    for bearer, skus in bearers(workbook).items():  # a read may be old, and a tag that it shows has landed
        written.setdefault(bearer, set()).update(skus)
    with desk.ledger.read() as view:
        waiting = _unsettled(view, written)
    with desk.ledger.begin(lease) as tx:
        for intent in waiting:
            forget(tx, desk, intent, landed=intent.exchange in written, skus=written.get(intent.exchange, ()))
        head = tx.head()
    _make_anew(desk, workbook, lease, Intent(new_id, head, desk.clock(), (), {}, 0, 1, (), (), frozenset()), name)
    return True


def _unsettled(view: View, written: Mapping[str, Collection[str]]) -> list[Intent]:
    """Exchanges of which we do not know what they overwrote, among them such that landed though we heard a refusal:
    a request that arrives twice is refused the second time. What is settled has no intention any more.
    """
    waiting = {id: payload for id, _, payload in view.open_intents()}
    refused = {id: payload for id in sorted(written.keys() - waiting.keys()) if (payload := view.intent(id))}
    return [exchange.load(payload) for payload in (*waiting.values(), *refused.values())]


def _make_anew(desk: Desk, workbook: Workbook, lease: Lease | None, intent: Intent, name: str) -> None:
    """`_exchange` and a chain that begins with `intent`, under the first name that is free."""
    layout = workbook.layout()
    for candidate in _names(name, layout):
        if _made_anew(desk, workbook, lease, intent, layout, candidate):
            return
        layout = workbook.layout()
    raise SheetNotReady(
        f"The tab {tabs.EXCHANGE} or its named range is gone and could not be made again. Nothing was taken or "
        "written. Restore the newest version of the spreadsheet in File > Version history."
    )


def forget(tx: Tx, desk: Desk, intent: Intent, *, landed: bool, skus: Collection[str]) -> None:
    """An exchange whose image is lost. Where it landed, its rows are asked about, never taken as unchanged. So are
    those of the `skus` beside its tag that it was not made for: rows that people moved to where it wrote.
    """
    if landed:
        tx.ask(_lost_images(intent, desk))
        meant = {row.sku for row in intent.rows if row.exchanged}
        tx.ask(_overwritten(set(skus) - meant, intent, desk))
        tx.set_head(intent.exchange)
    else:
        tx.set_intent_state(intent.exchange, "dead")


def _lost_images(intent: Intent, desk: Desk) -> Iterable[Question]:
    now = desk.clock()
    for row in intent.rows:
        if row.exchanged and row.sku is not None:
            text = guard.lost_image(row.seen, row.cells.get(edits.ON_HAND))
            yield guard.ask(
                "lost_image", row.sku, text, now, typed=row.seen, origin=Origin.IMAGE, reference=intent.exchange
            )


def _overwritten(skus: Iterable[str], intent: Intent, desk: Desk) -> Iterable[Question]:
    for sku in sorted(skus):
        text = guard.lost_row()
        yield guard.ask("lost_image", sku, text, desk.clock(), origin=Origin.IMAGE, reference=intent.exchange)


def bearers(workbook: Workbook) -> dict[str, set[str]]:
    """Every exchange that a row of Stock names, with the SKUs of those rows."""
    header = workbook.values([f"'{tabs.STOCK}'!1:1"])[0]
    names = header[0] if header else []
    if tabs.TAG_EXCHANGE not in names:
        return {}
    wanted = [names.index(name) for name in (tabs.TAG_EXCHANGE, tabs.SKU) if name in names]
    spans = [f"'{tabs.STOCK}'!{letters}2:{letters}" for letters in map(exchange_column, wanted)]
    columns = [read[0] if read else [] for read in workbook.values(spans, by="COLUMNS")]
    found: dict[str, set[str]] = {}
    for tag, *sku in zip_longest(*columns):
        if tag is not None:
            found.setdefault(str(tag), set()).update(name for name in sku if isinstance(name, str))
    return found


def exchange_column(position: int) -> str:
    """A 0-based column as letters."""
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _names(name: str, layout: Layout) -> Iterable[str]:
    """The old name where it may still be free, then numbered ones: a range whose tab is gone still blocks its name."""
    if name not in layout.named_ranges:
        yield name
    for number in range(2, _NAMES):
        candidate = f"{exchange.CHAIN_NAME}_{number}"
        if candidate not in layout.named_ranges and candidate != name:
            yield candidate


def _made_anew(
    desk: Desk, workbook: Workbook, lease: Lease | None, intent: Intent, layout: Layout, name: str
) -> bool:  # fmt: skip
    have = layout.tabs.get(tabs.EXCHANGE)
    # A tab made anew gets an id that no late request can name: the old chain may live on in a range without a tab.
    sheet = have.id if have else int(intent.exchange)
    requests = _fresh_exchange(intent, sheet, layout, desk.ledger.id, name, make=have is None)
    attempt = Intent(
        intent.exchange, intent.previous, intent.made_at, (), {}, 0, 1, (), (), frozenset(), {"chain": name}
    )  # fmt: skip
    with desk.ledger.begin(lease) as tx:
        if not tx.issued(attempt.exchange):
            tx.intend(attempt.exchange, attempt.previous, exchange.dump(attempt))
        tx.put(CHAIN, name)
    try:
        workbook.send(requests)
    except (ExchangeRefused, BadInput) as error:
        log.info("chain.refused", name=name, why=str(error)[:200])
        return False
    with desk.ledger.begin(lease) as tx:
        tx.set_head(attempt.exchange)
    log.warning("chain.made_anew", name=name)
    return True


def _fresh_exchange(
    intent: Intent, sheet: int, layout: Layout, ledger: str, name: str, *, make: bool
) -> list[Request]:  # fmt: skip
    """`_exchange` emptied and marked, and a chain that begins with this exchange."""
    stock = layout.tabs[tabs.STOCK].id
    size = {"rowCount": 3, "columnCount": intent.width}
    mark = (intent.exchange, intent.previous, ledger, layout.spreadsheet_id, str(stock))
    span = exchange.grid_range(sheet, 0, 1, 0, 1)
    about = {"sheetId": sheet, "title": tabs.EXCHANGE, "hidden": True, "gridProperties": size}
    sized = {"sheetId": sheet, "gridProperties": size}
    first: Request = (
        {"addSheet": {"properties": about}}
        if make
        else {"updateSheetProperties": {"properties": sized, "fields": "gridProperties(rowCount,columnCount)"}}
    )
    return [
        first,
        {"addNamedRange": {"namedRange": {"namedRangeId": intent.exchange, "name": name, "range": span}}},
        _cells({"sheetId": sheet}, mark),
        _cells(exchange.grid_range(sheet, 2, 3, 0, 1), (intent.exchange,)),
    ]


def _cells(where: dict[str, int], row: Sequence[Cell]) -> Request:
    written = {"range": where, "fields": "userEnteredValue", "rows": [exchange.cells_of(row)]}
    return {"updateCells": written}


# which of the two stands ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One SKU of which ledger and workbook say different things."""

    sku: str
    ledger: int | None
    sheet: Cell


def differences(desk: Desk, workbook: Workbook) -> list[Difference]:
    """What differs, before a person says which of the two stands."""
    look = workbook.look(edits.NEEDED)
    with desk.ledger.read() as view:
        stock = {k.sku: b.stock.on_hand for k, b in view.balances().items() if b.counted and k.location == MAIN}
    shown = _shown(look)
    return [
        Difference(sku, stock.get(sku), shown.get(sku))
        for sku in dict.fromkeys((*shown, *stock))
        if stock.get(sku) != shown.get(sku)
    ]


def adopt(desk: Desk, workbook: Workbook, stands: str) -> list[Difference]:
    """A person's word: this workbook is ours from now on, and `stands` ("ledger" or "workbook") is right.

    The chain is taken over from wherever it stands. Where the workbook stands, its whole figures become counts; where
    the ledger stands, its figures are written, and every change in the workbook is asked about. Returns what differed.

    Raises BadInput, and changes nothing, where the workbook shall stand and a SKU has two rows, or a counted one no
    count: what stands over our tag there would be taken for our own figure later, and be overwritten unasked.
    """
    if stands not in (LEDGER, WORKBOOK):
        raise BadInput(f"{stands!r} cannot stand; say `ledger` or `workbook`.")
    _chain_for(desk, workbook)
    differ, look, layout = differences(desk, workbook), workbook.look(edits.NEEDED), workbook.layout()
    if stands == WORKBOOK and (wrong := list(_no_count(look, {d.sku for d in differ if d.ledger is not None}))):
        raise BadInput(
            f"The spreadsheet cannot stand yet: {'; '.join(wrong[:_NAMES])}{'; …' if wrong[_NAMES:] else ''}. Keep one "
            "row for each SKU, with a whole number under On hand, then run this again. Nothing was changed."
        )
    with desk.ledger.read() as view:
        name, new_id = chain_name(view), exchange_id(view)
    found = _chain_of(layout, look, name)
    assert found is not None
    place = Place(
        layout.tabs[tabs.STOCK].id, layout.tabs[tabs.EXCHANGE].id, desk.ledger.id, layout.spreadsheet_id, found
    )
    previous = layout.named_ranges[found]
    intent = Intent(new_id, previous, desk.clock(), (), {}, 0, 1, (), (), frozenset(), {"chain": found}, adopt=True)
    with desk.ledger.begin() as tx:
        tx.intend(intent.exchange, previous, exchange.dump(intent))
    workbook.send(exchange.compose(intent, place))
    with desk.ledger.begin() as tx:
        tx.set_head(intent.exchange)
        tx.put(CHAIN, found)
        tx.put(ROWS, sorted(_shown(look)))
        if stands == WORKBOOK:
            tx.append(_counts(desk, differ, new_id, tx))
            tx.take(_answered(look))
        else:
            tx.put(ADOPTING, True)
    desk.wake_others()
    return differ


def _chain_for(desk: Desk, workbook: Workbook) -> None:
    """A workbook that was set up once may have lost its chain since: then it gets a new one."""
    layout = workbook.layout()
    if tabs.STOCK not in layout.tabs or tabs.LEDGER not in layout.tabs:
        raise SheetNotReady("This spreadsheet has not been set up yet: run `sheets-sync init` on it.")
    with desk.ledger.read() as view:
        head, name, new_id = view.head(), chain_name(view), exchange_id(view)
    if tabs.EXCHANGE in layout.tabs and _chain_of(layout, workbook.look(edits.NEEDED), name):
        return
    _make_anew(desk, workbook, None, Intent(new_id, head, desk.clock(), (), {}, 0, 1, (), (), frozenset()), name)


def _chain_of(layout: Layout, look: Look, name: str) -> str | None:
    """The chain's named range: the one that `_exchange` is marked with, as it may have had to take another name."""
    marked = [n for n, id in layout.named_ranges.items() if id == look.mark.exchange]
    return next((n for n in (*marked, name, exchange.CHAIN_NAME) if n in layout.named_ranges), None)


def _shown(look: Look) -> dict[str, Cell]:
    """On hand by SKU; a SKU that stands twice shows nothing."""
    rows = list(zip(look.columns[edits.SKU], look.columns[edits.ON_HAND], strict=True))
    skus = [sku for sku, _ in rows if isinstance(sku, str)]
    return {sku: cell for sku, cell in rows if isinstance(sku, str) and skus.count(sku) == 1}


def _no_count(look: Look, differ: Collection[str]) -> Iterable[str]:
    """What stands in the way of counting what the workbook shows; `differ`: counted SKUs of which it shows another."""
    rows: dict[str, list[tuple[int, Cell]]] = {}
    for row, (sku, cell) in enumerate(zip(look.columns[edits.SKU], look.columns[edits.ON_HAND], strict=True), 2):
        if isinstance(sku, str):
            rows.setdefault(sku, []).append((row, cell))
    for sku, found in rows.items():
        row, cell = found[0]
        if len(found) > 1 and any(cell is not None for _, cell in found):
            yield f"{sku} stands in rows {', '.join(str(row) for row, _ in found[:5])}"
        elif sku in differ and not guard.is_count(cell):
            yield f"On hand of {sku} (row {row}) shows {guard.shown(cell)}"


def _answered(look: Look) -> dict[tuple[str, str], Cell]:
    """What was typed over a tag is in the count now, and is no change besides."""
    columns = (look.columns[name] for name in (edits.SKU, edits.ON_HAND, edits.TAG_FIGURE, edits.TAG_EXCHANGE))
    rows = zip(*columns, strict=True)
    typed = [(sku, figure, str(tag)) for sku, figure, wrote, tag in rows if isinstance(sku, str) and figure != wrote]
    return {(ANSWERED + tag, sku): figure for sku, figure, tag in typed if guard.is_count(figure)}


def _counts(desk: Desk, differ: Sequence[Difference], new_id: str, view: View) -> Iterable[Fact]:
    """The workbook's whole figures as counts of now, one batch that can be undone."""
    known = view.balances([d.sku for d in differ])
    for item in differ:
        if guard.is_count(item.sheet):
            old = known.get(StockKey(item.sku))
            kind = Kind.STOCK_TAKE if old is not None and old.counted else Kind.OPENING
            yield Fact(
                f"adopt:{new_id}:{item.sku}", item.sku, kind, desk.clock(), count=int(str(item.sheet)), source="adopt",
                reference="the workbook stands", batch=f"adopt-{new_id}",
            )  # fmt: skip
