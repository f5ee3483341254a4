"""The local sheet's further answers: quotas, stale reads, refused JSON, formulas, locales, and what nobody knows."""

from __future__ import annotations

import base64
import json
import threading

import gspread
import pytest
import requests

from sheets_sync.sandbox.sheet.quotas import NOBODY, WINDOW, Meter, Quotas, token_for, user_of
from sheets_sync.sandbox.sheet.server import Running, serve
from tests.discovery import answer_problems
from tests.sheet_server import DEADLINE, QUOTA, Faults, gspread_for, is_read

KEY = "book"
STOCK = 101


@pytest.fixture
def book(local_sheet: Running) -> gspread.Spreadsheet:
    """A workbook with the tabs Stock (id 101) and Other, opened by gspread."""
    local_sheet.store.create("Stock book", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}, "Other"])
    return gspread_for(local_sheet.base_url).open_by_key(KEY)


# --- quotas


def test_quotas_refuse_in_googles_words_and_count_users_and_the_project() -> None:
    now = [0.0]
    meter = Meter(Quotas(reads_per_user=2, writes_per_user=1, reads_per_project=3), lambda: now[0])
    assert [meter.take("ann", read=True) for _ in range(2)] == [None, None]
    refused = meter.take("ann", read=True)
    assert (
        refused and "limit 'Read requests per minute per user' of service 'sheets.googleapis.com'" in refused["message"]
    )
    assert refused["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert meter.take("ann", read=False) is None, "writes are counted apart"
    assert meter.take("bob", read=True) is None
    whole = meter.take("bob", read=True)
    assert whole and "limit 'Read requests per minute' of" in whole["message"]
    now[0] = WINDOW
    assert meter.take("ann", read=True) is None


def test_a_sheet_with_quotas_says_429_until_the_minute_is_over() -> None:
    with serve(quotas=Quotas(reads_per_user=3, writes_per_user=1)) as running:
        running.store.create("Book", KEY)
        url = f"{running.base_url}/v4/spreadsheets/{KEY}"
        write = {"requests": [{"addSheet": {"properties": {"title": "once"}}}]}
        answers = [requests.get(f"{url}/values/Sheet1", timeout=DEADLINE) for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert answer_problems("GET", f"/v4/spreadsheets/{KEY}", 429, answers[3].content) == []
        assert answers[3].json()["error"]["status"] == "RESOURCE_EXHAUSTED"
        assert requests.post(f"{url}:batchUpdate", json=write, timeout=DEADLINE).status_code == 200
        refused = requests.post(f"{url}:batchUpdate", json=write, timeout=DEADLINE)
        assert refused.json()["error"]["message"] == json.loads(QUOTA.body)["error"]["message"]
        assert requests.post(f"{url}:getByDataFilter", json={}, timeout=DEADLINE).status_code == 429, "it is a read"
        other = {"Authorization": f"Bearer {token_for(jwt('other@shop.test'), 'x')}"}
        assert requests.get(f"{url}/values/Sheet1", headers=other, timeout=DEADLINE).status_code == 200
        assert requests.get(f"{running.base_url}/drive/v3/files", timeout=DEADLINE).status_code == 200


def jwt(issuer: str) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"iss": issuer}).encode()).decode().rstrip("=")
    return f"head.{claims}.signature"


def test_a_user_stays_the_same_with_a_new_token() -> None:
    first, second = (f"Bearer {token_for(jwt('me@shop.test'), nonce)}" for nonce in ("a", "b"))
    assert first != second and user_of(first) == user_of(second) == "me@shop.test"
    assert user_of("") == NOBODY
    assert user_of("Bearer whatever") == "whatever"
    assert [user_of(f"Bearer {token_for(bad, 'n')}") for bad in ("", "a.b", "a.!!.c", "a.W10.c")] == [NOBODY] * 4


# --- faults


def test_a_stale_read_answers_what_stood_before(
    book: gspread.Spreadsheet, local_sheet: Running, faults: Faults
) -> None:
    stock = book.worksheet("Stock")
    stock.update(range_name="A1", values=[["old"]])
    before = local_sheet.store.book(KEY)
    stock.update(range_name="A1", values=[["new"]])
    book.batch_update({"requests": [{"addSheet": {"properties": {"title": "Third"}}}]})
    faults.stale(before)
    assert stock.acell("A1").value == "old"
    assert stock.acell("A1").value == "new"
    faults.stale(before)
    assert len(book.fetch_sheet_metadata()["sheets"]) == 2
    faults.stale(before, match=lambda call: not is_read(call))
    stock.update(range_name="A1", values=[["newer"]])
    assert stock.acell("A1").value == "newer", "a write is never applied to an older state"
    assert len(book.worksheets()) == 3


def test_a_slow_write_waits_and_lands(book: gspread.Spreadsheet, local_sheet: Running, faults: Faults) -> None:
    go = threading.Event()
    faults.slow(go)
    writer = threading.Thread(
        target=book.batch_update, args=({"requests": [{"addSheet": {"properties": {"title": "late"}}}]},)
    )
    writer.start()
    local_sheet.store.type(KEY, "Stock", "A1", "typed meanwhile")
    assert local_sheet.store.book(KEY).tab_named("late") is None
    go.set()
    writer.join(DEADLINE)
    assert local_sheet.store.book(KEY).tab_named("late") is not None
