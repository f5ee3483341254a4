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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from sheets_sync import places as at_places
from sheets_sync.model import (
    LONG_AGO,
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
    Said,
    Shipment,
    Stock,
    StockKey,
    Word,
)
from sheets_sync.places import ONE, PlacedMoves, Places, Spent

CANCELLATION = "cancellation"
RETURN = "return"
WAITING = "waiting"
COUNT_BETWEEN = "count_between"
UNKNOWN_SKU = "unknown_sku"
GONE_ORDER = "gone_order"
BEFORE_OPENING = "before_opening"

OF_LINES = frozenset({CANCELLATION, RETURN, WAITING, COUNT_BETWEEN, UNKNOWN_SKU, GONE_ORDER})
"""The questions that `questions` asks: they end by themselves when the level that raised them does."""

SUGGESTS = "suggests"
"""In what a question is about: the answer that is preselected."""

BEFORE, AFTER = "left before", "left after"
"""What a person says of units whose shipment the channel moved over a count: on which side of it they left."""

NOTHING = OrderLine(id="", ordered=0)

# Of moves at one moment a promise comes before what ends it, so that a statement reads in the order of a sale.
_SORT_ORDER = {Kind.ORDER: 0, Kind.SHIPMENT: 1, Kind.CANCELLATION: 2, Kind.RETURN: 3}


@dataclass(frozen=True)
class Policy:
    """What the seller has decided once for all orders of a channel. Every call about one line takes the same one."""

    at_once: bool = False  # O6: a paid sale counts as shipped when it was placed
    trust_restock: bool = False  # O5: a returned unit that the channel says it restocked is sellable again
    cancelled: str = ""  # O2: "back", "gone" or "damaged" for units that nobody has decided about; "": it is asked
    ask_after: timedelta | None = None  # O3: units that wait longer are asked about; None: never


ASK = Policy()
LastCount = Callable[[str], datetime | None]
"""When a SKU was last counted, by a count that stands; None where it never was."""


def uncounted(_: str) -> None:
    """A `LastCount` for lines whose SKUs have no count."""


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

    @classmethod
    def of(cls, bookings: Sequence[Booking]) -> OrderBooking:
        """Those of its lines together."""
        return cls(
            tuple(b.state for b in bookings),
            tuple(f for b in bookings for f in b.facts),
            tuple(q for b in bookings for q in b.questions),
            tuple(t for b in bookings for t in b.taken),
        )


# what a line should have moved ----------------------------------------------------------------------------------


class _Shares(NamedTuple):
    """The units of a line, by what became of them. `before` and `outside` were finished before the opening (B2)."""

    shipped: tuple[tuple[datetime, int, str], ...]  # when, how many, and the channel's own place
    before: int
    outside: int
    back: int
    gone: int
    damaged: int
    open: int
    undecided: int  # of `open`, those that the channel calls cancelled and nobody has decided about
    by_policy: int  # of `back`, `gone` or `damaged`, those that the policy decided
    good: int
    counted: int
    restocked: int
    broken: int
    unanswered: int  # returned, and nobody has said in what state
    before_us: int  # came back before the opening

    @property
    def returnable(self) -> int:
        """Units that left and of which nobody has said that they came back."""
        return self.sent - self.before_us - self.good - self.counted - self.restocked - self.broken

    @property
    def sent(self) -> int:
        return sum(units for _, units, _ in self.shipped)


def due(line: LineState, policy: Policy = ASK) -> dict[MoveKey, Stock]:
    """What `line` should have moved, in units, by kind and time; moves of nothing are left out.

    A line without a SKU (O8) or not counted (O7, O10, O11) moves nothing.
    """
    if line.sku is None or not line.counted:
        return {}
    return _moves(line, _share(line, policy))


K = TypeVar("K")


def difference(want: Mapping[K, Stock], have: Mapping[K, Stock]) -> dict[K, Stock]:
    """What is still to be moved so that `have` becomes `want`."""
    missing = {key: want.get(key, Stock()).minus(have.get(key, Stock())) for key in {**have, **want}}
    return {key: change for key, change in missing.items() if any(change)}


def _share(line: LineState, policy: Policy) -> _Shares:
    """The table of law 1: what became of each unit, by the level first, then people's words, then the policy."""
    level, base = _in_units(line.level, line.pack_size), _in_units(line.baseline or NOTHING, line.pack_size)
    said = line.said
    shipped = [(s.at, s.units, s.place) for s in (level if level.sent >= base.sent else base).shipped]
    sent = sum(units for _, units, _ in shipped)
    if said.left > sent:  # a person's word, until the channel knows (O3)
        shipped += [(at, n, "") for at, n in _heard(said, "left", said.left - sent, newest=True)]
        sent = said.left
    rest = max(0, level.ordered - sent)  # what was shipped comes first; the answers share the rest
    free = min(level.cancelled, rest)  # answers hold only while the channel calls the units cancelled
    gone = min(said.gone, free)
    damaged = min(said.damaged, free - gone)
    released = min(level.cancelled if level.freely else base.cancelled + said.back, free - gone - damaged)
    kept = min(said.kept, rest - gone - damaged - released)
    waiting = rest - gone - damaged - released - kept  # what is undecided stays committed (O1)
    undecided = min(free - gone - damaged - released, waiting)
    by_policy = undecided if policy.cancelled else 0
    waiting, undecided = waiting - by_policy, undecided - by_policy
    outside = min(base.cancelled, released)
    if policy.at_once and line.paid and waiting:
        shipped.append((line.paid_at or line.placed_at, waiting, ""))
        sent, waiting = sent + waiting, 0
    returned = max(level.returned, base.returned + said.came)
    known = max(0, min(returned, sent) - base.returned)  # at most what was ever shipped (O5, B2)
    broken = min(said.broken, known)
    good = min(said.good, known - broken)
    counted = min(said.counted, known - broken - good)
    trusted = max(0, level.restocked - base.restocked) if policy.trust_restock else 0
    restocked = max(0, min(trusted, known - broken) - good - counted)
    unseen = known - broken - good - counted - restocked
    return _Shares(
        shipped=tuple(sorted(shipped)),
        before=base.sent,
        outside=outside,
        back=released - outside + kept + (by_policy if policy.cancelled == "back" else 0),
        gone=gone + (by_policy if policy.cancelled == "gone" else 0),
        damaged=damaged + (by_policy if policy.cancelled == "damaged" else 0),
        open=waiting,
        undecided=undecided,
        by_policy=by_policy,
        good=good,
        counted=counted,
        restocked=restocked,
        broken=broken,
        unanswered=max(0, unseen - said.absent),  # absent comes last: what did not arrive may still do so
        before_us=base.returned,
    )


def _heard(said: Said, what: str, units: int, *, newest: bool = False) -> list[tuple[datetime, int]]:
    """The times of `units` that people spoke of, the oldest words first: each answer keeps its own time.

    `newest`: the oldest words are those that the channel has confirmed meanwhile, so the last ones remain.
    """
    words = [word for word in said.heard if word.what == what]
    out = []
    for word in reversed(words) if newest else words:
        n = min(word.units, units)
        units -= n
        out.append((word.at, n))
    return [(at, n) for at, n in (*out, (said.at, units)) if n]


def _moves(line: LineState, units: _Shares) -> dict[MoveKey, Stock]:
    lost = units.gone + units.damaged
    moves: Counter[datetime] = Counter()
    for at, left, _ in _after(units.shipped, units.before):
        moves[at] += left
    out = {(Kind.SHIPMENT, at): Stock(on_hand=-n, committed=-n) for at, n in moves.items()}
    promised = units.open + units.back + lost + units.sent - units.before
    out[Kind.ORDER, line.placed_at] = Stock(committed=promised)
    cancelled_at = line.level.cancelled_at or line.version
    out[Kind.CANCELLATION, cancelled_at] = Stock(-lost, -units.back - lost, units.damaged)
    for at, change in _returns(line, units):
        out[Kind.RETURN, at] = out.get((Kind.RETURN, at), Stock()).plus(change)
    return {key: change for key, change in out.items() if any(change)}


def _returns(line: LineState, units: _Shares) -> Iterator[tuple[datetime, Stock]]:
    for what, came in (("good", units.good), ("counted", units.counted)):
        yield from ((at, Stock(n)) for at, n in _heard(line.said, what, came))
    yield from ((at, Stock(damaged=n)) for at, n in _heard(line.said, "broken", units.broken))
    yield _restocked_at(line), Stock(units.restocked)


def _restocked_at(line: LineState) -> datetime:
    return line.level.taken_at or line.version


def _after(shipped: tuple[tuple[datetime, int, str], ...], before: int) -> Iterator[tuple[datetime, int, str]]:
    """The shipments after the first `before` units."""
    for at, units, place in shipped:
        skip = min(units, before)
        before -= skip
        yield at, units - skip, place


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
    level = _vanished(stored.level, order) if line is None else _completed(line, stored, order)
    return (level, order.state, order.paid) == (stored.level, stored.state, stored.paid)


def _line_of(order: Order, line_id: str) -> OrderLine | None:
    return next((line for line in order.lines if line.id == line_id), None)


def _completed(line: OrderLine, stored: LineState | None, order: Order) -> OrderLine:
    """`line` with what its channel does not say and only earlier readings of it can tell."""
    before = stored.level if stored is not None else None
    if line.ordered_gone and before is not None:
        rest = max(0, before.ordered - line.sent)
        line = replace(line, ordered=before.ordered, cancelled=rest, taken=before.taken)
    if line.returned_apart and before is not None:
        line = replace(line, returned=min(max(line.returned, before.returned), line.sent))
    if line.free_if_pending and line.cancelled and stored is not None and not line.freely:
        line = replace(line, freely=stored.state is OrderState.PENDING or _was_freed(stored.level))
    if any(s.at_latest for s in line.shipped):
        line = replace(line, shipped=tuple(_first_seen(line, stored, order)))
    return _with_times(line, before, order)


def _was_freed(level: OrderLine) -> bool:
    """Whether an earlier reading knew that it was cancelled while it was pending."""
    return level.free_if_pending and level.cancelled > 0 and level.freely


def _first_seen(line: OrderLine, stored: LineState | None, order: Order) -> Iterator[Shipment]:
    """The shipments; those of which only the latest time is known have that of the version that first showed them.

    Units that an earlier reading had as shipped keep its times, the first ones first.
    """
    yield from (s for s in line.shipped if not s.at_latest)
    late = sum(s.units for s in line.shipped if s.at_latest)
    for shipment in stored.level.shipped if stored is not None else ():
        units = min(shipment.units, late) if shipment.at_latest else 0
        late -= units
        if units:
            yield replace(shipment, units=units)
    if late:
        known = [order.placed_at, *([stored.version] if stored else []), *([order.since] if order.since else [])]
        after = min(max(known), order.changed) if order.changed_at is None else order.changed
        yield Shipment(order.changed, late, at_latest=True, after=after)


def _with_times(line: OrderLine, before: OrderLine | None, order: Order) -> OrderLine:
    """`line` with the times that its channel does not give: of the version that first showed these units."""
    if line.cancelled and line.cancelled_at is None:
        known = before is not None and before.cancelled == line.cancelled
        line = replace(line, cancelled_at=before.cancelled_at if before and known else order.changed)
    if line.restocked and line.taken_at is None:
        known = before is not None and before.restocked == line.restocked
        line = replace(line, taken_at=before.taken_at if before and known else order.changed)
    return line


def _vanished(level: OrderLine, order: Order) -> OrderLine:
    """A line that its order has no more (edited away, split off): what was not shipped is called off."""
    rest = max(0, level.ordered - level.sent)
    if level.cancelled == rest and level.freely:
        return level
    taken = min(level.taken, level.sent)
    return replace(level, cancelled=rest, freely=True, cancelled_at=order.changed, taken=taken)


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
    opens: bool = False,
    counted_at: datetime | None = None,
    policy: Policy = ASK,
    last_count: LastCount = uncounted,
    now: datetime | None = None,
    counted: bool = True,
    places: Places = ONE,
    spent: Spent = MappingProxyType({}),
    actor: str = "",
) -> Booking:
    """What one reading of one line adds to the ledger; nothing where the reading is older than what is stored.

    `sku` and `pack_size` are what the line's listing stands for *now*; they are fixed when the line is first committed
    and change only where the order itself names another listing. None: unknown, the line waits (O8).

    `opened_at` is when that SKU was opened (before a line has one: when Start was), `at_opening` whether this is the
    opening's own reading of the orders: a line placed before gets its level now as baseline, once (B2). `opens`: the
    SKU's own opening has just been made from this very reading, so that all it shows is baseline. `counted_at` is
    when a person counted the SKU for that opening, where it was then: what left later is no baseline (B4).
    `counted=False` reads a line without counting it: a copy of another channel's order (O10).
    `last_count` and `now` are what `settle` and `questions` want.
    """
    newer = is_newer(stored, order)
    state = stored if stored is not None and not newer else _read(stored, order, line, channel, counted)
    asked: tuple[Question, ...] = ()
    if at_opening and counted_at is not None:
        opened_at = counted_at
    unread = stored is None or stored.version == LONG_AGO
    opens = opens and (stored is None or stored.said == Said())
    if opens or (at_opening and unread and (opened_at is None or order.placed_at < opened_at)):
        state = replace(state, baseline=_as_of(state.level, counted_at))
    other = stored is not None and newer and _names_another(stored.level, line)
    if state.sku is None or other:
        state = replace(state, sku=sku, pack_size=pack_size, split=())
        if stored is None or stored.sku is None:
            state, asked = _with_baseline(state, opened_at, ask=not at_opening)
    old = stored if stored is not None and stored.sku not in (None, state.sku) else None
    state, facts = settle(state, policy, last_count, old=old, places=places, spent=spent, actor=actor)
    asked += questions(state, policy, last_count, now)
    return Booking(state, facts, asked, _taken(stored, state, line) if newer else ())


def forgotten(line: LineState) -> LineState:
    """A line whose moves were all taken back, as if it had never been read: the next opening reads it anew (B6)."""
    return replace(line, sku=None, said=Said(), baseline=None, version=LONG_AGO, read_at=None, split=())


def _as_of(level: OrderLine, at: datetime | None) -> OrderLine:
    if at is None:
        return level
    return replace(level, shipped=tuple(s for s in level.shipped if s.at <= at))


def settle(
    line: LineState,
    policy: Policy = ASK,
    last_count: LastCount = uncounted,
    *,
    old: LineState | None = None,
    places: Places = ONE,
    spent: Spent = MappingProxyType({}),
    actor: str = "",
    note: str = "",
) -> tuple[LineState, tuple[Fact, ...]]:
    """The facts that `line` still owes to the ledger, and the line with them moved.

    Call it after anything about a line changed: its level, an answer, `counted`. `old` is the line as it was under
    another SKU: all that it moved there is taken back first. A shipment whose time now lies on the other side of the
    last count stays where it is until a person says on which side it belongs (O1). `places` says where its channel's
    units come from (K4, K5), `spent` what other lines of the same order have just been promised.
    """
    facts: tuple[Fact, ...] = ()
    if old is not None:
        line = replace(line, moved={}, away=(), revision=old.revision)
        if old.moved:
            line = replace(line, revision=line.revision + 1)
            facts = _facts(replace(old, revision=line.revision), difference({}, at_places.placed(old)), actor)
    want, _ = _on_their_side(line, policy, last_count)
    split = at_places.split_of(line, want, places, spent)
    there = _spread(replace(line, split=split), want, policy, places)
    missing = difference(there, at_places.placed(line))
    if missing:
        away = at_places.away(there)
        line = replace(line, moved=want, split=split, away=away, revision=line.revision + 1)
        facts += _facts(line, missing, actor, _notes(line, policy), note)
    return line, facts


def _spread(line: LineState, want: Moves, policy: Policy, places: Places) -> PlacedMoves:
    """What is due, by location: a shipment from a place of the channel's that is one of ours takes on_hand there."""
    units = _share(line, policy)
    legs = ((at, n, places.of.get(place, "")) for at, n, place in _after(units.shipped, units.before))
    return at_places.spread(want, line.split, legs, places.of.get(line.level.returned_to, ""))


def _notes(line: LineState, policy: Policy) -> dict[MoveKey, str]:
    """Where the policy answered for the seller, its events say so."""
    units, out = _share(line, policy), {}
    if units.by_policy:
        cancelled_at = line.level.cancelled_at or line.version
        out[Kind.CANCELLATION, cancelled_at] = f"{units.by_policy} by the channel's policy: {_POLICY[policy.cancelled]}"
    if units.restocked:
        out[Kind.RETURN, _restocked_at(line)] = f"{units.restocked} restocked, says the channel; its policy trusts it"
    return out


_POLICY = {"back": "back to stock", "gone": "gone", "damaged": "damaged"}


# counts between two times of one shipment -----------------------------------------------------------------------


class _Doubt(NamedTuple):
    """Units whose shipment the channel moved over a count."""

    units: int
    was: datetime
    now: datetime
    counted: datetime
    late: bool = False  # they left between `was` and `now`; when, the channel does not say


def _on_their_side(
    line: LineState, policy: Policy, last_count: LastCount
) -> tuple[dict[MoveKey, Stock], _Doubt | None]:
    """What is due, with units that were moved on one side of the last count kept there or put where a person says."""
    want, late = _on_either_side(line, due(line, policy), policy, last_count)
    shifts = [s for s in _shifts(_shipped(line.moved), _shipped(want)) if s[0] != s[1]]
    count = last_count(line.sku or "") if shifts else None
    over = [s for s in shifts if count is not None and min(s[:2]) <= count < max(s[:2])]
    if not over or count is None:
        return want, late
    said = _said_of_side(line)
    out, doubts = dict(want), list[_Doubt]()
    for was, now, units in over:
        stays = min(was, now) if said == BEFORE else max(was, now) if said == AFTER else was
        if not said and not policy.at_once:  # such a shop marks its orders whenever it likes
            doubts.append(_Doubt(units, was, now, count))
        if stays != now:
            _shift(out, now, stays, units)
    return out, doubts[0]._replace(units=sum(d.units for d in doubts)) if doubts else late


def _on_either_side(
    line: LineState, want: dict[MoveKey, Stock], policy: Policy, last_count: LastCount
) -> tuple[dict[MoveKey, Stock], _Doubt | None]:
    """Units of which only the latest time is known, and that a count may have seen leave or not (O1).

    They count as left at that time, which is after the count: that promises nothing twice. A person may say otherwise.
    """
    late = [s for s in line.level.shipped if s.at_latest and s.after is not None and s.after < s.at]
    count = last_count(line.sku or "") if late and line.sku and line.counted else None
    over = [s for s in late if count is not None and s.after is not None and s.after < count < s.at]
    if not over or count is None:
        return want, None
    out, doubts = dict(want), list[_Doubt]()
    for shipment in over:
        units = shipment.units * line.pack_size
        said = next((word.what for word in _words_of_side(line) if word.at >= shipment.at), "")
        after = shipment.after
        if said == BEFORE and after is not None and (Kind.SHIPMENT, shipment.at) in out:
            _shift(out, shipment.at, after, min(units, -out[Kind.SHIPMENT, shipment.at].on_hand))
        elif not said and not policy.at_once and after is not None:
            doubts.append(_Doubt(units, after, shipment.at, count, late=True))
    return out, doubts[0]._replace(units=sum(d.units for d in doubts)) if doubts else None


def _said_of_side(line: LineState) -> str:
    """A person's word about the times of just this level."""
    last = max((s.at for s in line.level.shipped), default=line.version)
    return next((word.what for word in _words_of_side(line) if word.at == last), "")


def _words_of_side(line: LineState) -> Iterator[Word]:
    """What people said of sides, the newest first. A word is about all that had left by its time."""
    return (word for word in reversed(line.said.heard) if word.what in (BEFORE, AFTER))


def _shipped(moves: Moves) -> list[tuple[datetime, int]]:
    return sorted((at, -change.on_hand) for (kind, at), change in moves.items() if kind is Kind.SHIPMENT)


def _shifts(
    was: Sequence[tuple[datetime, int]], now: Sequence[tuple[datetime, int]]
) -> Iterator[tuple[datetime, datetime, int]]:
    """(time before, time now, units), the first units of the one list matched to the first of the other."""
    left, right = list(reversed(was)), list(reversed(now))
    while left and right:
        (old, n), (new, m) = left.pop(), right.pop()
        units = min(n, m)
        yield old, new, units
        left += [(old, n - units)] if n > units else []
        right += [(new, m - units)] if m > units else []


def _shift(moves: dict[MoveKey, Stock], now: datetime, to: datetime, units: int) -> None:
    change = Stock(on_hand=-units, committed=-units)
    for at, sign in ((now, -1), (to, 1)):
        key = (Kind.SHIPMENT, at)
        moves[key] = moves.get(key, Stock()).plus(change, sign)
        if not any(moves[key]):
            del moves[key]


def book_order(
    stored: Mapping[str, LineState],
    order: Order,
    resolve: Callable[[OrderLine], tuple[str | None, int]],
    *,
    channel: str,
    opened_at: Callable[[str | None], datetime | None] = lambda _: None,
    at_opening: bool = False,
    opens: Collection[str | None] = (),
    counted_at: Callable[[str | None], datetime | None] = lambda _: None,
    policy: Policy = ASK,
    last_count: LastCount = uncounted,
    now: datetime | None = None,
    counted: bool = True,
    places: Places = ONE,
    actor: str = "",
) -> OrderBooking:
    """One reading of an order, all of its lines: `stored` are the lines known, by line id.

    `resolve` gives our SKU (None: unknown) and pack size for a line, `opened_at` when a SKU was opened (for None:
    when Start was). A stored line that a newer reading has no more is called off as far as it was not shipped; where
    the whole order is gone nothing is assumed and each line that is still committed asks (O9).
    """
    gone = order.state is OrderState.GONE
    read = () if gone else order.lines
    bookings, spent = [], Counter[StockKey]()
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
            opens=sku in opens,
            counted_at=counted_at(sku),
            policy=policy,
            last_count=last_count,
            now=now,
            counted=counted,
            places=places,
            spent=spent,
            actor=actor,
        )
        bookings.append(booking)
        for fact in booking.facts:
            spent[StockKey(fact.sku, fact.location)] -= fact.change.available
    missing = [stored[line_id] for line_id in stored.keys() - {line.id for line in read}]
    for before in sorted((m for m in missing if is_newer(m, order)), key=lambda m: m.key):
        state, taken = _found_gone(before, order) if gone else _called_off(before, order)
        state, facts = settle(state, policy, last_count, places=places, actor=actor)
        asked = questions(state, policy, last_count, now)
        bookings.append(Booking(state, facts, asked, taken))
    return OrderBooking.of(bookings)


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
        level=_completed(line, stored, order),
        placed_at=order.placed_at if state.version == LONG_AGO else state.placed_at,
        version=order.updated_at,
        read_at=order.read_at,
        state=order.state,
        paid=order.paid,
        paid_at=_paid_at(stored, order),
        number=order.number or state.number,
        source=order.source or state.source,
        counted=state.counted and not order.by_channel,
    )


def _paid_at(stored: LineState | None, order: Order) -> datetime | None:
    """None where it was paid when it was placed, as far as we saw."""
    if stored is None or stored.version == LONG_AGO or not order.paid:
        return None
    return stored.paid_at if stored.paid else order.changed


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


def _with_baseline(line: LineState, opened_at: datetime | None, *, ask: bool) -> tuple[LineState, tuple[Question, ...]]:
    if opened_at is None or line.placed_at >= opened_at:
        return line, ()
    line = replace(line, baseline=line.baseline or line.level)
    units = _share(line, ASK).open
    if not ask or line.sku is None or not line.counted or not units:
        return line, ()
    text = (
        f"{order_name(line)} was placed before {line.sku} was opened, and still has {units} to ship. They are "
        "committed. Had the opening figure left them out (packed apart)? Then add them to On hand, else do nothing."
    )
    return line, (_question(BEFORE_OPENING, line, "", text),)


def _facts(
    line: LineState, moves: PlacedMoves, actor: str, notes: Mapping[MoveKey, str] | None = None, note: str = ""
) -> tuple[Fact, ...]:
    ordered = sorted(moves.items(), key=lambda move: (move[0][2], _SORT_ORDER[move[0][1]]))
    return tuple(
        Fact(
            key=f"line:{line.key}:{line.revision}:{kind}:{at.astimezone(UTC).isoformat()}{_apart(place)}",
            sku=line.sku or "",
            kind=kind,
            occurred_at=at,
            change=change,
            location=place,
            source=line.channel,
            actor=actor,
            reference=line.number or line.order_id,
            line=line.key,
            note="; ".join(filter(None, (note, (notes or {}).get((kind, at))))),
        )
        for (place, kind, at), change in ordered
    )


def _apart(place: str) -> str:
    """One move may be made at several locations: the keys of those outside the main one name theirs."""
    return "" if place == MAIN else f":{place}"


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
    # the time of an earlier taking says nothing, nor does that of the taking where units were given back since
    at = line.taken_at if line.taken_at != previous.taken_at and not gave_back else None
    return (Taken(line.ref or previous.ref, sku, change, at or (version if edited else None), edited),)


# questions ------------------------------------------------------------------------------------------------------


def questions(
    line: LineState, policy: Policy = ASK, last_count: LastCount = uncounted, now: datetime | None = None
) -> tuple[Question, ...]:
    """What is open on a line now: a function of its level and of the answers, so it ends when they no longer ask.

    The key names the level asked about: units cancelled or returned later are a new question. `now` lets units ask
    that have waited longer than the policy likes (O3); without it nothing is old.
    """
    if not line.counted:
        return ()
    units = _share(line, policy)
    if line.sku is None:
        return _unknown_sku(line, units)
    asked = [*_about_open_units(line, units, policy, now)]
    if units.unanswered:
        text = (
            f"{order_name(line)}: {units.unanswered} of {line.sku} were returned. They are not in stock until you "
            "say: sellable, damaged, not arrived, or already counted (in a count since they came)."
        )
        about = f"{line.level.returned}:{line.said.came}"
        said = line.said.good + line.said.broken + line.said.counted + line.said.absent
        restocked = line.level.restocked * line.pack_size - said >= units.unanswered
        asked.append(_question(RETURN, line, about, text, said, "sellable" if restocked else ""))
    _, doubt = _on_their_side(line, policy, last_count)
    if doubt:
        text = _about_side(line, doubt)
        asked.append(_question(COUNT_BETWEEN, line, doubt.now.astimezone(UTC).isoformat(), text))
    return tuple(asked)


def _about_side(line: LineState, doubt: _Doubt) -> str:
    units = f"{order_name(line)}: {doubt.units} of {line.sku} left"
    if doubt.late:
        return (
            f"{units} between {_clock(doubt.was)} and {_clock(doubt.now)}; when, the channel does not say, and the "
            f"count of {_clock(doubt.counted)} lies between. They are taken off as if they had left after it. Had they "
            "left before that count, or after it?"
        )
    return (
        f"{units} at {_clock(doubt.was)}, as far as we knew; now it is {_clock(doubt.now)}, and the count of "
        f"{_clock(doubt.counted)} lies between. Nothing has changed. Had they left before that count, or after it?"
    )


def _about_open_units(
    line: LineState, units: _Shares, policy: Policy, now: datetime | None
) -> Iterator[Question]:  # fmt: skip
    name = order_name(line)
    if line.state is OrderState.GONE and units.open:
        text = (
            f"{name} is not on {line.channel} any more (trashed or deleted); {units.open} of {line.sku} are still "
            "committed. Say what became of them: back to stock, or shipped."
        )
        yield _question(GONE_ORDER, line, line.version.isoformat(), text, line.said.kept + line.said.left)
    if units.undecided:
        said = line.said.back + line.said.gone + line.said.damaged
        text, suggests = _about_cancelled(line, units.undecided)
        yield _question(CANCELLATION, line, f"{line.level.cancelled}", text, said, suggests)
    waiting, since = units.open - units.undecided, asks_at(line, policy)
    if waiting and line.state is not OrderState.GONE and now is not None and since is not None and now >= since:
        text = (
            f"{name}: {waiting} of {line.sku} have been promised since {_clock(line.placed_at)} and have not been "
            "shipped, as far as the channel knows. Say what became of them: shipped, back to stock, or still waiting."
        )
        said = line.said.kept + line.said.left
        yield _question(WAITING, line, since.astimezone(UTC).isoformat(), text, said)


def _about_cancelled(line: LineState, units: int) -> tuple[str, str]:
    """O2: what is said, and the answer that is preselected: back to stock, unless it was not there to begin with."""
    seen = f"{order_name(line)}: {units} of {line.sku} were cancelled before shipping, not by the buyer"
    if line.level.not_there:
        text = (
            f"{seen}, and the reason given is that they were not there. They stay committed until you say: gone "
            "(suggested), back to stock, or damaged."
        )
        return text, "gone"
    text = f"{seen}. They stay committed until you say: back to stock (suggested, the usual case), gone, or damaged."
    return text, "back to stock"


def asks_at(line: LineState, policy: Policy) -> datetime | None:
    """From when on units that still wait are asked about (O3); None: never."""
    return None if policy.ask_after is None else max(line.placed_at + policy.ask_after, line.said.waits)


def asked_units(line: LineState, kind: str, policy: Policy = ASK) -> int:
    """How many units a question of that kind is about, as the line stands now."""
    units = _share(line, policy)
    of = {
        GONE_ORDER: units.open,
        BEFORE_OPENING: units.open,
        CANCELLATION: units.undecided,
        WAITING: units.open - units.undecided,
        RETURN: units.unanswered,
    }
    return of.get(kind, 0)


def came_back(line: LineState, policy: Policy = ASK) -> int:
    """Units of which it is known that they came back since the opening, sellable or damaged."""
    units = _share(line, policy)
    return units.good + units.counted + units.restocked + units.broken


def returnable(line: LineState, policy: Policy = ASK) -> int:
    """Units that left and did not come back yet, whatever the channel knows of it: the most that may return (O5)."""
    return _share(line, policy).returnable


def _unknown_sku(line: LineState, units: _Shares) -> tuple[Question, ...]:
    if not _moves(line, units):
        return ()
    what = line.level.sku or "no SKU"
    title = f" ({line.level.title})" if line.level.title else ""
    text = (
        f"{order_name(line)} has {line.level.ordered} of {what}{title}, which is not one of your SKUs; they are not "
        "counted. Add that SKU to the Stock tab, or map its listing in the Listings tab: then they are."
    )
    return (_question(UNKNOWN_SKU, line, "", text),)


def _question(kind: str, line: LineState, about: str, text: str, said: int = 0, suggests: str = "") -> Question:
    """`said`: units that people have answered for. The rest is another question: the answer that still stands beside
    the first one in Review was for a part, and must not be taken for the rest as well.
    """
    key = f"{kind}:{line.key}:{about}" if about else f"{kind}:{line.key}"
    key += f"~{said}" if said else ""
    reference = line.number or line.order_id
    sku = line.sku or line.level.sku or ""
    more = {"line": line.key, SUGGESTS: suggests} if suggests else {"line": line.key}
    return Question(key=key, kind=kind, sku=sku, text=text, reference=reference, about=more)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def order_name(line: LineState) -> str:
    """What people call the order of a line."""
    return f"Order {line.number or line.order_id} ({line.channel})"
