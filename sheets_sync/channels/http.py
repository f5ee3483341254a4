"""One HTTP session for every channel: `Session.read` may be repeated, `Session.write` is sent once.

The idea: what an adapter may assume depends on whether its call could have changed something. A read that got no good
answer is made again, a few times, with jitter, and then raises Unavailable. A write is sent once; when its answer is
lost (or is a 5xx, which a proxy may give after the shop has done the work) it raises OutcomeUnknown, and only a look
can tell. Errors are sorted by who must act (`sheets_sync.errors`); no message, log line or traceback carries a secret.
"""

from __future__ import annotations

import email.utils
import hashlib
import ipaddress
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urljoin, urlsplit

import orjson
import requests
import stamina
import structlog
import urllib3
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from sheets_sync.channels import Outcome, PushResult, Target
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    SheetsSyncError,
    Unavailable,
)

TIMEOUT = (3.05, 30.0)
"""Seconds to connect and to wait for bytes; given with every request."""

ATTEMPTS = 4
"""How often a read is made at most."""

LONGEST_WAIT = 20.0
"""Seconds: a vendor who asks for more is not waited for here, RateLimited says it to the caller."""

log = structlog.get_logger(__name__)


# limits ---------------------------------------------------------------------------------------------------------


class Limiter:
    """GCRA: `rate` units a second, at most `burst` at once. `left` takes the vendor's word over our arithmetic."""

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rate, self.burst = rate, burst
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._full_at = 0.0  # when the allowance will be whole again

    def acquire(self, cost: float = 1.0) -> None:
        """Wait until `cost` fits. A cost above `burst` waits for the whole allowance."""
        with self._lock:
            now = self._clock()
            self._full_at = max(self._full_at, now) + min(cost, self.burst) / self.rate
            wait = self._full_at - self.burst / self.rate - now
        if wait > 0:
            self._sleep(wait)

    def ready_in(self, cost: float = 1.0) -> float:
        """Seconds until `cost` would fit without waiting. Takes nothing."""
        with self._lock:
            now = self._clock()
            full_at = max(self._full_at, now) + min(cost, self.burst) / self.rate
            return max(0.0, full_at - self.burst / self.rate - now)

    def at_rate(self, rate: float) -> None:
        """The vendor allows another rate from now on; what was used up is given back at that."""
        with self._lock:
            now = self._clock()
            owed = max(self._full_at - now, 0.0) * self.rate
            self.rate, self._full_at = rate, now + owed / rate

    def left(self, units: float, *, rate: float | None = None, burst: float | None = None) -> None:
        """What an answer's headers say is left of the allowance, and its size where they tell."""
        with self._lock:
            self.rate, self.burst = rate or self.rate, burst or self.burst
            self._full_at = self._clock() + max(self.burst - units, 0.0) / self.rate


# tokens ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Token:
    """An access token; `refresh` is what the vendor wants to see for the next one."""

    value: str
    expires_at: datetime | None = None
    refresh: str = ""

    def __repr__(self) -> str:
        return f"Token(***, expires_at={self.expires_at})"


class Shelf(Protocol):
    """Where a channel's token outlives the process. `seed` names the credentials that it was made from: a token of
    others, from before the seller changed them, is not given back.
    """

    def load(self, seed: str) -> Token | None:
        """The token that was stored last for these credentials."""
        ...

    def store(self, seed: str, token: Token) -> None:
        """Keep it, durably, before this returns."""
        ...


class NoShelf:
    """For tokens that can be had anew at any time: nothing is kept."""

    def load(self, seed: str) -> Token | None:
        """Nothing."""
        return None

    def store(self, seed: str, token: Token) -> None:
        """Let it go."""


def seed_of(*credentials: str) -> str:
    """A name for credentials that does not give them away."""
    return hashlib.sha256("\n".join(credentials).encode()).hexdigest()[:32]


class TokenKeeper:
    """Refreshes a token one at a time; a new one is stored (durably, by `shelf`) before anybody uses it.

    Refresh tokens rotate: used before stored, a crash would lock the seller out. Another process may have refreshed
    meanwhile, so the shelf is looked at first, and once more where our refresh token was refused.
    """

    def __init__(
        self,
        fetch: Callable[[Token | None], Token],
        *,
        shelf: Shelf | None = None,
        seed: str = "",
        token: Token | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        early: timedelta = timedelta(minutes=2),
    ) -> None:
        self._fetch, self._shelf, self._seed, self._clock, self._early = fetch, shelf or NoShelf(), seed, clock, early
        self._token = token
        self._loaded = False
        self._lock = threading.Lock()

    def value(self) -> str:
        """A token that is good for a while yet."""
        with self._lock:
            if not self._loaded:
                self._token = self._shelf.load(self._seed) or self._token
                self._loaded = True
            token = self._token
            if token is None or not self._lasts(token):
                token = self._renew(token)
            return token.value

    def renew(self, refused: str) -> str:
        """A token other than the one just refused; whoever comes second takes what the first one fetched."""
        with self._lock:
            token = self._token
            if token is None or token.value == refused:
                token = self._renew(token)
            return token.value

    def secrets(self) -> tuple[str, ...]:
        """What must not be shown: the token, and what renews it."""
        token = self._token
        return () if token is None else tuple(s for s in (token.value, token.refresh) if s)

    def _lasts(self, token: Token) -> bool:
        return bool(token.value) and (token.expires_at is None or token.expires_at - self._early > self._clock())

    def _renew(self, before: Token | None) -> Token:
        found = self._elsewhere(before)
        if found is None or not self._lasts(found):
            try:
                found = self._fetch(found or before)
                self._shelf.store(self._seed, found)
            except CredentialsRefused:
                found = self._elsewhere(found or before)
                if found is None:
                    raise
        self._token = found
        return found

    def _elsewhere(self, before: Token | None) -> Token | None:
        """What another process has stored since, if any."""
        kept = self._shelf.load(self._seed)
        return None if kept == before else kept


class TokenAuth(AuthBase):
    """Sends a keeper's token in `header`."""

    def __init__(self, keeper: TokenKeeper, header: str = "Authorization", prefix: str = "Bearer ") -> None:
        self.keeper, self.header, self.prefix = keeper, header, prefix

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self.header] = self.prefix + self.keeper.value()
        return request

    def used(self, request: requests.PreparedRequest) -> str:
        """The token that a request carried."""
        return str(request.headers.get(self.header, "")).removeprefix(self.prefix)


# redaction ------------------------------------------------------------------------------------------------------

HIDDEN = "***"
_SECRET_FIELD = re.compile(
    r"(?i)((?:consumer_?(?:key|secret)|oauth_\w+|access_?token|refresh_?token|client_?secret|api_?key|password|signature"
    r"|authorization|x-shopify-access-token)[\"']?\s*[=:]\s*[\"']?)(?:(?:Basic|Bearer|OAuth)\s+)?[^\s&\"',;}]+"
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the given secrets (plain or URL-quoted) and without the value of any field that looks like one."""
    for secret in sorted((s for s in secrets if s), key=len, reverse=True):
        text = text.replace(secret, HIDDEN).replace(quote(secret, safe=""), HIDDEN)
    return _SECRET_FIELD.sub(rf"\g<1>{HIDDEN}", text)


# the session ----------------------------------------------------------------------------------------------------


class HttpRefused(ChannelRefused):
    """A 4xx: the status, and the vendor's own words, redacted. `code` is the vendor's error code where it gives one."""

    def __init__(self, message: str, *, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Answer:
    """A good answer. `data` is its JSON (None where the body is empty)."""

    status: int
    headers: Mapping[str, str]
    data: Any

    @property
    def date(self) -> datetime | None:
        """The vendor's clock, whole seconds, as its Date header has it."""
        return http_date(self.headers.get("Date"))


class Check(Protocol):
    """Looks into a 200 for the vendor's way of saying no there; raises, RateLimited for instance."""

    def __call__(self, answer: Answer, /) -> None: ...


def is_unauthorised(response: requests.Response) -> bool:
    """Whether an answer says that the token is not good any more."""
    return response.status_code == 401


def is_no_echo(_response: requests.Response) -> bool:
    """What most vendors say of a request that arrives twice: nothing."""
    return False


@dataclass(frozen=True)
class _Call:
    """One call as it is sent, and by which limit."""

    method: str
    path: str
    params: Mapping[str, str] | None
    body: bytes | None
    content_type: str
    cost: float
    check: Check | None
    limiter: Limiter | None
    write: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Session:
    """Calls to one vendor. `who` is the channel's name, for messages; paths are relative to `base_url`.

    Raises: CredentialsRefused (401, 403), RateLimited (429), HttpRefused (any other 4xx, and redirects), Unavailable
    (a read without an answer, a write that was never sent), OutcomeUnknown (a write without a clear answer).
    `came_twice` knows the refusal of a request that the network brought once more: the first one may have been applied.
    """

    def __init__(
        self,
        base_url: str,
        *,
        who: str,
        auth: AuthBase | None = None,
        limiter: Limiter | None = None,
        secrets: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
        timeout: tuple[float, float] = TIMEOUT,
        attempts: int = ATTEMPTS,
        longest_wait: float = LONGEST_WAIT,
        token_refused: Callable[[requests.Response], bool] = is_unauthorised,
        came_twice: Callable[[requests.Response], bool] = is_no_echo,
    ) -> None:
        self.base_url = base_url.rstrip("/") + "/"
        self.who = who
        self._auth, self._limiter, self._timeout, self._longest_wait = auth, limiter, timeout, longest_wait
        self._attempts, self._token_refused, self._came_twice = attempts, token_refused, came_twice
        self._secrets = tuple(secrets)
        self._http = requests.Session()
        self._http.headers["User-Agent"] = "sheets-sync"
        self._http.headers.update(headers or {})
        # a proxy from the environment must not see what stays on this machine
        self._http.trust_env = not is_loopback(base_url)

    def read(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        cost: float = 1.0,
        check: Check | None = None,
        limiter: Limiter | None = None,
    ) -> Answer:
        """A call that changes nothing; made again on no answer, 5xx and 429, honouring Retry-After up to a limit.

        `form` is sent form-encoded, in place of `json`. `limiter`: the limit of just this kind of call.
        """
        call = self._made(method, path, params, json, form, cost, check, limiter, write=False)
        retrying = stamina.retry_context(
            on=self._read_again, attempts=self._attempts, timeout=None, wait_initial=0.2, wait_max=5.0, wait_jitter=0.5
        )
        for attempt in retrying:
            with attempt:
                return self._call(call)
        raise AssertionError("unreachable: stamina returns or raises")

    def write(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        cost: float = 1.0,
        check: Check | None = None,
        limiter: Limiter | None = None,
    ) -> Answer:
        """A call that may change something: sent once."""
        return self._call(self._made(method, path, params, json, None, cost, check, limiter, write=True))

    def lines(self, url: str) -> Iterator[bytes]:
        """The lines of a file on a storage server, as they come in. `url` is secret, and not repeated anywhere.

        Raises Unavailable where it cannot be read, or breaks off.
        """
        try:
            with self._http.get(url, stream=True, timeout=self._timeout, allow_redirects=False) as response:
                if response.status_code == 200:
                    yield from response.iter_lines(chunk_size=1 << 16)
                    return
                why = f"it was answered {response.status_code}"
        except requests.RequestException as error:
            why = _cause(error)
        raise Unavailable(f"{self.who}: a file that was made for us could not be read ({why})")

    def redact(self, text: str) -> str:
        keeper = self._auth.keeper if isinstance(self._auth, TokenAuth) else None
        return redact(text, (*self._secrets, *(keeper.secrets() if keeper else ())))

    def close(self) -> None:
        self._http.close()

    def _read_again(self, error: Exception) -> bool | float:
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= self._longest_wait else False
        return isinstance(error, (Unavailable, RateLimited))

    def _made(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        json: object,
        form: Mapping[str, str] | None,
        cost: float,
        check: Check | None,
        limiter: Limiter | None,
        *,
        write: bool,
    ) -> _Call:
        body, content_type = None, ""
        if form is not None:
            body, content_type = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif json is not None:
            body, content_type = orjson.dumps(json), "application/json"
        return _Call(method, path, params, body, content_type, cost, check, limiter or self._limiter, write)

    def _call(self, call: _Call) -> Answer:
        if call.limiter is not None:
            call.limiter.acquire(call.cost)
        response = self._send(call)
        if isinstance(self._auth, TokenAuth) and self._token_refused(response):
            # refused before it did anything, so even a write may be sent again with the new token
            self._auth.keeper.renew(self._auth.used(response.request))
            response = self._send(call)
        answer = self._answer(str(call), response, write=call.write)
        if call.check is not None:
            call.check(answer)
        return answer

    def _send(self, call: _Call) -> requests.Response:
        url = urljoin(self.base_url, call.path)
        began = time.monotonic()
        try:
            response = self._http.request(
                call.method,
                url,
                params=call.params,
                data=call.body,
                headers={"Content-Type": call.content_type} if call.content_type else None,
                auth=self._auth,
                timeout=self._timeout,
                # a redirected POST becomes a GET, whose 200 would look like a write that was made
                allow_redirects=False,
            )
        except requests.RequestException as error:
            failure = self._no_answer(str(call), error, write=call.write)
        else:
            about = {"channel": self.who, "method": call.method, "path": call.path, "status": response.status_code}
            log.debug("channel call", **about, ms=round((time.monotonic() - began) * 1000))
            return response
        # outside of the handler: the original error quotes the URL, and with it any secret in the query
        raise failure

    def _no_answer(self, call: str, error: requests.RequestException, *, write: bool) -> SheetsSyncError:
        what = self.redact(f"{self.who}: {call} got no answer from {self.base_url} ({_cause(error)})")
        if not write or _never_sent(error):
            return Unavailable(what)
        return OutcomeUnknown(f"{what}; it may have been applied")

    def _answer(self, call: str, response: requests.Response, *, write: bool) -> Answer:
        status = response.status_code
        if 200 <= status < 300:
            return Answer(status, response.headers, self._json(call, response, write=write))
        raise self._refusal(call, response, write=write)

    def _json(self, call: str, response: requests.Response, *, write: bool) -> Any:
        body = response.content.removeprefix(b"\xef\xbb\xbf").strip()  # WordPress plugins prepend byte order marks
        if not body:
            return None
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
        start = self.redact(response.text[:120].strip())
        what = f"{self.who}: {call} was answered {response.status_code} without JSON: {start!r}"
        if write:
            raise OutcomeUnknown(f"{what}; it may have been applied")
        raise Unavailable(what)

    def _refusal(self, call: str, response: requests.Response, *, write: bool) -> SheetsSyncError:
        status = response.status_code
        code, said = self._words(response)
        what = f"{self.who}: {call} was answered {status}{said}"
        if self._came_twice(response):
            return OutcomeUnknown(f"{what}; it may have been applied") if write else Unavailable(what)
        if status in (401, 403):
            return CredentialsRefused(f"{what}. Check this channel's keys and permissions in config.toml")
        if status == 429:
            return RateLimited(what, retry_after(response.headers))
        if status >= 500 or status == 408:
            if write:
                return OutcomeUnknown(f"{what}; it may have been applied")
            wait = retry_after(response.headers)
            return Unavailable(what) if wait is None else RateLimited(what, wait)
        if 300 <= status < 400:
            where = self.redact(response.headers.get("Location", "?").partition("?")[0])
            return HttpRefused(f"{what}: it moved to {where}. Put that address in config.toml", status=status)
        return HttpRefused(what, status=status, code=code)

    def _words(self, response: requests.Response) -> tuple[str, str]:
        """The vendor's error code and message, from the shapes that vendors use."""
        try:
            body = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            return "", ""
        if not isinstance(body, dict):
            return "", ""
        errors = body.get("errors")
        if isinstance(errors, list) and errors and isinstance(errors[0], dict) and "message" in errors[0]:
            body = {**errors[0], "message": " ".join(filter(None, (errors[0]["message"], errors[0].get("details"))))}
        code = body.get("code") or body.get("error") or ""
        message = body.get("message") or body.get("error_description") or body.get("errors") or code
        return str(code)[:100], f": {self.redact(str(message)[:300])}" if message else ""


def is_loopback(url: str) -> bool:
    """Whether `url` stays on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def retry_after(headers: Mapping[str, str], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Seconds that a Retry-After header asks for, in either of its forms; None where there is none."""
    value = CaseInsensitiveDict(headers).get("Retry-After")
    if value is None:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        when = http_date(value)
    return None if when is None else max((when - now()).total_seconds(), 0.0)


def http_date(value: str | None) -> datetime | None:
    """An HTTP date as an aware time; None where it is none."""
    try:
        return None if value is None else email.utils.parsedate_to_datetime(value).astimezone(UTC)
    except ValueError:
        return None


def _cause(error: requests.RequestException) -> str:
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", inner)
    return f"{type(error).__name__}: {type(reason).__name__}" if reason is not error else type(error).__name__


def _never_sent(error: requests.RequestException) -> bool:
    """True only where the connection was not even made, so that nobody can have read the request."""
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.InvalidURL, requests.exceptions.MissingSchema)):
        return True
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", None)
    if isinstance(reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)):
        return True
    return isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)


def failed(target: Target, error: SheetsSyncError, retry_after: float) -> PushResult:
    """What a call that failed means for one of its listings. `retry_after`: seconds, where the other side says none."""
    if isinstance(error, OutcomeUnknown):
        return PushResult(target.ref, Outcome.UNKNOWN, str(error))
    if isinstance(error, RateLimited):
        wait = retry_after if error.retry_after is None else error.retry_after
        return PushResult(target.ref, Outcome.RETRY, str(error), retry_after=wait)
    if isinstance(error, ChannelRefused):
        return PushResult(target.ref, Outcome.REFUSED, str(error))
    return PushResult(target.ref, Outcome.RETRY, str(error), retry_after=retry_after)
