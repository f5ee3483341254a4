"""SKUs that people take for one another (S9)."""

from __future__ import annotations

import pytest

from sheets_sync.names import form

ALIKE = [("AB-1", "ab-1"),
          ("AB 1", "AB1"), ("00123", "123"), ("SKU-007", "SKU-7"), ("MUG-O", "MUG-0"), ("MUGl", "MUG1"),
         ("ТЕЕ", "TEE"), ("A\u00a01", "A1")]  # fmt: skip
OTHERS = [("AB-1", "AB-10"), ("AB-1", "AB1"), ("100", "1000"), ("A1", "A2"), ("0", "00A")]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_S9_these_look_alike(one: str, other: str) -> None:
    assert form(one) == form(other)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_S9_these_do_not(one: str, other: str) -> None:
    assert form(one) != form(other)


def test_without_separators_more_do() -> None:
    assert form("AB-1", separators=False) == form("AB 1", separators=False) == form("ab_01", separators=False)
