"""Law 1: a line moves once. `book_order` turns one reading of an order into the facts that are still missing.

For each order line the ledger keeps its last level, what people decided about it, and what it has moved so far. `due`
says what level and decisions *should* have moved: not three sums but a set of timed moves, because a unit shipped at
09:00 and one shipped at 11:00 lie on two sides of a count at 10:00, whichever readings of the line we missed. The facts
are the `difference` between the two. So a line may be read twice, late, out of order, or only once at the end.

A level counts the listing's packs; moves, decisions and facts count units.

What is unsatisfying: a channel that gives no time for a cancellation or a restock gets the time of the version that
first showed it, so that time, not the amount, depends on which readings we saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sheets_sync.model import (
    MAIN,
    Fact,
    Kind,
    LineState,
    MoveKey,
    Moves,
    Order,
    OrderLine,
    OrderState,
    Question,
    Ref,
    Stock,
)

CANCELLATION = "cancellation"
RETURN = "return"
UNKNOWN_SKU = "unknown_sku"
GONE_ORDER = "gone_order"
BEFORE_OPENING = "before_opening"

NOTHING = OrderLine(id="", ordered=0)

# Of moves at one moment a promise comes before what ends it, so that a statement reads in the order of a sale.
_SORT_ORDER = {Kind.ORDER: 0, Kind.SHIPMENT: 1, Kind.CANCELLATION: 2, Kind.RETURN: 3}


@dataclass(frozen=True)
class Taken:
    """Packs that a channel took off its own figure (+) or gave back (-) since the last level; for `offers.note_taken`.

    `at` is the channel's time for it (None: not known). `edited`: by a cancellation, an edit or a refund, at `at` or
    before: what the channel made of its figure is not certain then (P2), even where `change` is 0.
    """

    ref: Ref | None
    sku: str | None
    change: int
    at: datetime | None
    edited: bool = False


@dataclass(frozen=True)
class Booking:
    """What one reading of one line means: the line to store, the facts to append, the questions open on it now."""

    state: LineState
    facts: tuple[Fact, ...] = ()
    questions: tuple[Question, ...] = ()
    taken: tuple[Taken, ...] = ()

    @property
    def taken_change(self) -> int:
        """Packs the channel took off (+) or gave back (-), over all listings of the line."""
        return sum(t.change for t in self.taken)


@dataclass(frozen=True)
class OrderBooking:
    """What one reading of an order means, over all its lines and those that it has no more."""

    lines: tuple[LineState, ...] = ()
    facts: tuple[Fact, ...] = ()
    questions: tuple[Question, ...] = ()
    taken: tuple[Taken, ...] = ()


# what a line should have moved ----------------------------------------------------------------------------------


class _Shares(NamedTuple):
    """The units of a line, by what became of them. `before` and `outside` were finished before the opening (B2)."""

    shipped: tuple[tuple[datetime, int], ...]
    before: int
    outside: int
    back: int
    gone: int
    damaged: int
    open: int
    undecided: int  # of `open`, those that the channel calls cancelled and nobody has decided about
    good: int
    restocked: int
    broken: int
    unanswered: int  # returned, and nobody has said in what state

    @property
    def sent(self) -> int:
        return sum(units for _, units in self.shipped)


def due(line: LineState, *, at_once: bool = False, trust_restock: bool = False) -> dict[MoveKey, Stock]:
    """What `line` should have moved, in units, by kind and time; moves of nothing are left out.

    `at_once` counts a paid sale as shipped when it was placed (O6). `trust_restock` takes the channel's word that a
    returned unit is sellable again (O5). A line without a SKU (O8) or not counted (O7, O10, O11) moves nothing.
    """
    if line.sku is None or not line.counted:
        return {}
    return _moves(line, _share(line, at_once, trust_restock))


def difference(want: Moves, have: Moves) -> dict[MoveKey, Stock]:
    """What is still to be moved so that `have` becomes `want`."""
    missing = {key: want.get(key, Stock()).minus(have.get(key, Stock())) for key in {**have, **want}}
    return {key: change for key, change in missing.items() if any(change)}


def _share(line: LineState, at_once: bool, trust_restock: bool) -> _Shares:
    level, base = _in_units(line.level, line.pack_size), _in_units(line.baseline or NOTHING, line.pack_size)
    said = line.said
    shipped = [(s.at, s.units) for s in (level if level.sent >= base.sent else base).shipped]
    sent = sum(units for _, units in shipped)
    if said.left > sent:  # a person's word, until the channel knows (O3)
        shipped.append((said.at, said.left - sent))
        sent = said.left
    rest = max(0, level.ordered - sent)  # what was shipped comes first; the answers share the rest
    free = min(level.cancelled, rest)  # answers hold only while the channel calls the units cancelled
    gone = min(said.gone, free)
    damaged = min(said.damaged, free - gone)
    released = min(level.cancelled if level.freely else base.cancelled + said.back, free - gone - damaged)
    kept = min(said.kept, rest - gone - damaged - released)
    waiting = rest - gone - damaged - released - kept  # what is undecided stays committed (O1)
    undecided = min(free - gone - damaged - released, waiting)
    outside = min(base.cancelled, released)
    if at_once and line.paid and waiting:
        shipped.append((line.placed_at, waiting))
        sent, waiting = sent + waiting, 0
    known = max(0, min(level.returned, sent) - base.returned)  # at most what was ever shipped (O5, B2)
    broken = min(said.broken, known)
    good = min(said.good, known - broken)
    trusted = max(0, level.restocked - base.restocked) if trust_restock else 0
    restocked = max(0, min(trusted, known - broken) - good)
    return _Shares(
        shipped=tuple(sorted(shipped)),
        before=base.sent,
        outside=outside,
        back=released - outside + kept,
        gone=gone,
        damaged=damaged,
        open=waiting,
        undecided=undecided,
        good=good,
        restocked=restocked,
        broken=broken,
        unanswered=known - broken - good - restocked,
    )


def _moves(line: LineState, units: _Shares) -> dict[MoveKey, Stock]:
    lost = units.gone + units.damaged
    moves: Counter[datetime] = Counter()
    for at, left in _after(units.shipped, units.before):
        moves[at] += left
    out = {(Kind.SHIPMENT, at): Stock(on_hand=-n, committed=-n) for at, n in moves.items()}
    promised = units.open + units.back + lost + units.sent - units.before
    out[Kind.ORDER, line.placed_at] = Stock(committed=promised)
    cancelled_at = line.level.cancelled_at or line.version
    out[Kind.CANCELLATION, cancelled_at] = Stock(-lost, -units.back - lost, units.damaged)
    returns = [(line.said.at, Stock(units.good, 0, units.broken))]
    returns.append((line.level.taken_at or line.version, Stock(units.restocked)))
    for at, change in returns:
        out[Kind.RETURN, at] = out.get((Kind.RETURN, at), Stock()).plus(change)
    return {key: change for key, change in out.items() if any(change)}


def _after(shipped: tuple[tuple[datetime, int], ...], before: int) -> Iterator[tuple[datetime, int]]:
    """The shipments after the first `before` units."""
    for at, units in shipped:
        skip = min(units, before)
        before -= skip
        yield at, units - skip


def _in_units(level: OrderLine, pack_size: int) -> OrderLine:
    return replace(
        level,
        ordered=level.ordered * pack_size,
        shipped=tuple(replace(s, units=s.units * pack_size) for s in level.shipped),
        cancelled=level.cancelled * pack_size,
        returned=level.returned * pack_size,
        restocked=level.restocked * pack_size,
    )


# which reading stands -------------------------------------------------------------------------------------------


def is_newer(stored: LineState | None, order: Order) -> bool:
    """Whether this reading replaces the stored level: the vendor's own version decides (O1).

    Versions may be as coarse as a second (WooCommerce). Of two readings of one version that differ, the one whose read
    began later stands; a delivery does not say when it was made, so it replaces nothing of its own version.
    """
    if stored is None:
        return True
    if order.state is OrderState.GONE:
        return _is_news_of_absence(stored, order)
    if order.updated_at != stored.version:
        return order.updated_at > stored.version
    if order.read_at is None or _says_the_same(stored, order):
        return False
    return stored.read_at is None or order.read_at > stored.read_at


def _is_news_of_absence(stored: LineState, order: Order) -> bool:
    """An order that is not there has no version of the vendor's: what counts is when we found it missing."""
    if stored.state is OrderState.GONE:
        return False
    if order.read_at is None:
        return order.updated_at > stored.version
    return order.read_at > (stored.read_at or stored.version)


def _says_the_same(stored: LineState, order: Order) -> bool:
    line = _line_of(order, stored.level.id)
    level = _vanished(stored.level, order) if line is None else _with_times(line, stored.level, order)
    return (level, order.state, order.paid) == (stored.level, stored.state, stored.paid)


def _line_of(order: Order, line_id: str) -> OrderLine | None:
    return next((line for line in order.lines if line.id == line_id), None)


def _with_times(line: OrderLine, before: OrderLine | None, order: Order) -> OrderLine:
    """`line` with the times that its channel does not give: of the version that first showed these units."""
    if line.cancelled and line.cancelled_at is None:
        known = before is not None and before.cancelled == line.cancelled
        line = replace(line, cancelled_at=before.cancelled_at if before and known else order.updated_at)
    if line.restocked and line.taken_at is None:
        known = before is not None and before.restocked == line.restocked
        line = replace(line, taken_at=before.taken_at if before and known else order.updated_at)
    return line


def _vanished(level: OrderLine, order: Order) -> OrderLine:
    """A line that its order has no more (edited away, split off): what was not shipped is called off."""
    rest = max(0, level.ordered - level.sent)
    if level.cancelled == rest and level.freely:
        return level
    taken = min(level.taken, level.sent)
    return replace(level, cancelled=rest, freely=True, cancelled_at=order.updated_at, taken=taken)


# booking --------------------------------------------------------------------------------------------------------


def book(
    stored: LineState | None,
    order: Order,
    line: OrderLine,
    *,
    channel: str,
    sku: str | None,
    pack_size: int = 1,
    opened_at: datetime | None = None,
    at_opening: bool = False,
    at_once: bool = False,
    trust_restock: bool = False,
    counted: bool = True,
    location: str = MAIN,
    actor: str = "",
) -> Booking:
    """What one reading of one line adds to the ledger; nothing where the reading is older than what is stored.

    `sku` and `pack_size` are what the line's listing stands for *now*; they are fixed when the line is first committed
    and change only where the order itself names another listing. None: unknown, the line waits (O8).

    `opened_at` is when that SKU was opened (before a line has one: when Start was), `at_opening` whether this is the
    opening's own reading of the orders: a line placed before gets its level now as baseline, once (B2).
    `counted=False` reads a line without counting it: a copy of another channel's order (O10).
    """
    newer = is_newer(stored, order)
    state = stored if stored is not None and not newer else _read(stored, order, line, channel, counted)
    asked: tuple[Question, ...] = ()
    if at_opening and stored is None and (opened_at is None or order.placed_at < opened_at):
        state = replace(state, baseline=state.level)
    other = stored is not None and newer and _names_another(stored.level, line)
    if state.sku is None or other:
        state = replace(state, sku=sku, pack_size=pack_size)
        if stored is None or stored.sku is None:
            state, asked = _with_baseline(state, opened_at, ask=not at_opening)
    old = stored if stored is not None and stored.sku not in (None, state.sku) else None
    state, facts = settle(state, old=old, at_once=at_once, trust_restock=trust_restock, location=location, actor=actor)
    asked += questions(state, at_once=at_once, trust_restock=trust_restock)
    return Booking(state, facts, asked, _taken(stored, state, line) if newer else ())


def settle(
    line: LineState,
    *,
    old: LineState | None = None,
    at_once: bool = False,
    trust_restock: bool = False,
    location: str = MAIN,
    actor: str = "",
) -> tuple[LineState, tuple[Fact, ...]]:
    """The facts that `line` still owes to the ledger, and the line with them moved.

    Call it after anything about a line changed: its level, an answer, `counted`. `old` is the line as it was under
    another SKU: all that it moved there is taken back first.
    """
    facts: tuple[Fact, ...] = ()
    if old is not None:
        line = replace(line, moved={}, revision=old.revision)
        if old.moved:
            line = replace(line, revision=line.revision + 1)
            facts = _facts(replace(old, revision=line.revision), difference({}, old.moved), location, actor)
    want = due(line, at_once=at_once, trust_restock=trust_restock)
    missing = difference(want, line.moved)
    if missing:
        line = replace(line, moved=want, revision=line.revision + 1)
        facts += _facts(line, missing, location, actor)
    return line, facts


def book_order(
    stored: Mapping[str, LineState],
    order: Order,
    resolve: Callable[[OrderLine], tuple[str | None, int]],
    *,
    channel: str,
    opened_at: Callable[[str | None], datetime | None] = lambda _: None,
    at_opening: bool = False,
    at_once: bool = False,
    trust_restock: bool = False,
    counted: bool = True,
    location: str = MAIN,
    actor: str = "",
) -> OrderBooking:
    """One reading of an order, all of its lines: `stored` are the lines known, by line id.

    `resolve` gives our SKU (None: unknown) and pack size for a line, `opened_at` when a SKU was opened (for None:
    when Start was). A stored line that a newer reading has no more is called off as far as it was not shipped; where
    the whole order is gone nothing is assumed and each line that is still committed asks (O9).
    """
    gone = order.state is OrderState.GONE
    read = () if gone else order.lines
    bookings = []
    for line in read:
        sku, pack_size = resolve(line)
        booking = book(
            stored.get(line.id),
            order,
            line,
            channel=channel,
            sku=sku,
            pack_size=pack_size,
            opened_at=opened_at(sku),
            at_opening=at_opening,
            at_once=at_once,
            trust_restock=trust_restock,
            counted=counted,
            location=location,
            actor=actor,
        )
        bookings.append(booking)
    missing = [stored[line_id] for line_id in stored.keys() - {line.id for line in read}]
    for before in sorted((m for m in missing if is_newer(m, order)), key=lambda m: m.key):
        state, taken = _found_gone(before, order) if gone else _called_off(before, order)
        state, facts = settle(state, at_once=at_once, trust_restock=trust_restock, location=location, actor=actor)
        asked = questions(state, at_once=at_once, trust_restock=trust_restock)
        bookings.append(Booking(state, facts, asked, taken))
    return OrderBooking(
        tuple(b.state for b in bookings),
        tuple(f for b in bookings for f in b.facts),
        tuple(q for b in bookings for q in b.questions),
        tuple(t for b in bookings for t in b.taken),
    )


def _read(stored: LineState | None, order: Order, line: OrderLine, channel: str, counted: bool) -> LineState:
    """The line with this reading as its level; what was decided and moved stays."""
    state = stored or LineState(
        key=f"{channel}/{order.id}/{line.id}",
        channel=channel,
        order_id=order.id,
        level=line,
        placed_at=order.placed_at,
        version=order.updated_at,
        read_at=order.read_at,
        state=order.state,
        counted=counted,
    )
    return replace(
        state,
        level=_with_times(line, stored.level if stored else None, order),
        placed_at=order.placed_at,
        version=order.updated_at,
        read_at=order.read_at,
        state=order.state,
        paid=order.paid,
        number=order.number or state.number,
        counted=state.counted and not order.by_channel,
    )


def _found_gone(stored: LineState, order: Order) -> tuple[LineState, tuple[Taken, ...]]:
    """Level and version stay the channel's last word, so that an order that comes back replaces them."""
    state = replace(stored, state=OrderState.GONE, read_at=order.read_at or stored.read_at)
    return state, (Taken(stored.level.ref, stored.sku, 0, None, edited=True),)


def _called_off(stored: LineState, order: Order) -> tuple[LineState, tuple[Taken, ...]]:
    line = _vanished(stored.level, order)
    state = _read(stored, order, line, stored.channel, stored.counted)
    return state, _taken(stored, state, line)


def _names_another(before: OrderLine, line: OrderLine) -> bool:
    """Whether the order's line is now for another listing. A shop may rename a SKU under an order: that is no other."""
    if before.ref is not None and line.ref is not None:
        return before.ref.listing != line.ref.listing
    return before.sku != line.sku


def since_opening(order: Order, start: datetime, opened: datetime, allowance: timedelta) -> Order:
    """The order, with what happened while the counts were opened put after it, as far as clocks may differ.

    The opening's own readings, made from `start` to `opened`, hold all that they could know. So what turns up later
    with a time up to `allowance` before `start` happened afterwards by our clock: vendors' clocks run behind, and cut
    off the fraction of a second. Times before that are believed.
    """
    after = opened + timedelta(microseconds=1)

    def shift(at: datetime) -> datetime:
        return after if start - allowance <= at <= opened else at

    lines = tuple(
        replace(
            line,
            shipped=tuple(replace(s, at=shift(s.at)) for s in line.shipped),
            cancelled_at=shift(line.cancelled_at) if line.cancelled_at else None,
        )
        for line in order.lines
    )
    return replace(order, lines=lines)


def _with_baseline(line: LineState, opened_at: datetime | None, *, ask: bool) -> tuple[LineState, tuple[Question, ...]]:
    if opened_at is None or line.placed_at >= opened_at:
        return line, ()
    line = replace(line, baseline=line.baseline or line.level)
    units = _share(line, False, False).open
    if not ask or line.sku is None or not line.counted or not units:
        return line, ()
    text = (
        f"{_order_name(line)} was placed before {line.sku} was opened, and still has {units} to ship. They are "
        "committed. Had the opening figure left them out (packed apart)? Then add them to On hand, else do nothing."
    )
    return line, (_question(BEFORE_OPENING, line, "", text),)


def _facts(line: LineState, moves: Moves, location: str, actor: str) -> tuple[Fact, ...]:
    ordered = sorted(moves.items(), key=lambda move: (move[0][1], _SORT_ORDER[move[0][0]]))
    return tuple(
        Fact(
            key=f"line:{line.key}:{line.revision}:{kind}:{at.astimezone(UTC).isoformat()}",
            sku=line.sku or "",
            kind=kind,
            occurred_at=at,
            change=change,
            location=location,
            source=line.channel,
            actor=actor,
            reference=line.number or line.order_id,
            line=line.key,
        )
        for (kind, at), change in ordered
    )


def _taken(before: LineState | None, after: LineState, line: OrderLine) -> tuple[Taken, ...]:
    """What the channel did to its own figure between two levels; where the line changed its listing, on both."""
    previous, sku, version = before.level if before else NOTHING, after.sku, after.version
    if before is not None and _names_another(previous, line):
        moved_over = ((previous.ref, before.sku, -previous.taken), (line.ref, sku, line.taken))
        return tuple(Taken(ref, sku, n, version, edited=True) for ref, sku, n in moved_over if n)
    # Units cancelled since may have been taken off and given back between two readings: a change of 0 that is none.
    gave_back = line.cancelled > previous.cancelled or line.restocked > previous.restocked
    edited, change = gave_back or previous.taken > 0, line.taken - previous.taken
    if not change and not gave_back:
        return ()
    at = line.taken_at if line.taken_at != previous.taken_at else None  # the time of an earlier taking says nothing
    return (Taken(line.ref or previous.ref, sku, change, at or (version if edited else None), edited),)


# questions ------------------------------------------------------------------------------------------------------


def questions(line: LineState, *, at_once: bool = False, trust_restock: bool = False) -> tuple[Question, ...]:
    """What is open on a line now: a function of its level and of the answers, so it ends when they no longer ask.

    The key names the level asked about: units cancelled or returned later are a new question.
    """
    if not line.counted:
        return ()
    units, name = _share(line, at_once, trust_restock), _order_name(line)
    if line.sku is None:
        return _unknown_sku(line, units)
    asked = []
    if line.state is OrderState.GONE and units.open:
        text = (
            f"{name} is not on {line.channel} any more (trashed or deleted); {units.open} of {line.sku} are still "
            "committed. Say what became of them: back to stock, or shipped."
        )
        asked.append(_question(GONE_ORDER, line, line.version.isoformat(), text))
    if units.undecided:
        text = (
            f"{name}: {units.undecided} of {line.sku} were cancelled before shipping, not by the buyer. They stay "
            "committed until you say: back to stock (preselected), gone, or damaged."
        )
        asked.append(_question(CANCELLATION, line, f"{line.level.cancelled}", text))
    if units.unanswered:
        text = (
            f"{name}: {units.unanswered} of {line.sku} were returned. They are not in stock until you say: "
            "sellable, damaged, or not arrived."
        )
        asked.append(_question(RETURN, line, f"{line.level.returned}", text))
    return tuple(asked)


def asked_units(line: LineState, kind: str, *, at_once: bool = False, trust_restock: bool = False) -> int:
    """How many units a question of that kind is about, as the line stands now."""
    units = _share(line, at_once, trust_restock)
    of = {GONE_ORDER: units.open, BEFORE_OPENING: units.open, CANCELLATION: units.undecided, RETURN: units.unanswered}
    return of.get(kind, 0)


def _unknown_sku(line: LineState, units: _Shares) -> tuple[Question, ...]:
    if not _moves(line, units):
        return ()
    what = line.level.sku or "no SKU"
    title = f" ({line.level.title})" if line.level.title else ""
    text = (
        f"{_order_name(line)} has {line.level.ordered} of {what}{title}, which is not one of your SKUs; they are not "
        "counted. Add that SKU to the Stock tab, or map its listing in the Listings tab: then they are."
    )
    return (_question(UNKNOWN_SKU, line, "", text),)


def _question(kind: str, line: LineState, about: str, text: str) -> Question:
    key = f"{kind}:{line.key}:{about}" if about else f"{kind}:{line.key}"
    reference = line.number or line.order_id
    sku = line.sku or line.level.sku or ""
    return Question(key=key, kind=kind, sku=sku, text=text, reference=reference, about={"line": line.key})


def _order_name(line: LineState) -> str:
    return f"Order {line.number or line.order_id} ({line.channel})"
