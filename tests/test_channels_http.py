"""The shared HTTP session: reads are repeated, writes are sent once, limits are kept, secrets stay inside."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import stamina
import structlog
from hypothesis import given
from hypothesis import strategies as st
from requests.auth import HTTPBasicAuth
from werkzeug.wrappers import Request, Response

from sheets_sync.channels.http import (
    TIMEOUT,
    Answer,
    HttpRefused,
    Limiter,
    NoShelf,
    Session,
    Token,
    TokenAuth,
    TokenKeeper,
    is_loopback,
    redact,
    retry_after,
)
from sheets_sync.desk import TokenShelf
from sheets_sync.errors import CredentialsRefused, OutcomeUnknown, RateLimited, SheetsSyncError, Unavailable
from sheets_sync.ledger import Ledger
from sheets_sync.sandbox.shops._common import HttpServer

SECRET = "cs_0123456789abcdef"


class Vendor:
    """A server that answers what a test has put in its queue, and the last of it for ever."""

    def __init__(self) -> None:
        self.answers: list[Response | str] = []
        self.asked: list[Request] = []
        self.server = HttpServer(self.app)

    def app(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        request.get_data()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "drop":
            raise ConnectionResetError(104, "dropped")
        assert isinstance(answer, Response)
        return answer(environ, start_response)


def ok(body: str = '{"good": true}', status: int = 200, **headers: str) -> Response:
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return Response(body, status=status, headers=named, content_type="application/json")


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    vendor = Vendor()
    yield vendor
    vendor.server.close()


@pytest.fixture
def session(vendor: Vendor) -> Iterator[Session]:
    session = Session(vendor.server.base_url, who="shop", secrets=[SECRET])
    with stamina.set_testing(True, attempts=4):
        yield session
    session.close()


# reads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Response(status=503), Response(status=500), Response(status=429), "drop"])
def test_a_read_is_made_again(vendor: Vendor, session: Session, fault: Response | str) -> None:
    vendor.answers = [fault, fault, ok()]
    answer = session.read("GET", "things", params={"a": "ü b"})
    assert answer.data == {"good": True} and len(vendor.asked) == 3
    assert vendor.asked[0].args["a"] == "ü b"


def test_a_read_is_not_made_for_ever(vendor: Vendor, session: Session) -> None:
    vendor.answers = [Response(status=503)]
    with pytest.raises(Unavailable, match="shop: GET things was answered 503"):
        session.read("GET", "things")
    assert len(vendor.asked) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 301])
def test_a_no_is_a_no_and_not_asked_again(vendor: Vendor, session: Session, status: int) -> None:
    vendor.answers = [ok('{"code": "why", "message": "because"}', status)]
    with pytest.raises(SheetsSyncError, match="because") as refused:
        session.read("GET", "things")
    assert len(vendor.asked) == 1
    if status in (401, 403):
        assert isinstance(refused.value, CredentialsRefused)
    else:
        assert isinstance(refused.value, HttpRefused) and refused.value.status == status


def test_a_page_instead_of_json_is_no_answer(vendor: Vendor, session: Session) -> None:
    vendor.answers = [Response("<html>Under maintenance", content_type="text/html"), ok("\ufeff[1]")]
    assert session.read("GET", "things").data == [1]  # and a byte order mark is not in the way
    assert len(vendor.asked) == 2


def test_a_check_may_find_a_no_in_a_200(vendor: Vendor, session: Session) -> None:
    vendor.answers = [ok('{"throttled": 1}'), ok()]

    def check(answer: Answer) -> None:
        if "throttled" in answer.data:
            raise RateLimited("slow down", 0.0)

    assert session.read("POST", "graphql", json={"q": 1}, check=check).data == {"good": True}
    vendor.answers = [ok('{"throttled": 1}')]
    with pytest.raises(RateLimited):
        session.write("POST", "graphql", json={"q": 1}, check=check)


def test_retry_after_is_honoured_up_to_a_limit(vendor: Vendor) -> None:
    session = Session(vendor.server.base_url, who="shop", longest_wait=1.0)
    vendor.answers = [ok("{}", 429, Retry_After="0.05"), ok()]
    assert session.read("GET", "x").status == 200
    vendor.asked.clear()
    vendor.answers = [ok("{}", 429, Retry_After="3600")]
    with pytest.raises(RateLimited) as limited:
        session.read("GET", "x")
    assert limited.value.retry_after == 3600 and len(vendor.asked) == 1
    session.close()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("Wed, 25 Nov 2026 10:00:30 GMT", 30.0), ("soon", None), (None, None)],
)
def test_retry_after_in_both_its_forms(value: str | None, seconds: float | None) -> None:
    headers = {} if value is None else {"retry-after": value}
    assert retry_after(headers, lambda: datetime(2026, 11, 25, 10, tzinfo=UTC)) == seconds


# writes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Response(status=503), Response(status=500), "drop", Response("<html>", status=200)])
def test_a_write_without_a_clear_answer_is_unknown_and_sent_once(
    vendor: Vendor, session: Session, fault: Response | str
) -> None:
    vendor.answers = [fault]
    with pytest.raises(OutcomeUnknown, match="may have been applied"):
        session.write("POST", "things", json={"n": 1})
    assert len(vendor.asked) == 1


def test_a_write_that_came_too_soon_was_not_made(vendor: Vendor, session: Session) -> None:
    vendor.answers = [ok("{}", 429, Retry_After="9")]
    with pytest.raises(RateLimited) as limited:
        session.write("POST", "things")
    assert limited.value.retry_after == 9 and len(vendor.asked) == 1


def test_a_write_that_found_nobody_was_not_sent(vendor: Vendor) -> None:
    address = vendor.server.base_url
    vendor.server.close()
    session = Session(address, who="shop")
    with pytest.raises(Unavailable):
        session.write("POST", "things")
    session.close()


def test_a_redirected_write_is_no_success(vendor: Vendor, session: Session) -> None:
    vendor.answers = [ok("{}", 301, Location="https://www.shop.test/things?key=cs_x"), ok()]
    with pytest.raises(HttpRefused, match="moved to https://www.shop.test/things. Put that address"):
        session.write("POST", "things", json={})
    assert len(vendor.asked) == 1


def test_every_request_has_its_time_outs(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    given_: list[object] = []

    def request(*args: object, **kwargs: object) -> requests.Response:
        given_.append(kwargs["timeout"])
        raise requests.ReadTimeout("slow")

    monkeypatch.setattr(session._http, "request", request)
    with pytest.raises(Unavailable):
        session.read("GET", "x")
    with pytest.raises(OutcomeUnknown):
        session.write("POST", "x")
    assert set(given_) == {TIMEOUT} and len(given_) == 5


# secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop", Response(f'{{"message": "bad key {SECRET}"}}', status=400)])
def test_no_secret_in_errors_logs_and_tracebacks(vendor: Vendor, fault: Response | str) -> None:
    session = Session(vendor.server.base_url, who="shop", auth=HTTPBasicAuth("ck_public", SECRET), secrets=[SECRET])
    vendor.answers = [fault]
    with structlog.testing.capture_logs() as logs:
        try:
            session.write("POST", "things", params={"consumer_secret": SECRET})
        except SheetsSyncError as error:
            said = "".join(traceback.format_exception(error))
    assert SECRET not in said and SECRET not in repr(logs)
    session.close()


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.test/x?consumer_key=ck_1&consumer_secret=TOPSECRET&page=2",
        "https://shop.test/x?oauth_signature=TOPSECRET%3D",
        "Authorization: Basic TOPSECRET",
        "{'Authorization': 'Bearer TOPSECRET', 'x': 1}",
        '{"access_token":"TOPSECRET","expires_in":3600}',
        "X-Shopify-Access-Token: TOPSECRET",
        "client_secret=TOPSECRET",
    ],
)
def test_what_looks_like_a_secret_is_hidden_unasked(text: str) -> None:
    assert "TOPSECRET" not in redact(text)


@given(st.text(min_size=8), st.text(), st.text())
def test_known_secrets_are_hidden_wherever_they_stand(secret: str, before: str, after: str) -> None:
    if secret in before + after or secret in "***":
        return
    assert secret not in redact(f"{before}{secret}{after}", [secret]).replace("***", "\0")


def test_a_proxy_of_the_environment_does_not_see_this_machines_traffic() -> None:
    assert is_loopback("http://127.0.0.1:5/") and is_loopback("http://localhost") and is_loopback("http://[::1]:5")
    assert not is_loopback("https://shop.test") and not is_loopback("https://127.0.0.1.evil.test/")


# limits ---------------------------------------------------------------------------------------------------------


class Time:
    """A clock that a limiter's sleep moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_the_limiter_lets_a_burst_through_and_then_paces() -> None:
    time = Time()
    limiter = Limiter(10, 5, clock=time.clock, sleep=time.sleep)
    for _ in range(5):
        limiter.acquire()
    assert sum(time.slept) == pytest.approx(0)
    limiter.acquire()
    assert sum(time.slept) == pytest.approx(0.1)


def test_the_limiter_believes_the_vendor() -> None:
    time = Time()
    limiter = Limiter(100, 2000, clock=time.clock, sleep=time.sleep)
    limiter.left(50)
    limiter.acquire(150)
    assert time.slept == [pytest.approx(1.0)]
    limiter.left(4000, rate=200, burst=4000)
    limiter.acquire(4000)
    assert len(time.slept) == 1


def test_a_cost_above_the_burst_waits_for_all_of_it_and_no_longer() -> None:
    time = Time()
    limiter = Limiter(10, 5, clock=time.clock, sleep=time.sleep)
    limiter.acquire()
    limiter.acquire(1_000_000)
    assert time.slept == [pytest.approx(0.1)]


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.1, 5)), min_size=1, max_size=60))
def test_the_limiter_never_lets_more_through_than_allowed(steps: list[tuple[float, float]]) -> None:
    time = Time()
    rate, burst = 2.0, 5.0
    limiter = Limiter(rate, burst, clock=time.clock, sleep=time.sleep)
    passed: list[tuple[float, float]] = []
    for pause, cost in steps:
        time.now += pause
        limiter.acquire(cost)
        passed.append((time.now, cost))
    for i, (start, _) in enumerate(passed):
        for end, _ in passed[i:]:
            used = sum(cost for at, cost in passed if start <= at <= end)
            assert used <= burst + rate * (end - start) + 1e-6


# tokens ---------------------------------------------------------------------------------------------------------


@dataclass
class Kept:
    """A shelf of one token, and all that was ever put there."""

    stored: list[Token]
    seeds: list[str] = field(default_factory=list)

    def load(self, seed: str) -> Token | None:
        return self.stored[-1] if self.stored and self.seeds[-1] == seed else None

    def store(self, seed: str, token: Token) -> None:
        self.stored.append(token)
        self.seeds.append(seed)


def tokens(count: list[int], stored: list[Token], life: timedelta | None = None) -> TokenKeeper:
    def fetch(before: Token | None) -> Token:
        count.append(1)
        assert before is None or before.refresh == f"r{len(count) - 1}"
        return Token(f"token-{len(count)}", None if life is None else datetime.now(UTC) + life, f"r{len(count)}")

    return TokenKeeper(fetch, shelf=Kept(stored))


def test_a_refused_token_is_renewed_once_and_the_call_made_again(vendor: Vendor) -> None:
    count: list[int] = []
    session = Session(vendor.server.base_url, who="shop", auth=TokenAuth(tokens(count, []), "X-Token", ""))
    vendor.answers = [ok("{}", 401), ok()]
    assert session.write("POST", "things").status == 200
    assert [r.headers["X-Token"] for r in vendor.asked] == ["token-1", "token-2"]
    vendor.answers = [ok("{}", 401)]
    with pytest.raises(CredentialsRefused):
        session.read("GET", "things")
    session.close()


def test_a_new_token_is_stored_before_it_is_used(vendor: Vendor) -> None:
    asked_when_stored: list[int] = []

    class Watched(NoShelf):
        def store(self, seed: str, token: Token) -> None:
            asked_when_stored.append(len(vendor.asked))

    keeper = TokenKeeper(lambda _: Token("t"), shelf=Watched())
    session = Session(vendor.server.base_url, who="shop", auth=TokenAuth(keeper))
    vendor.answers = [ok()]
    session.read("GET", "things")
    assert asked_when_stored == [0] and vendor.asked[0].headers["Authorization"] == "Bearer t"
    session.close()


def test_a_token_that_cannot_be_stored_is_not_used(vendor: Vendor) -> None:
    class Full(NoShelf):
        def store(self, seed: str, token: Token) -> None:
            raise OSError("disk full")

    keeper = TokenKeeper(lambda _: Token("t"), shelf=Full())
    session = Session(vendor.server.base_url, who="shop", auth=TokenAuth(keeper))
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            session.read("GET", "things")
    assert vendor.asked == []
    session.close()


def test_an_old_token_is_renewed_before_it_ends() -> None:
    count: list[int] = []
    keeper = tokens(count, [], life=timedelta(minutes=1))
    assert [keeper.value(), keeper.value()] == ["token-1", "token-2"]
    count.clear()
    lasting = tokens(count, [], life=timedelta(hours=1))
    assert [lasting.value(), lasting.value()] == ["token-1", "token-1"]


def test_eight_that_were_refused_at_once_renew_once() -> None:
    count: list[int] = []
    stored: list[Token] = []
    keeper = tokens(count, stored)
    refused = keeper.value()
    barrier = threading.Barrier(8)

    def renew(_: int) -> str:
        barrier.wait(10)
        return keeper.renew(refused)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(renew, range(8))) == {"token-2"}
    assert [t.value for t in stored] == ["token-1", "token-2"]
    assert "token" not in repr(stored[0]).replace("Token", "")


def test_two_processes_share_one_rotating_token(tmp_path: Path) -> None:
    """The second finds what the first one stored, and neither spends a refresh token twice."""
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    now, spent, tried = [datetime.now(UTC)], list[str](), list[str]()

    def keeper(seed: str = "ours") -> TokenKeeper:
        def fetch(before: Token | None) -> Token:
            refresh = before.refresh if before else "given"
            tried.append(refresh)
            if refresh in spent:
                raise CredentialsRefused("this refresh token was used before")
            spent.append(refresh)
            return Token(f"token-{len(spent)}", now[0] + timedelta(hours=1), f"r{len(spent)}")

        first = Token("", refresh="given")
        return TokenKeeper(fetch, shelf=TokenShelf(ledger, "web"), seed=seed, token=first, clock=lambda: now[0])

    one, two = keeper(), keeper()
    assert [one.value(), two.value(), keeper().value()] == ["token-1"] * 3
    now[0] += timedelta(hours=2)
    assert [two.value(), one.value(), one.renew("token-1")] == ["token-2"] * 3
    assert tried == spent == ["given", "r1"], "none was tried in vain"
    with pytest.raises(CredentialsRefused):
        keeper("others, since the seller changed them").value()
    ledger.close()
