"""K2, K4 and K5: every figure of RULES.md about locations, and what must hold for lines of any shape at several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sheets_sync import kits, offers, seeding
from sheets_sync.lines import Policy, due, settle
from sheets_sync.model import Balance, Fact, Kind, LineState, Listing, OrderLine, Ref, Said, Shipment, Stock, StockKey
from sheets_sync.places import ONE, Places, fill, placed, shares
from tests.test_lines import OPENED, Book, a_line, an_order, at, levels, said

TWO = ("main", "b")


def two(**room: int) -> Places:
    return Places(TWO, {"shop-1": "main", "shop-2": "b"}, lambda line, spent: room)


def shop(places: Places, main: int, b: int, **rules: Any) -> Book:
    """A ledger of one SKU at two locations."""
    book = Book(on_hand=main, places=places, **rules)
    book.facts.append(Fact("opening b", "MUG", Kind.OPENING, OPENED, count=b, location="b"))
    return book


def at_each(book: Book) -> dict[str, Stock]:
    out: dict[str, Stock] = {}
    for fact in book.facts:
        before = out.get(fact.location, Stock())
        out[fact.location] = Stock(fact.count) if fact.count is not None else before.plus(fact.change)
    return out


def from_place(place: str, units: int = 2, hour: float = 3) -> tuple[Shipment, ...]:
    return (Shipment(at(hour), units, place),)


def test_K4_a_shipment_releases_where_it_was_promised_and_takes_where_it_left() -> None:
    book = shop(two(main=3, b=5), 3, 5)
    book.read(an_order(a_line(2)))
    assert at_each(book) == {"main": Stock(3, 2), "b": Stock(5)}
    book.read(an_order(a_line(2, shipped=from_place("shop-2")), version=3))
    assert at_each(book) == {"main": Stock(3), "b": Stock(3)}


def test_K4_where_the_channel_names_no_place_of_ours_it_left_where_it_was_promised() -> None:
    for place in ("", "shop-9"):
        book = shop(two(main=3, b=5), 3, 5)
        book.read(an_order(a_line(2, shipped=from_place(place)), version=3))
        assert at_each(book) == {"main": Stock(1), "b": Stock(5)}


def test_K4_what_left_from_a_place_takes_what_was_promised_there_first() -> None:
    book = shop(two(main=3, b=5), 3, 5)
    book.read(an_order(a_line(6)))
    assert at_each(book) == {"main": Stock(3, 3), "b": Stock(5, 3)}
    book.read(an_order(a_line(6, shipped=from_place("shop-2", 2)), version=3))
    assert at_each(book) == {"main": Stock(3, 3), "b": Stock(3, 1)}
    book.read(an_order(a_line(6, shipped=from_place("shop-2", 4)), version=4))
    assert at_each(book) == {"main": Stock(3, 2), "b": Stock(1, 0)}


def test_K5_an_order_fills_locations_in_the_channels_order() -> None:
    assert fill(4, {"main": 3, "b": 5}, TWO) == (("main", 3), ("b", 1))
    assert fill(4, {"main": 3, "b": 5}, ("b", "main")) == (("b", 4),)
    assert fill(10, {"main": 3, "b": 5}, TWO) == (("main", 3), ("b", 5), ("main", 2)), "the remainder: on the first"
    assert fill(2, {"main": -2, "b": 1}, TWO) == (("b", 1), ("main", 1))


def test_K5_what_is_ordered_later_is_filled_later_and_what_is_called_off_leaves_from_the_end() -> None:
    room = {"main": 1, "b": 5}
    book = shop(Places(TWO, {}, lambda line, spent: room), 1, 5)
    book.read(an_order(a_line(2)))
    room |= {"main": 0, "b": 1}
    book.read(an_order(a_line(4), version=2))
    assert book.lines["1"].split == (("main", 1), ("b", 1), ("b", 1), ("main", 1))
    book.read(an_order(a_line(4, cancelled=2, freely=True), version=3))
    assert at_each(book) == {"main": Stock(1, 1), "b": Stock(5, 1)}


def test_K5_two_lines_of_one_order_do_not_share_a_unit() -> None:
    def room(line: LineState, spent: Mapping[StockKey, int]) -> Mapping[str, int]:
        return {place: n - spent.get(StockKey("MUG", place), 0) for place, n in {"main": 3, "b": 5}.items()}

    book = shop(Places(TWO, {}, room), 3, 5)
    book.read(an_order(a_line(3, id="1"), a_line(3, id="2")))
    assert at_each(book) == {"main": Stock(3, 3), "b": Stock(5, 3)}


def test_K5_gone_units_were_missing_where_they_were_promised() -> None:
    book = shop(two(main=1, b=5), 1, 5)
    book.read(an_order(a_line(3, cancelled=3, freely=False)))
    book.say(gone=1, damaged=1, back=1)
    assert at_each(book) == {"main": Stock(0, 0), "b": Stock(4, 0, 1)}


def test_O7_a_line_that_is_not_counted_takes_back_at_each_location_what_it_moved_there() -> None:
    book = shop(two(main=1, b=5), 1, 5)
    book.read(an_order(a_line(3, shipped=from_place("shop-2", 2)), version=3))
    moved = at_each(book)
    assert moved == {"main": Stock(1, 1), "b": Stock(3, 0)}
    book.leave_out()
    assert at_each(book) == {"main": Stock(1), "b": Stock(5)}
    line, facts = settle(replace(book.lines["1"], counted=True), places=two(main=1, b=5))
    book.facts += facts
    assert (at_each(book), line.split) == (moved, book.lines["1"].split)


def test_K5_units_come_back_to_the_place_that_the_channel_names_or_to_where_they_left() -> None:
    for to, ends in (("shop-1", {"main": 4, "b": 3}), ("", {"main": 3, "b": 4}), ("shop-9", {"main": 3, "b": 4})):
        book = shop(two(main=3, b=5), 3, 5, trust_restock=True)
        gone = a_line(2, shipped=from_place("shop-2"), returned=1, restocked=1, returned_to=to)
        book.read(an_order(gone, version=3))
        assert {place: stock.on_hand for place, stock in at_each(book).items()} == ends


def test_K5_a_channels_available_is_summed_before_any_clamp() -> None:
    listing = Listing("shop", Ref("1"), "MUG")
    assert offers.offer(-2 + 5, listing) == 3
    assert shares(3, {"main": -2, "b": 5}, TWO) == {"main": 0, "b": 3}
    assert shares(8, {"main": 3, "b": 5}, TWO) == {"main": 3, "b": 5}
    assert shares(6, {"main": 3, "b": 5}, TWO) == {"main": 3, "b": 3}, "two are held back"
    assert shares(-1, {"main": -2, "b": 1}, TWO) == {"main": 0, "b": 0}


def test_K2_a_kit_is_made_at_one_location() -> None:
    def balance(sku: str, place: str, n: int) -> tuple[StockKey, Balance]:
        key = StockKey(sku, place)
        return key, Balance(key, Stock(n), counted=True)

    apart = dict([balance("A", "main", 5), balance("B", "b", 5)])
    assert kits.available({"A": 1, "B": 1}, apart, TWO) == 0
    both = apart | dict([balance("B", "main", 2), balance("A", "b", 1)])
    assert kits.available({"A": 1, "B": 1}, both, TWO) == 3


def test_P8_one_listing_at_several_places_is_one_figure_on_seed_day() -> None:
    at_each = [Listing("shop", Ref("1", "i", place), "MUG", shown=n) for place, n in (("61", 3), ("62", 7))]
    (row,) = seeding.matrix(seeding.Seed("shop", {"shop": "Shop"}, at_each))
    assert (row.figures, row.opens, row.odd) == ({"shop": 10}, 10, ())
    other = Listing("shop", Ref("2", "j", "61"), "MUG", shown=3)
    (row,) = seeding.matrix(seeding.Seed("shop", {"shop": "Shop"}, [*at_each, other]))
    assert row.opens is None and row.odd[0][0] is seeding.Odd.DUPLICATE


rooms = st.fixed_dictionaries({place: st.integers(-3, 6) for place in TWO})
names = st.sampled_from(["", "shop-1", "shop-2", "shop-9"])
orders = st.sampled_from([TWO, ("b", "main"), ("b",)])


@given(st.lists(st.tuples(levels, rooms, names, names), min_size=1, max_size=5), said, orders, st.booleans())
def test_over_all_locations_a_line_moves_what_its_level_says(
    seen: list[tuple[OrderLine, dict[str, int], str, str]], word: Said, order: tuple[str, ...], at_once: bool
) -> None:
    book, policy = Book(at_once=at_once, trust_restock=True), Policy(at_once=at_once, trust_restock=True)
    for n, (level, room, place, back) in enumerate(seen):
        shipped = tuple(replace(s, place=place if i % 2 else "") for i, s in enumerate(level.shipped))
        there = replace(two(), order=order, room=lambda line, spent, room=room: room)
        book.read(an_order(replace(level, shipped=shipped, returned_to=back), version=100 + n), places=there)
    line, facts = settle(replace(book.lines["1"], said=word), policy, places=there)
    moved = Counter[tuple[str, Kind, Any, str]]()
    for fact in (*book.facts[1:], *facts):
        for name, n in fact.change._asdict().items():
            moved[fact.location, fact.kind, fact.occurred_at, name] += n
    assert {k: n for k, n in moved.items() if n} == {
        (*key, name): n for key, change in placed(line).items() for name, n in change._asdict().items() if n
    }, "the facts of each location are what the line says that it moved there"
    sums: dict[Any, Stock] = {}
    ends: dict[str, Stock] = {}
    for (location, kind, when), change in placed(line).items():
        sums[kind, when] = sums.get((kind, when), Stock()).plus(change)
        ends[location] = ends.get(location, Stock()).plus(change)
    assert {k: s for k, s in sums.items() if any(s)} == due(line, policy) == line.moved
    assert all(stock.committed >= 0 and stock.damaged >= 0 for stock in ends.values())


@given(st.lists(levels, min_size=1, max_size=4), rooms)
def test_a_channel_of_one_location_keeps_nothing_of_places(seen: list[OrderLine], room: dict[str, int]) -> None:
    one, none = Book(places=replace(ONE, room=lambda line, spent: room)), Book()
    for book in (one, none):
        for n, level in enumerate(seen):
            book.read(an_order(level, version=100 + n))
    assert one.facts == none.facts and one.lines == none.lines
    assert one.lines["1"].split == one.lines["1"].away == ()
