"""A list of orders that runs late or is scarce: what a raise waits for, and what an accepted figure becomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sheets_sync import accepted, offers
from sheets_sync.channels import Outcome, PushResult
from sheets_sync.desk import KITS
from sheets_sync.late_orders import Reads, units_told
from sheets_sync.ledger import Ledger
from sheets_sync.model import Fact, Figure, Kind, Listing, Ref, Stock
from sheets_sync.reasons import reasons_to_raise

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
REF = Ref("MUG")


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def a_listing(shown: int | None, taken: int | None = 0, **how: object) -> Listing:
    return Listing("amazon", REF, "MUG", shown=shown, shown_at=NOW, taken=taken, **how)  # type: ignore[arg-type]


def amazons() -> Reads:
    reads = Reads(timedelta(minutes=2), timedelta(seconds=179))
    assert reads.is_due(NOW), "at the beginning, at once"
    reads.was_read(NOW)
    return reads


def test_a_scarce_list_is_read_when_it_is_due_and_not_before_it_may() -> None:
    reads = amazons()
    assert not reads.is_due(after(2)) and reads.is_due(after(3))
    reads.not_before = after(9)
    assert not reads.is_due(after(5)) and reads.is_due(after(9))
    assert not Reads().late and Reads().is_due(NOW) and Reads().is_due(NOW)


def test_P4_a_reason_is_old_enough_when_a_read_began_so_much_later() -> None:
    reads = amazons()
    assert not reads.knows(None), "nobody knows what was sold before we began"
    reads.was_read(after(3))
    assert reads.knows(None) and reads.knows(after(0.5)) and not reads.knows(after(1.5))
    assert reads.opens_at(after(1.5)) == after(3.5)
    reads.was_read(after(4))
    assert reads.knows(after(1.5))


def test_P4_until_when_a_look_is_in_vain() -> None:
    reads = amazons()
    assert reads.waits_until(after(1), after(1.5)) == after(3)
    assert reads.waits_until(after(1), after(3.1)) is None, "a read may let it"
    reads.not_before = after(9)
    assert reads.waits_until(after(1), after(3.1)) == after(9)
    reads.was_read(after(9))
    assert reads.waits_until(after(1), after(9.1)) is None


def test_P4_where_nobody_knew_what_to_expect_the_list_has_to_catch_up_with_the_look() -> None:
    """A write was made, and nobody said what it showed: what was sold there before the look is in no look at all."""
    reads = amazons()
    reads.was_read(after(3))
    reads.doubt([REF], after(4))
    assert reads.reason(REF, after(1)) == after(4) and not reads.knows(reads.reason(REF, None))
    reads.was_read(after(5.9))
    assert reads.reason(REF, after(1)) == after(4)
    reads.was_read(after(6.1))
    assert reads.reason(REF, after(1)) == after(1) and reads.reason(REF, None) is None


def test_P5_what_a_look_found_missing_is_promised_until_the_list_has_caught_up_with_that_look() -> None:
    reads = amazons()
    reads.saw([a_listing(10)], {REF: Figure(REF, 6)}, after(1))
    assert reads.promised(REF) == 4
    reads.was_read(after(2.5))
    assert reads.promised(REF) == 4, "that list ends before the look"
    reads.saw([a_listing(6)], {REF: Figure(REF, 5)}, after(2.6))
    assert reads.promised(REF) == 5, "and one more since"
    reads.was_read(after(5))
    assert reads.promised(REF) == 0


def test_a_figure_that_nobody_expected_says_nothing_of_sales() -> None:
    reads = amazons()
    reads.saw([a_listing(10, None)], {REF: Figure(REF, 6)}, after(1))
    reads.saw([a_listing(10)], {REF: Figure(REF, 12)}, after(1))
    reads.saw([a_listing(10)], {REF: Figure(REF, None)}, after(1))
    assert reads.promised(REF) == 0


def test_P5_what_one_channel_sold_unseen_is_told_to_the_others_and_to_the_next_process() -> None:
    reads, item = amazons(), a_listing(10, pack_size=6)
    reads.saw([item], {REF: Figure(REF, 8)}, after(1))
    told = json.loads(json.dumps(reads.to_tell({REF: item})))
    assert units_told(told) == {"MUG": 12} and reads.promised_units(item) == 12
    assert units_told(reads.to_tell({REF: item}, begun=after(2))) == {"MUG": 12}
    assert reads.to_tell({REF: item}, begun=after(3.5)) == {} and units_told(None) == {}
    later = amazons()
    later.take_over(told)
    assert later.promised_units(item) == 12 and later.to_tell({}) == told
    later.was_read(after(3.5))
    assert later.promised_units(item) == 0 and later.to_tell({}) == {}


# accepted -------------------------------------------------------------------------------------------------------


def settled(*results: PushResult, refused: str = "", waits: tuple[tuple[str, int], ...] = (("job", 7),)) -> Listing:
    item = a_listing(10)
    for job, figure in waits:
        item = offers.accepted(item, job, figure)
    return accepted.after(item, accepted.Answer("job", after(1), results, refused), after(2))


def test_applied_is_what_a_look_showed_then() -> None:
    item = settled(PushResult(REF, Outcome.APPLIED, actual=7))
    assert (item.pending_job, item.shown, item.shown_at, item.taken) == ("", 7, after(1), 0)


def test_what_is_not_named_came_to_an_end_and_is_looked_at() -> None:
    item = settled()
    assert (item.pending_job, item.taken, item.error) == ("", None, "")


def test_what_is_still_running_is_waited_for() -> None:
    assert offers.pending(settled(PushResult(REF, Outcome.ACCEPTED, job="job"))) == ((7, "job"),)


def test_refused_says_why_and_is_tried_again_later() -> None:
    for item in (settled(PushResult(REF, Outcome.REFUSED, why="no such SKU")), settled(refused="no such SKU")):
        assert (item.pending_job, item.error, item.retry_at, item.taken) == (
            "", "no such SKU", after(2) + accepted.REFUSED_FOR, None,
        )  # fmt: skip


def test_with_another_write_under_way_nobody_knows_what_it_shows() -> None:
    item = settled(PushResult(REF, Outcome.APPLIED, actual=7), waits=(("feed", 9), ("job", 7)))
    assert (offers.pending(item), item.taken) == (((9, "feed"),), None)


def test_P4_a_kits_reason_to_raise_is_the_last_of_its_components(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW)
    with ledger.begin() as tx:
        tx.put(KITS, {"SET": {"MUG": 1, "BOX": 2}, "OTHER": {"LID": 1}})
        tx.append(
            Fact(f"k{sku}", sku, Kind.ADJUSTMENT, NOW, change=Stock(on_hand=n))
            for sku, n in (("MUG", 3), ("BOX", -1), ("LID", -2))
        )
    with ledger.read() as view:
        assert reasons_to_raise(view, NOW - timedelta(minutes=1)) == {"MUG": NOW, "SET": NOW}
        assert reasons_to_raise(view, NOW + timedelta(minutes=1)) == {}
    ledger.close()
