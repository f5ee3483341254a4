"""A list of orders that runs late or is scarce: what a raise waits for, and what an accepted figure becomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from sheets_sync import accepted, offers
from sheets_sync.channels import Outcome, PushResult
from sheets_sync.late_orders import Reads, units_told
from sheets_sync.model import Figure, Listing, Ref

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
