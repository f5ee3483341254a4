"""Drift: what a shop shows and no order explains is put right, told with its likely cause, or taken over (P5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from sheets_sync import alarm, answering, drift, review
from sheets_sync.channel_sync import ChannelMemory, _ChannelPass
from sheets_sync.drift import Cause, Pace, Readings, Suspect
from sheets_sync.errors import LeaseLost
from sheets_sync.model import Event, Fact, Kind, Lease, LineState, Listing, OrderLine, OrderState, Question, Ref, Stock
from tests.hands import Clock, hands_of, once
from tests.world import World

pytestmark = pytest.mark.xdist_group("drift")  # one world for all of them

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ALLOWANCE = timedelta(minutes=1)


def listing(shown: int | None = 10, taken: int | None = 0, **how: object) -> Listing:
    seen = NOON - timedelta(hours=1)
    return Listing("web", Ref("1"), "A", shown=shown, taken=taken, shown_at=seen, **how)  # type: ignore[arg-type]


def event(minutes: float, kind: Kind = Kind.ORDER, committed: int = 2) -> Event:
    at = NOON + timedelta(minutes=minutes)
    change = Stock(0, committed)
    return Event(1, 1, Fact(f"k{minutes}", "A", kind, at, change, source="web"), change, change, at)


@pytest.mark.parametrize(
    ("before", "shows", "events", "expected"),
    [
        (listing(), 12, [], 10),
        (listing(), 10, [], None),
        (listing(), 7, [], 10),
        (listing(), 8, [event(-5)], None),  # an order that we had not seen
        (listing(), 7, [event(-5)], 8),
        (listing(), 10, [event(-90)], None),  # learned late: the figure that we knew had it in it
        (listing(), 8, [event(-90)], 10),
        (listing(), 8, [event(-60.5)], None),  # had that figure?
        (listing(), 10, [event(5)], None),  # made after the look
        (listing(), 7, [event(0.5)], None),  # on which side of the look?
        (listing(), 12, [event(-5, Kind.CANCELLATION, -2)], None),  # the shop may have put them back
        (listing(pack_size=2), 9, [event(-5)], None),
        (listing(pack_size=2), 9, [event(-5, committed=1), event(-5, committed=1)], None),  # of two locations
        (listing(taken=None), 7, [], None),
        (listing(shown=None), 7, [], None),
        (listing(pushable=False), 7, [], None),
    ],
)
def test_P5_only_what_no_order_explains_is_drift(
    before: Listing, shows: int, events: list[Event], expected: int | None
) -> None:
    sold = [(one, Fraction(one.change.committed, before.pack_size)) for one in events]
    found = drift.found(Suspect(before, shows, NOON, 0), sold, ALLOWANCE)
    assert (found.expected if found else None) == expected


def line(id: str, ref: str | None, sku: str = "", pack_size: int = 1) -> LineState:
    level = OrderLine(id, 1, sku, Ref(ref) if ref else None)
    return LineState(f"web/o/{id}", "web", "o", level, NOON, NOON, NOON, OrderState.OPEN, pack_size=pack_size)


@pytest.mark.parametrize(
    ("line", "sku", "sold"),
    [
        (line("1", "1"), "A", 2),
        (line("1", "2"), "A", 0),  # another listing of the same SKU
        (line("1", None, "a-1"), "A", 2),  # by the SKU that the listing carries there
        (line("1", None, "a-2"), "A", 0),
        (line("1", None), "A", None),  # of which listing?
        (line("1#0", "1", pack_size=2), "C", 1),  # a component: two of it in each kit
        (line("1#1", "1", pack_size=4), "D", 0),  # the other component of the same kit
        (line("1", "1"), "else", 0),
        (None, "A", None),
    ],
)
def test_P5_each_order_says_which_listing_it_was_made_on(line: LineState | None, sku: str, sold: int | None) -> None:
    before = listing(remote_sku="a-1")
    news = event(-5)
    news = replace(news, fact=replace(news.fact, sku=sku, line="web/o/" + (line.level.id if line else "9")))
    found = drift.found_of(
        Suspect(before, 4, NOON, 0), [news], {line.key: line} if line else {}, {"A": {"C": 2, "D": 4}}, ALLOWANCE
    )
    assert (None if found is None else before.shown - found.expected if before.shown else 0) == sold


@pytest.mark.parametrize(
    ("shows", "undoes", "times", "cause"),
    [
        (12, None, 1, Cause.EDITED), (7, None, 1, Cause.SOLD), (12, 2, 1, Cause.LOST), (12, 3, 1, Cause.EDITED),
        (7, -3, 1, Cause.LOST), (12, 2, 2, Cause.APP), (7, None, 2, Cause.APP),
    ],
)  # fmt: skip
def test_its_likely_cause(shows: int, undoes: int | None, times: int, cause: Cause) -> None:
    found = drift.found(Suspect(listing(), shows, NOON, 0, undoes), [], ALLOWANCE)
    assert found is not None and found.cause(times) is cause


def test_of_a_kit_nothing_can_be_taken_over() -> None:
    asked = Question("k", "drift", "A", "", about={"units": 2, "kit": True})
    assert [answer.word for answer in review.offered(asked)] == ["seen"]
    assert len(review.offered(replace(asked, about={"units": 2, "kit": False}))) == 2


SECONDS = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("least", "a_second", "rest", "selling", "expected"),
    [
        (900, None, 100_000, 9, (900, 900)), (30, 20.0, 591, 9, (30, 30)), (30, 20.0, 9_991, 9, (30, 999.1)),
        (30, 20.0, 9_000, 1_000, (100, 900)), (60, 20.0, 1_191, 9, (60, 60)),
    ],
)  # fmt: skip
def test_how_often_figures_are_read_back_and_those_that_sell_more_often(
    least: int, a_second: float | None, rest: int, selling: int, expected: tuple[float, float]
) -> None:
    items = [listing()] * selling + [replace(listing(), sku="still")] * (rest - 1) + [listing(0)]
    pace = Pace(least * SECONDS, a_second, {"A"})
    assert tuple(one / SECONDS for one in pace.believed(items)) == expected


def test_the_longest_unseen_are_read_back_first_and_at_the_pace_that_limits_allow() -> None:
    items = [Listing("web", Ref(str(n)), "A", shown_at=NOON - timedelta(minutes=n)) for n in (20, 5, 40, 30)]
    items.append(Listing("web", Ref("60"), "A", shown_at=NOON - timedelta(minutes=60), pending_job="5 j"))

    def due(readings: Readings, at: datetime, most: int, a_second: float | None = None) -> list[str]:
        return [item.ref.listing for item in readings.due(items, at, most, Pace(900 * SECONDS, a_second))]

    readings = Readings()
    assert due(readings, NOON, 9) == ["40", "30", "20"]
    assert readings.not_before == NOON + 10 * timedelta(minutes=1), "when the one of five minutes ago is due"
    assert not readings.may(NOON + 9 * timedelta(minutes=1)) and readings.may(NOON + 10 * timedelta(minutes=1))
    readings = Readings()
    assert due(readings, NOON, 2, 0.1) == ["40", "30"]
    assert readings.not_before == NOON + 20 * SECONDS, "the rest once these two are paid for"


class Street(World):
    def edited(self, sku: str, figure: int) -> None:
        """Somebody types it in the shop's own pages, and some time goes by."""
        self.shops["woocommerce"].shop.set_figure(sku, figure)
        self.clock.tick(minutes=20)  # type: ignore[attr-defined]
        self.passes()

    def asked(self) -> Question:
        with self.ledger.read() as view:
            (question,) = view.questions()
        return question


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    made = Street(tmp_path_factory.mktemp("street"), clock=Clock())
    try:
        made.begin()
        made.clock.tick(minutes=20)  # type: ignore[attr-defined]
        made.passes()  # all figures were read once: from here on, what differs was not a write of ours that was lost
        yield made
    finally:
        made.close()


def test_P5_nothing_is_said_by_what_was_seen_before_another_had_the_lease() -> None:
    memory, mug = ChannelMemory(), listing()
    mine = Lease("channel web", "one", 1, NOON)
    memory.driven(mine)
    for has in (memory.sure.add, lambda ref: memory.doubted.update({ref: (mug, 7)})):
        has(mug.ref)
    memory.driven(mine)
    assert (memory.sure, len(memory.doubted)) == ({mug.ref}, 1)
    memory.driven(replace(mine, token=3))  # somebody else's was the second
    assert not memory.sure and not memory.doubted


def test_P5_what_was_edited_in_a_shop_is_put_right_and_told_and_a_fight_is_an_alert(street: Street) -> None:
    street.edited("MAR1", 9)
    assert (street.figure("woocommerce", "MAR1"), street.figures("MAR1")) == (5, "5/0/5")
    assert street.asked().text == (
        "? Woocommerce showed 9 of MAR1 where 5 was expected, and no order explains it; probably it was edited there. "
        "It is put right. All counts are changed in this sheet, not in the shop."
    )
    street.edited("MAR1", 2)
    assert street.figure("woocommerce", "MAR1") == 5
    assert "probably another app writes it, too" in street.asked().text
    assert alarm.standing(street.desk) == []
    street.edited("MAR1", 8)
    assert "It has happened 3 times within a day" in street.asked().text
    assert [alert.key for alert in alarm.standing(street.desk)] == ["drift:woocommerce:MAR1"]
    answering.answer(street.desk, review.short_id(street.asked()), "take over")
    street.passes()
    assert (street.figures("MAR1"), street.figure("woocommerce2", "MAR1")) == ("8/0/8", 8)


def test_P5_a_sale_is_no_drift(street: Street) -> None:
    street.shops["woocommerce"].shop.buy("1-2", 2)
    street.clock.tick(minutes=20)  # type: ignore[attr-defined]
    street.passes()
    assert (street.figures("1-2"), street.questions()) == ("7/2/5", {})
    assert [street.figure(name, "1-2") for name in street.shops] == [5, 5]


def test_P5_nor_is_a_pending_order_that_is_paid_though_no_event_tells_of_it(street: Street) -> None:
    order = street.shops["woocommerce"].shop.buy("1-2", 1, pay=False)
    street.clock.tick(minutes=20)  # type: ignore[attr-defined]
    street.passes()
    assert street.figures("1-2") == "7/3/4"
    street.clock.tick(minutes=20)  # type: ignore[attr-defined]
    street.type("1-2", "9")  # a raise looks first
    hands, pending = hands_of(street.shops["woocommerce"]), [order]
    with hands.watched(lambda seen: hands.pay(str(pending.pop())) if pending and hands.is_look(seen) else None):
        street.passes()
    assert (pending, street.figures("1-2"), street.questions()) == ([], "9/3/6", {})
    assert [street.figure(name, "1-2") for name in street.shops] == [6, 6]


def test_P5_nor_is_a_write_that_got_through_while_its_answer_was_never_recorded(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease ran out just then."""

    def too_late(*_: object) -> None:
        raise LeaseLost("it ran out")

    street.type("1-2", "12")
    street.sheet_pass()
    with monkeypatch.context() as patch, pytest.raises(LeaseLost):
        patch.setattr(_ChannelPass, "_record", too_late)
        street.channel_pass("woocommerce")
    assert street.figure("woocommerce", "1-2") == 9
    street.clock.tick(minutes=20)  # type: ignore[attr-defined]
    street.passes()
    assert (street.figures("1-2"), street.questions()) == ("12/3/9", {})


def test_P5_nor_is_a_figure_that_is_read_back_just_after_it_was_lowered(tmp_path: Path) -> None:
    """Reading the listings takes long, and units leave the shelf meanwhile: one pass lowers the figure and reads it."""
    street = Street(tmp_path, vendors=("shopify",), clock=Clock())

    def meanwhile() -> None:
        street.clock.tick(minutes=20)  # type: ignore[attr-defined]
        with street.ledger.begin() as tx:
            tx.append([Fact("gone", "1-2", Kind.ADJUSTMENT, street.clock(), Stock(-2), source="cli")])

    try:
        street.begin()
        street.clock.tick(minutes=20)  # type: ignore[attr-defined]
        hands = hands_of(street.shops["shopify"])
        with hands.watched(once(meanwhile, hands.is_catalogue)):
            street.channel_pass("shopify")
        assert (street.figure("shopify", "1-2"), street.questions()) == (5, {})
    finally:
        street.close()
