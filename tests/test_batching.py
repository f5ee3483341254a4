"""Writes are cut into the fewest calls that their channel's rule allows, most urgent first."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from sheets_sync.batching import GROUPS, batches, calls
from sheets_sync.model import Ref

ITEMS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 99)), max_size=60)


@given(ITEMS, st.integers(1, 7))
def test_no_call_could_be_saved_and_nothing_is_lost(items: list[tuple[int, int]], most: int) -> None:
    cut = list(batches(items, most, lambda item: item[0]))
    assert sorted(item for batch in cut for item in batch) == sorted(items)
    assert all(0 < len(batch) <= most for batch in cut)
    heads = [next(calls(batch, most, lambda item: item[0])) for batch in cut]
    assert all(len(a) + len(b) > most for a, b in zip(cut, heads[1:], strict=False)), "no batch could be saved either"
    made = sum(len({item[0] for item in batch}) for batch in cut)
    least = sum(ceil(sum(i[0] == g for i in items) / most) for g in {i[0] for i in items})
    assert made == least == len(list(calls(items, most, lambda item: item[0])))


@given(ITEMS, st.integers(1, 7))
def test_the_most_urgent_goes_first(items: list[tuple[int, int]], most: int) -> None:
    cut = [item for batch in batches(items, most, lambda item: item[0]) for item in batch]
    assert cut[:1] == items[:1]
    for group in {item[0] for item in items}:
        assert [i for i in cut if i[0] == group] == [i for i in items if i[0] == group]


def test_what_a_batch_must_share() -> None:
    ref = Ref("listing", "parent", "place")
    assert {word: of(ref) for word, of in GROUPS.items()} == {
        "none": None, "place": "place", "listing": "listing", "parent": "parent",
    }  # fmt: skip
