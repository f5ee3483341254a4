"""Law 3: every figure of RULES.md P, and shops whose buyers, passes and deliveries cross in every way.

`Shop` and `Desk` are the smallest channel pass that follows `offers`' docstring; the product's own is `sync`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sheets_sync import offers
from sheets_sync.lines import Taken, book_order
from sheets_sync.model import LineState, Listing, Order, OrderLine, OrderState, Ref, StockKey
from sheets_sync.offers import (
    Action,
    Means,
    View,
    acknowledge,
    decide,
    decide_again,
    drift,
    expected,
    gate_open,
    look_again,
    note_taken,
    offer,
    plan,
    seen,
    take_off_missing,
    unseen,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ALLOWANCE = timedelta(seconds=60)
SHOPIFY = Means(compare_and_set=True, readable=True)
WOO = Means(compare_and_set=False, readable=True)
BLIND = Means(compare_and_set=False, readable=False)


def a_listing(shown: int | None = 10, taken: int | None = 0, **how: Any) -> Listing:
    how = {"channel": "shop", "ref": Ref("1"), "sku": "MUG", "shown_at": NOW, **how}
    return Listing(shown=shown, taken=taken, **how)


def pushed(listing: Listing, available: int | None, **how: Any) -> int | None:
    return decide(View(listing, available, **how))


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# the offer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("available", "how", "figure"),
    [
        (8, {}, 8),
        (-2, {}, 0),
        (8, {"hold_back": 3}, 5),
        (2, {"hold_back": 3}, 0),
        (8, {"most": 5}, 5),
        (8, {"most": 0}, 0),
        (3, {"most": 5}, 3),
        (20, {"hold_back": 2, "pack_size": 6, "most": 2}, 2),
        (5, {"pack_size": 6}, 0),
        (-1, {"pack_size": 6}, 0),
    ],
)
def test_the_offer(available: int, how: dict[str, int], figure: int) -> None:
    assert offer(available, a_listing(**how)) == figure


def test_B1_no_count_no_offer() -> None:
    assert offer(None, a_listing()) is None
    assert pushed(a_listing(), None, sees=3, explained=True, fresh=True) is None
    assert [s.why for s in plan([a_listing()], {}, SHOPIFY, now=NOW).left] == ["the SKU has no count yet"]


def test_a_listing_matched_to_no_sku_has_no_offer() -> None:
    assert offer(5, a_listing(sku=None)) is None


def test_K5_available_is_summed_over_locations_before_any_clamp() -> None:
    stock = {StockKey("MUG", "main"): -2, StockKey("MUG", "b"): 5}
    assert offer(sum(stock.values()), a_listing()) == 3


def test_K6_a_pack_of_six() -> None:
    assert offer(17, a_listing(pack_size=6)) == 2


# P1, P2: what we expect a listing to show -----------------------------------------------------------------------


def test_P1_a_channels_own_sale_needs_no_call() -> None:
    assert pushed(a_listing(10, taken=2), 8) is None
    assert plan([a_listing(10, taken=2)], {"MUG": 8}, SHOPIFY, now=NOW) == offers.Plan()


def test_P1_woocommerce_pending_is_lowered_and_raised_when_paid() -> None:
    assert pushed(a_listing(10, taken=0), 8) == 8
    paid = a_listing(8, taken=2)
    assert expected(paid) == 6
    assert [pushed(paid, 8, fresh=fresh) for fresh in (False, True)] == [None, 8]


def test_P1_a_sale_after_the_acknowledgement_is_taken_off_what_we_expect() -> None:
    listing = note_taken(a_listing(10), 2, after(61), ALLOWANCE)
    assert (listing.taken, expected(listing)) == (2, 8)
    assert expected(note_taken(listing, 1, after(500), ALLOWANCE)) == 7


def test_P1_a_sale_before_the_acknowledgement_had_been_seen() -> None:
    assert note_taken(a_listing(10), 2, after(-61), ALLOWANCE) == a_listing(10)
    assert note_taken(a_listing(10), -2, after(-61), ALLOWANCE, edited=True) == a_listing(10)


def test_P1_what_a_listing_shows_is_never_below_0() -> None:
    assert expected(a_listing(2, taken=5)) == 0


@pytest.mark.parametrize("seconds", [-60, -1, 0, 1, 60])
def test_P2_within_the_clock_allowance_expected_is_unknown(seconds: float) -> None:
    assert expected(note_taken(a_listing(10), 2, after(seconds), ALLOWANCE)) is None


@pytest.mark.parametrize(
    ("change", "at", "edited"),
    [
        (-2, after(500), True),  # a cancellation, a refund
        (-2, after(500), False),
        (1, after(500), True),  # an edit
        (0, None, True),  # an order that is gone
        (2, None, False),  # nobody says when
    ],
)
def test_P2_after_a_cancellation_edit_or_refund_expected_is_unknown(
    change: int, at: datetime | None, edited: bool
) -> None:
    listing = note_taken(a_listing(10), change, at, ALLOWANCE, edited=edited)
    assert expected(listing) is None
    assert expected(note_taken(listing, 1, after(900), ALLOWANCE)) is None, "until it is looked at, or written"


def test_P2_nothing_taken_is_nothing() -> None:
    assert note_taken(a_listing(10), 0, None, ALLOWANCE) == a_listing(10)
    assert note_taken(a_listing(None, shown_at=None), 2, NOW, ALLOWANCE) == a_listing(None, shown_at=None)


def test_P2_unknown_is_looked_at_or_pushed() -> None:
    unknown = a_listing(10, taken=None)
    assert [pushed(unknown, 8, fresh=fresh) for fresh in (False, True)] == [None, 8]
    assert [s.listing for s in plan([unknown], {"MUG": 8}, SHOPIFY, now=NOW).look] == [unknown]
    assert [s.figure for s in plan([unknown], {"MUG": 8}, BLIND, now=NOW, fresh={"MUG"}).raise_] == [8]


# P3 to P6: lower at once, raise on fresh knowledge --------------------------------------------------------------


def test_P3_lower_at_once_smallest_stock_first() -> None:
    listings = [a_listing(20, sku=sku, ref=Ref(sku)) for sku in ("A", "B", "C")]
    for means in (SHOPIFY, BLIND):
        planned = plan(listings, {"A": 9, "B": 0, "C": 4}, means, now=NOW)
        assert [(s.listing.sku, s.figure, s.expected) for s in planned.lower] == [
            ("B", 0, 20),
            ("C", 4, 20),
            ("A", 9, 20),
        ]


def test_P3_without_compare_and_set_write_at_most_what_it_shows() -> None:
    listing = a_listing(10)
    planned = plan([listing], {"MUG": 9}, WOO, now=NOW)
    assert [s.action for s in planned.look] == [Action.LOOK]
    assert not planned.lower
    assert pushed(listing, 9, sees=6) == 5


@given(st.integers(0, 12), st.integers(-3, 12))
def test_P3_never_more_than_it_shows_before_the_orders_are_read(sees: int, available: int) -> None:
    figure = pushed(a_listing(10), available, sees=sees, fresh=True)
    assert figure is None or figure < sees


def test_P4_raise_only_when_the_orders_were_read_since() -> None:
    assert [pushed(a_listing(3), 9, fresh=fresh) for fresh in (False, True)] == [None, 9]


def test_P4_a_raise_looks_first_where_the_figure_can_be_read() -> None:
    for means in (SHOPIFY, WOO):
        planned = plan([a_listing(3)], {"MUG": 9}, means, now=NOW, fresh={"MUG"})
        assert [s.why for s in planned.look] == ["raise"]
        assert not planned.raise_
    for explained in (False, True):
        assert pushed(a_listing(3), 9, sees=3, explained=explained, fresh=True) == (9 if explained else None)
    assert pushed(a_listing(3), 9, sees=3, explained=True, fresh=False) is None


def test_P4_where_it_cannot_be_read_a_raise_waits_for_the_orders() -> None:
    waits = plan([a_listing(3)], {"MUG": 9}, BLIND, now=NOW)
    assert [s.why for s in waits.left] == ["a raise waits until the channel's orders are read"]
    goes = plan([a_listing(3)], {"MUG": 9}, BLIND, now=NOW, fresh={"MUG"})
    assert [s.figure for s in goes.raise_] == [9]


def test_P4_the_gate_opens_for_a_read_begun_after_the_reason() -> None:
    assert not gate_open(None, NOW)
    assert not gate_open(None, None)
    assert gate_open(NOW, None)
    assert not gate_open(NOW, NOW)
    assert gate_open(after(1), NOW)
    assert not gate_open(after(1), NOW, lag=timedelta(seconds=1)), (
        "the list of orders was complete up to the reason only"
    )
    assert gate_open(after(2), NOW, lag=timedelta(seconds=1))


def test_P4_what_was_sold_between_two_looks_is_taken_off() -> None:
    assert take_off_missing(9, first_look=6, second_look=4) == 7
    assert take_off_missing(9, first_look=6, second_look=6) == 9
    assert take_off_missing(9, first_look=6, second_look=8) == 9, "what the channel put back is no reason to write more"
    assert take_off_missing(1, first_look=6, second_look=0) == 0


def test_P4_a_raise_recorded_after_the_look_looks_again() -> None:
    assert look_again(NOW, after(1))
    assert look_again(NOW, NOW)
    assert not look_again(NOW, after(-1))
    assert not look_again(NOW, None)


def test_P5_a_figure_below_what_we_expect_is_promised_until_the_orders_are_read() -> None:
    view = View(a_listing(10), 10, sees=6, fresh=True)
    assert (unseen(view), decide(view), drift(view)) == (4, None, None)
    explained = replace(view, explained=True)
    assert (unseen(explained), decide(explained), drift(explained)) == (0, 10, -4)


def test_P5_what_the_orders_explain_is_no_drift() -> None:
    noted = note_taken(a_listing(10), 4, after(100), ALLOWANCE)
    assert drift(View(noted, 6, sees=6, explained=True)) == 0
    assert drift(View(replace(noted, taken=None), 6, sees=6, explained=True)) is None


def test_P5_packs_unseen_are_units_promised() -> None:
    assert pushed(a_listing(3, pack_size=6), 18, sees=2) is None
    assert pushed(a_listing(3, pack_size=6), 11, sees=2) == 0


def test_P6_stale_is_sent_again_with_the_figure_just_read_and_never_looped() -> None:
    listing = offers.stale(a_listing(10))
    assert [s.why for s in plan([listing], {"MUG": 8}, SHOPIFY, now=NOW).look] == ["unknown what it shows"]
    view = View(listing, 8, sees=9, explained=True, fresh=True)
    assert decide_again(view, refused_against=10) == 8
    assert decide_again(replace(view, sees=10), refused_against=10) is None


# P7 to P9 and C7 ------------------------------------------------------------------------------------------------


def test_P7_paused_stops_raises_and_lowering_goes_on() -> None:
    paused = a_listing(5, paused=True)
    assert [pushed(paused, n, fresh=True) for n in (9, 2)] == [None, 2]
    assert [s.why for s in plan([paused], {"MUG": 9}, SHOPIFY, now=NOW).left] == ["paused: not raised"]
    assert [s.figure for s in plan([paused], {"MUG": 2}, SHOPIFY, now=NOW).lower] == [2]
    assert plan([replace(paused, taken=None)], {"MUG": 9}, SHOPIFY, now=NOW).look, "it may have to be lowered"


def test_P7_stop_selling_is_max_0() -> None:
    assert pushed(a_listing(5, most=0), 9) == 0


def test_C7_a_freeze_stops_raises_and_lowering_goes_on() -> None:
    assert [pushed(a_listing(5), n, fresh=True, frozen=True) for n in (9, 2)] == [None, 2]
    planned = plan([a_listing(5)], {"MUG": 9}, SHOPIFY, now=NOW, frozen={"MUG"})
    assert [s.why for s in planned.left] == ["being counted: not raised"]


def test_P8_what_cannot_be_pushed_is_left_with_its_reason() -> None:
    several = a_listing(5, pushable=False, why_not="kept at 2 locations; map them first")
    assert pushed(several, 2, sees=5, explained=True, fresh=True) is None
    planned = plan([several, a_listing(5, sku=None)], {"MUG": 2}, SHOPIFY, now=NOW)
    assert {s.why for s in planned.left} == {"kept at 2 locations; map them first", "not matched to a SKU"}
    assert planned.out_of_step == 0


def test_P9_gross_channels_get_the_offer_plus_the_reservations_of_the_same_look() -> None:
    assert pushed(a_listing(10, reserved=2), 8, gross=True) is None
    assert pushed(a_listing(10, reserved=2), 8) == 8, "elsewhere reservations are in the figure already"
    assert pushed(a_listing(10, reserved=2), 8, gross=True, sees=10, reserved=1, explained=True) == 9
    planned = plan([a_listing(10, reserved=2)], {"MUG": 5}, Means(True, True, gross=True), now=NOW)
    assert planned.look
    assert not planned.lower


# a plan ---------------------------------------------------------------------------------------------------------


def test_what_is_in_step_is_in_no_list() -> None:
    assert plan([a_listing(8), a_listing(8, retry_at=after(9))], {"MUG": 8}, SHOPIFY, now=NOW) == offers.Plan()


def test_looks_come_lowers_first_then_the_unknown_then_raises() -> None:
    listings = [
        a_listing(1, sku="a raise", ref=Ref("1")),
        a_listing(9, None, sku="b unknown", ref=Ref("2")),
        a_listing(9, sku="c lower", ref=Ref("3")),
        a_listing(9, sku="d lower", ref=Ref("4")),
    ]
    available: dict[str, int | None] = {"a raise": 5, "b unknown": 6, "c lower": 7, "d lower": 6}
    planned = plan(listings, available, WOO, now=NOW)
    assert [s.listing.sku for s in planned.look] == ["d lower", "c lower", "b unknown", "a raise"]
    assert planned.out_of_step == 4


def test_a_refused_listing_waits_and_is_tried_again() -> None:
    listing = offers.refused(a_listing(10), "This product is archived", after(300))
    assert [s.why for s in plan([listing], {"MUG": 8}, SHOPIFY, now=after(299)).left] == ["This product is archived"]
    assert plan([listing], {"MUG": 8}, SHOPIFY, now=after(300)).lower
    assert acknowledge(listing, 8, after(300)).error == ""
    assert seen(listing, 10, 0, after(10)).retry_at == after(300), "a look does not end a wait"


def test_a_channel_that_asks_us_to_wait() -> None:
    listing = offers.retry_later(a_listing(10), after(30))
    assert [s.why for s in plan([listing], {"MUG": 8}, SHOPIFY, now=NOW).left] == ["the channel asked us to wait"]


def test_an_accepted_write_is_waited_for() -> None:
    listing = offers.accepted(a_listing(10), "job-1", 8)
    assert expected(listing) is None
    (left,) = plan([listing], {"MUG": 9}, SHOPIFY, now=NOW).left
    assert left.why == "the channel has not answered the last write yet"
    assert plan([listing], {"MUG": 8}, SHOPIFY, now=NOW) == offers.Plan(), "what it will show is what it should"
    through = offers.read_back(offers.answered(listing, "job-1"), 8, NOW)
    assert (through.pending_job, expected(through)) == ("", 8)


def test_P3_lowering_waits_for_no_accepted_write() -> None:
    listing = offers.accepted(offers.accepted(a_listing(10), "feed 1", 9), "patch 2", 7)
    assert offers.pending(listing) == ((9, "feed 1"), (7, "patch 2"))
    (step,) = plan([listing], {"MUG": 5}, SHOPIFY, now=NOW).lower
    assert (step.figure, step.expected) == (5, 7)
    (step,) = plan([listing], {"MUG": 5}, WOO, now=NOW).look
    assert (step.figure, step.expected) == (5, 7)
    assert plan([listing], {"MUG": 8}, WOO, now=NOW).left, "a raise waits for the answer"


def test_while_another_write_is_under_way_an_answer_leaves_unknown_what_is_shown() -> None:
    both = offers.accepted(offers.accepted(a_listing(10), "feed 1", 9), "patch 2", 7)
    one = offers.read_back(offers.answered(both, "patch 2"), 7, NOW)
    assert (offers.pending(one), expected(one)) == (((9, "feed 1"),), None)
    assert expected(acknowledge(offers.accepted(a_listing(10), "feed 1", 9), 8, NOW)) is None


def test_an_unknown_outcome_is_looked_at_before_anything_else() -> None:
    listing = offers.outcome_unknown(offers.sending(a_listing(10)))
    assert (listing.attempts, expected(listing)) == (1, None)
    assert plan([listing], {"MUG": 8}, SHOPIFY, now=NOW).look


def test_an_answer_that_a_sale_overtook_leaves_unknown_what_the_listing_shows() -> None:
    sent = a_listing(10)
    assert expected(acknowledge(sent, 8, after(5), sent=sent)) == 8
    assert expected(acknowledge(note_taken(sent, 1, after(4), ALLOWANCE), 8, after(5), sent=sent)) is None
    unknown = a_listing(10, taken=None)
    assert expected(acknowledge(unknown, 8, after(5), sent=unknown)) is None
    assert expected(acknowledge(unknown, 8, after(5))) == 8
    assert expected(seen(note_taken(sent, 1, after(4), ALLOWANCE), 9, 0, after(5), before=sent)) is None
    assert expected(seen(unknown, 9, 0, after(5), before=unknown)) == 9
    assert expected(seen(sent, None, 0, after(5))) is None, "a listing that is gone shows nothing"


# what holds for any listing -------------------------------------------------------------------------------------

few = st.integers(0, 4)
maybe = st.one_of(st.none(), few)
listings_ = st.builds(
    a_listing,
    maybe,
    maybe,
    paused=st.booleans(),
    pack_size=st.integers(1, 3),
    hold_back=few,
    most=maybe,
    reserved=few,
)
views = st.builds(
    View,
    listings_,
    st.integers(-3, 12),
    sees=maybe,
    explained=st.booleans(),
    fresh=st.booleans(),
    gross=st.booleans(),
    frozen=st.booleans(),
)


@given(views)
def test_P4_nothing_is_raised_unless_fresh(view: View) -> None:
    figure = decide(view)
    now = expected(view.listing) if view.sees is None else view.sees
    fresh = view.fresh and (view.sees is None or view.explained) and not view.listing.paused and not view.frozen
    assert figure is None or (now is not None and figure < now) or fresh


@given(views)
def test_a_push_settles(view: View) -> None:
    figure = decide(view)
    if figure is None:
        return
    written = acknowledge(view.listing, figure, NOW)
    if not unseen(view):
        assert decide(replace(view, listing=written, sees=None)) is None
        assert plan([written], {"MUG": view.available}, Means(True, True, view.gross), now=NOW) == offers.Plan()
    assert decide(replace(view, listing=written, sees=figure, explained=True)) is None or unseen(view)


@given(views)
def test_P4_a_raise_always_goes_out_in_the_end(view: View) -> None:
    view = replace(view, listing=replace(view.listing, paused=False), explained=True, fresh=True, frozen=False)
    now = expected(view.listing) if view.sees is None else view.sees
    figure = decide(view)
    assert figure == offers.wanted(view) or (figure is None and now == offers.wanted(view))


@given(views)
def test_P3_a_lower_waits_for_nothing(view: View) -> None:
    knowing = replace(view, explained=True, fresh=True, frozen=False, listing=replace(view.listing, paused=False))
    now = expected(view.listing) if view.sees is None else view.sees
    figure = decide(knowing)
    if figure is not None and now is not None and figure < now:
        hasty = decide(view)
        assert hasty is not None
        assert hasty <= figure


@given(st.lists(views, max_size=8), st.booleans(), st.booleans(), st.booleans(), st.sets(st.sampled_from("0123")))
def test_a_plan_has_each_listing_that_is_out_of_step_once(
    seen_: list[View], compare_and_set: bool, readable: bool, gross: bool, fresh: set[str]
) -> None:
    means = Means(compare_and_set, readable, gross)
    listings = [replace(v.listing, sku=str(i % 5), ref=Ref(str(i))) for i, v in enumerate(seen_)]
    available = {str(i): v.available for i, v in enumerate(seen_) if i < 4}
    planned = plan(listings, available, means, now=NOW, fresh=fresh)
    steps = [*planned.lower, *planned.look, *planned.raise_, *planned.left]
    assert len({s.listing.ref for s in steps}) == len(steps)
    refs = {s.listing.ref for s in steps}
    for listing in listings:
        units = available.get(str(listing.sku))
        want = offers.wanted(View(listing, units, gross=gross))
        assert (listing.ref in refs) == (want is None or want != expected(listing))
    for step in (*planned.lower, *planned.raise_):
        view = View(step.listing, step.available, fresh=step.listing.sku in fresh, gross=gross)
        assert decide(view) == step.figure
    assert all(s.expected is not None and s.figure is not None and s.figure < s.expected for s in planned.lower)


# shops, buyers, passes ------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """A channel as it is out there: it sells down its own figure, and puts back what is cancelled."""

    name: str
    means: Means
    skew: timedelta
    figure: int = 0
    orders: dict[str, Order] = field(default_factory=dict)

    def buy(self, units: int, now: datetime) -> None:
        if units <= self.figure:
            self.figure -= units
            at = now + self.skew
            line = OrderLine("1", units, "MUG", Ref("1"), taken=units, taken_at=at)
            number = str(len(self.orders))
            self.orders[number] = Order(number, at, at, OrderState.OPEN, (line,), paid=True)

    def cancel(self, number: str, now: datetime) -> None:
        order = self.orders[number]
        (line,) = order.lines
        if line.cancelled == 0:
            self.figure += line.ordered
            at = now + self.skew
            line = replace(line, cancelled=line.ordered, cancelled_at=at, taken=0, taken_at=at)
            self.orders[number] = replace(order, updated_at=at, state=OrderState.CANCELLED, lines=(line,))

    @property
    def sold(self) -> int:
        return sum(o.lines[0].ordered - o.lines[0].cancelled for o in self.orders.values())

    def write(self, figure: int, expected: int | None) -> bool:
        if self.means.compare_and_set and expected is not None and expected != self.figure:
            return False
        self.figure = figure
        return True


class Desk:
    """Our side: lines, listings, and the channel pass. `meanwhile` is what the world does between any two calls."""

    def __init__(self, units: int, shops: list[Shop], meanwhile: Callable[[Desk], None]) -> None:
        self.units, self.shops, self.now = units, {s.name: s for s in shops}, NOW
        self.lines: dict[str, dict[str, dict[str, LineState]]] = {s.name: {} for s in shops}
        self.listings = {s.name: a_listing(units, channel=s.name) for s in shops}
        for shop in shops:
            shop.figure = units
        self.raised_at: datetime | None = None
        self.meanwhile, self.calm, self.writes = meanwhile, False, 0

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def available(self) -> int:
        return self.units - sum(self.promised(name) for name in self.shops)

    def promised(self, name: str) -> int:
        lines = (line for order in self.lines[name].values() for line in order.values())
        return sum(change.committed for line in lines for change in line.moved.values())

    def receive(self, units: int) -> None:
        self.units += units
        if units > 0:
            self.raised_at = self.now

    def learn(self, name: str, number: str, read_at: datetime | None = None) -> None:
        order = replace(self.shops[name].orders[number], read_at=read_at)
        stored = self.lines[name].setdefault(number, {})
        booking = book_order(stored, order, lambda _: ("MUG", 1), channel=name)
        stored.update({line.level.id: line for line in booking.lines})
        for taken in booking.taken:
            self.note(name, taken)
        if any(fact.change.available > 0 for fact in booking.facts):
            self.raised_at = self.now

    def note(self, name: str, taken: Taken) -> None:
        self.listings[name] = note_taken(self.listings[name], taken.change, taken.at, ALLOWANCE, edited=taken.edited)

    def read_orders(self, name: str) -> tuple[datetime, datetime | None]:
        """When the read began, and the reason to raise as it was then."""
        begun, reason = self.now, self.raised_at
        for number in list(self.shops[name].orders):
            self.learn(name, number, begun)
        return begun, reason

    def gap(self) -> None:
        self.tick(1)
        if not self.calm:
            self.meanwhile(self)

    def run(self, name: str) -> None:
        shop = self.shops[name]
        planned = plan([self.listings[name]], {"MUG": self.available}, shop.means, now=self.now)
        assert not planned.left
        for step in planned.lower:
            assert step.figure is not None
            known = self.known_for(name)
            self.gap()
            self.send(name, step.figure, step.expected, known)
        for _ in planned.look:
            self.look(name)

    def look(self, name: str) -> None:
        shop, refused_against = self.shops[name], None
        for _ in range(20):
            before, looked_at, sees = self.listings[name], self.now, shop.figure
            self.listings[name] = seen(before, sees, 0, looked_at)
            view = View(before, self.available, sees=sees)
            figure = decide(view)
            if figure is not None:
                self.send(name, figure, sees, self.known_for(name))
                return
            self.gap()
            begun, reason = self.read_orders(name)
            self.gap()
            fresh = gate_open(begun, reason)
            view = View(before, self.available, sees=sees, explained=True, fresh=fresh)
            figure = decide_again(view, refused_against)
            if figure is None:
                return
            known = self.known_for(name)
            self.gap()
            if look_again(looked_at, self.raised_at):
                continue
            if not shop.means.compare_and_set:
                figure = take_off_missing(figure, sees, shop.figure)
            if self.send(name, figure, sees, known):
                return
            refused_against = sees

    def known_for(self, name: str) -> int:
        """Units that are there for a channel, as far as the ledger knows the others."""
        return self.units - sum(self.promised(other) for other in self.shops if other != name)

    def send(self, name: str, figure: int, against: int | None, known: int) -> bool:
        shop = self.shops[name]
        self.listings[name] = sent = offers.sending(self.listings[name])
        if figure > shop.figure and (not shop.means.compare_and_set or against == shop.figure):
            assert figure <= max(0, known - shop.sold), "raised above what law 3 allows"
        applied = shop.write(figure, against)
        self.writes += applied
        self.gap()
        listing = self.listings[name]
        self.listings[name] = acknowledge(listing, figure, self.now, sent=sent) if applied else offers.stale(listing)
        return applied

    def settle(self) -> None:
        """Every order is learned, nobody buys: passes must end where each listing shows its offer."""
        self.calm = True
        self.tick(600)
        for name, shop in self.shops.items():
            for number in shop.orders:
                self.learn(name, number, self.now)
            listing = self.listings[name]
            assert expected(listing) in (None, shop.figure), "what we expect is what it shows, once we know its orders"
        for _ in range(3):
            self.tick(600)
            for name in self.shops:
                self.run(name)
        writes = self.writes
        for name, shop in self.shops.items():
            self.run(name)
            assert shop.figure == max(0, self.available)
        assert self.writes == writes


def world(rng: random.Random, *, adjust: bool) -> Callable[[Desk], None]:
    """Buyers buy and cancel, deliveries come late, twice or never, units are received; at any moment."""

    def happens(desk: Desk) -> None:
        for _ in range(rng.choice((0, 0, 1, 2))):
            shop = rng.choice(list(desk.shops.values()))
            desk.tick(rng.choice((0, 1, 5)))
            what = rng.random()
            if what < 0.45:
                shop.buy(rng.randint(1, 3), desk.now)
            elif what < 0.6 and shop.orders:
                shop.cancel(rng.choice(list(shop.orders)), desk.now)
            elif what < 0.9 and shop.orders:
                desk.learn(shop.name, rng.choice(list(shop.orders)))
            elif adjust:
                desk.receive(rng.choice((-2, 1, 3)))
            else:
                desk.receive(1)

    return happens


seeds = st.integers(0, 2**32 - 1).map(random.Random)  # `st.randoms` draws small figures: few worlds
skews = st.integers(-25, 25).map(lambda s: timedelta(seconds=s))


@settings(max_examples=300, deadline=None)
@given(seeds, st.integers(0, 12), st.integers(1, 12), skews, skews)
def test_P4_two_shops_are_never_raised_above_what_is_known_to_be_there(
    rng: random.Random, units: int, passes: int, skew: timedelta, other: timedelta
) -> None:
    shops = [Shop("shopify", SHOPIFY, skew), Shop("woo", WOO, other)]
    desk = Desk(units, shops, world(rng, adjust=True))
    desk.tick(600)
    for _ in range(passes):
        desk.gap()
        desk.run(rng.choice(("shopify", "woo")))
        desk.tick(rng.choice((1, 30, 200)))
    desk.settle()


@given(seeds, st.integers(0, 12), st.integers(1, 12), st.sampled_from([SHOPIFY, WOO]), skews)
def test_P5_one_shop_alone_never_oversells(
    rng: random.Random, units: int, passes: int, means: Means, skew: timedelta
) -> None:
    happens, shop = world(rng, adjust=False), Shop("shop", means, skew)

    def watched(desk: Desk) -> None:
        happens(desk)
        assert shop.sold <= desk.units
        assert shop.figure <= desk.units - shop.sold

    desk = Desk(units, [shop], watched)
    desk.tick(600)
    for _ in range(passes):
        desk.gap()
        desk.run("shop")
        desk.tick(rng.choice((1, 30, 200)))
    desk.settle()
