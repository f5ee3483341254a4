"""The calls to Amazon: a limit for each operation, tokens of Login with Amazon, documents behind presigned addresses.

Amazon counts each operation by itself, and some are so scarce (the list of orders: one call in 179 seconds) that
waiting for them here would hold up everything else. Those are never waited for: RateLimited says when.

Sources: the usage plans in Amazon's published models; Login with Amazon's token endpoint.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import stamina

from sheets_sync.channels.http import (
    ATTEMPTS,
    TIMEOUT,
    Answer,
    HttpRefused,
    Limiter,
    Session,
    Shelf,
    Token,
    TokenAuth,
    TokenKeeper,
    is_loopback,
    seed_of,
)
from sheets_sync.errors import CredentialsRefused, OutcomeUnknown, RateLimited, Unavailable

Clock = Callable[[], datetime]

REGIONS: Mapping[str, str] = MappingProxyType(
    {
        "na": "https://sellingpartnerapi-na.amazon.com",  # Americas
        "eu": "https://sellingpartnerapi-eu.amazon.com",  # Europe, Middle East, India
        "fe": "https://sellingpartnerapi-fe.amazon.com",  # Japan, Australia, Singapore
    }
)
LOGIN = "https://api.amazon.com"
"""Where tokens are given, for every region."""

NOTIFICATIONS_SCOPE = "sellingpartnerapi::notifications"
SHORTEST_WAIT = 1.0
"""Seconds that even a scarce operation may be waited for."""


@dataclass(frozen=True)
class Operation:
    """What Amazon allows of one operation: calls a second, and how many at once. `scarce`: never waited for here."""

    name: str
    rate: float
    burst: float
    scarce: bool = False


SEARCH_ORDERS = Operation("searchOrders", 0.0056, 20, scarce=True)
GET_ORDER = Operation("getOrder", 0.5, 30)
SEARCH_LISTINGS = Operation("searchListingsItems", 5, 5)
GET_LISTING = Operation("getListingsItem", 5, 10)
PATCH_LISTING = Operation("patchListingsItem", 5, 5)
FBA_INVENTORY = Operation("getInventorySummaries", 2, 2)
CREATE_FEED_DOCUMENT = Operation("createFeedDocument", 0.5, 15)
CREATE_FEED = Operation("createFeed", 0.0083, 5, scarce=True)  # and of listings five in five minutes
GET_FEED = Operation("getFeed", 2, 15)
GET_FEED_DOCUMENT = Operation("getFeedDocument", 0.0222, 10, scarce=True)
CREATE_REPORT = Operation("createReport", 0.0167, 15, scarce=True)
GET_REPORTS = Operation("getReports", 0.0222, 10, scarce=True)
GET_REPORT = Operation("getReport", 2, 15)
GET_REPORT_DOCUMENT = Operation("getReportDocument", 0.0167, 15, scarce=True)
DESTINATIONS = Operation("destinations", 1, 5)
SUBSCRIPTIONS = Operation("subscriptions", 1, 5)


def token_refused(response: requests.Response) -> bool:
    """Whether the token is not good any more. Amazon says 403 for that, and for a missing role as well."""
    if response.status_code == 401:
        return True
    return response.status_code == 403 and b"token you provided" in response.content


def iso(at: datetime) -> str:
    """A time as Amazon takes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def quoted(text: str) -> str:
    """Text as one step of a path."""
    return quote(text, safe="")


class Steady:
    """The seconds of a clock, for limits: where somebody sets it back, they stand still instead."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._ahead, self._last = clock, 0.0, 0.0

    def __call__(self) -> float:
        now = self._clock().timestamp() + self._ahead
        if now < self._last:
            self._ahead += self._last - now
            now = self._last
        self._last = now
        return now


class Api:
    """One seller's calls in one region. `who` is the channel's name, for messages."""

    def __init__(
        self,
        who: str,
        address: str,
        login: str,
        *,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        secrets: tuple[str, ...],
        clock: Clock,
        shelf: Shelf | None,
        timeout: tuple[float, float] = TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.who, self._clock, self._timeout, self._sleep = who, clock, timeout, sleep
        # by the channel's own clock: what Amazon gives back is a matter of time as the other side counts it
        self._seconds = Steady(clock)
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._refresh_token = refresh_token
        self._limits: dict[str, Limiter] = {}
        secrets = (client_secret, refresh_token, *secrets)
        self._door = Session(login, who=who, secrets=secrets, timeout=timeout)
        seed = seed_of(client_id, client_secret, refresh_token)
        keeper = TokenKeeper(self._seller_token, shelf=shelf, seed=seed, clock=clock)
        # an app's own token names no seller and can be had at any time
        grantless = TokenKeeper(self._app_token, clock=clock)
        self._session = self._signed(address, keeper, secrets, ATTEMPTS)
        self._once = self._signed(address, keeper, secrets, 1)
        self._app = self._signed(address, grantless, secrets, ATTEMPTS)
        self._files = requests.Session()

    def _signed(self, address: str, keeper: TokenKeeper, secrets: tuple[str, ...], attempts: int) -> Session:
        return Session(
            address,
            who=self.who,
            auth=TokenAuth(keeper, "x-amz-access-token", ""),
            secrets=secrets,
            timeout=self._timeout,
            attempts=attempts,
            token_refused=token_refused,
        )

    def close(self) -> None:
        """Let go of the connections."""
        for session in (self._session, self._once, self._app, self._door):
            session.close()
        self._files.close()

    # calls

    def read(self, of: Operation, path: str, params: Mapping[str, str] | None = None, *, app: bool = False) -> Answer:
        """A GET, made again where it got no answer. `app`: signed as the app itself, for no seller.

        Raises RateLimited at once where a scarce operation is used up.
        """
        session = self._app if app else self._once if of.scarce else self._session
        return self._paced(of, lambda limit: session.read("GET", path, params=params, limiter=limit))

    def write(
        self,
        of: Operation,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        app: bool = False,
    ) -> Answer:
        """A call that changes something: sent once."""
        session = self._app if app else self._session
        return self._paced(of, lambda limit: session.write(method, path, params=params, json=json, limiter=limit))

    def ready_in(self, of: Operation, calls: int = 1) -> float:
        """Seconds until so many calls of an operation have been let through, were they begun now."""
        limit = self._limit(of)
        beyond = max(0.0, calls - limit.burst) / limit.rate
        return beyond + limit.ready_in(min(calls, limit.burst))

    def _paced(self, of: Operation, call: Callable[[Limiter], Answer]) -> Answer:
        limit = self._limit(of)
        wait = limit.ready_in() if of.scarce else 0.0
        if wait > SHORTEST_WAIT:
            raise RateLimited(f"{self.who}: Amazon allows the next {of.name} in {wait:.0f} seconds", wait)
        try:
            answer = call(limit)
        except RateLimited as error:
            limit.left(0)
            raise RateLimited(str(error), error.retry_after or 1 / limit.rate) from error
        self._learn(limit, answer.headers)
        return answer

    def _limit(self, of: Operation) -> Limiter:
        if of.name not in self._limits:
            self._limits[of.name] = Limiter(of.rate, of.burst, clock=self._seconds, sleep=self._sleep)
        return self._limits[of.name]

    @staticmethod
    def _learn(limit: Limiter, headers: Mapping[str, str]) -> None:
        """Sellers with more business have higher rates, and only the header tells."""
        try:
            rate = float(headers.get("x-amzn-RateLimit-Limit") or 0)
        except ValueError:
            return
        if rate > 0 and rate != limit.rate:
            limit.at_rate(rate)

    # documents

    def upload(self, url: str, body: bytes, content_type: str) -> None:
        """Put a document where Amazon told us to. May be repeated: it is the same document. Raises Unavailable."""
        self._file("PUT", url, body, {"Content-Type": content_type})

    def download(self, about: Mapping[str, Any]) -> bytes:
        """What a document's description (`url`, perhaps `compressionAlgorithm`) points at. Raises Unavailable."""
        body = self._file("GET", str(about["url"]), None, {})
        # an HTTP client may have undone it already, where the storage server names it as the encoding
        zipped = about.get("compressionAlgorithm") == "GZIP" and body[:2] == b"\x1f\x8b"
        return gzip.decompress(body) if zipped else body

    def _file(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """No token is shown to a storage server, and its address, which is a secret itself, is repeated nowhere."""
        self._files.trust_env = not is_loopback(url)
        retrying = stamina.retry_context(
            on=Unavailable, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=5.0, wait_jitter=0.5
        )
        for attempt in retrying:
            with attempt:
                return self._file_once(method, url, body, headers)
        raise AssertionError("unreachable: stamina returns or raises")

    def _file_once(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        what = f"{self.who}: a document of Amazon's at {urlsplit(url).hostname}"
        try:
            response = self._files.request(method, url, data=body, headers=dict(headers), timeout=self._timeout)
        except requests.RequestException as error:
            why = type(error).__name__
        else:
            if 200 <= response.status_code < 300:
                return response.content
            why = f"answered {response.status_code}"
        raise Unavailable(f"{what} could not be reached ({why})")

    # tokens

    def _seller_token(self, before: Token | None) -> Token:
        return self._token({"grant_type": "refresh_token", "refresh_token": self._refresh_token}, "refresh_token")

    def _app_token(self, before: Token | None) -> Token:
        return self._token({"grant_type": "client_credentials", "scope": NOTIFICATIONS_SCOPE}, "client_id")

    def _token(self, asked: Mapping[str, str], what: str) -> Token:
        began = self._clock()
        try:
            data = self._door.read("POST", "/auth/o2/token", form={**asked, **self._client}).data
        except (HttpRefused, CredentialsRefused) as error:
            raise CredentialsRefused(
                f"{self.who}: Amazon gave no token ({error}). Check client_id, client_secret and {what} in "
                "config.toml; the client secret ends after 180 days, and the app may have lost its authorisation: "
                "authorise it again in Seller Central"
            ) from error
        if not isinstance(data, dict) or not data.get("access_token"):
            raise Unavailable(f"{self.who}: Amazon's token endpoint answered without a token")
        return Token(str(data["access_token"]), began + timedelta(seconds=float(data.get("expires_in") or 3600)))


# reports ----------------------------------------------------------------------------------------------------------

REPORTS = "/reports/2021-06-30"


def order_report(api: Api, body: Mapping[str, Any]) -> str:
    """Ask for a report; its id. One that is asked for twice is made twice, and harms nobody."""
    try:
        answer = api.write(CREATE_REPORT, "POST", f"{REPORTS}/reports", json=body)
    except OutcomeUnknown as error:
        raise Unavailable(f"{error}; asked for again later") from error
    return str(answer.data["reportId"])


def made_report(api: Api, report: str) -> bytes | None:
    """What a report says; None while it is being made. Nothing (b"") where Amazon found that there is nothing to say.

    Raises Unavailable where it was not made.
    """
    about = api.read(GET_REPORT, f"{REPORTS}/reports/{quoted(report)}").data
    status = about.get("processingStatus")
    if status in ("IN_QUEUE", "IN_PROGRESS"):
        return None
    if status == "CANCELLED":
        return b""
    if status != "DONE":
        raise Unavailable(f"{api.who}: Amazon did not make a report ({status}); asked for again")
    return api.download(api.read(GET_REPORT_DOCUMENT, f"{REPORTS}/documents/{quoted(about['reportDocumentId'])}").data)
