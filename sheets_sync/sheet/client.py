"""gspread's HTTP client with manners: time-outs always, pacing by quota, reads repeated, a write sent once.

`SheetHttp` is what gspread is given as `http_client=`. Every failure leaves it as one of our errors, sorted by who must
act. The rule that matters: Google has no idempotency key, so after a write went out a time-out, a broken connection or
a 5xx says nothing about what became of it (OutcomeUnknown), and only a 429, which is refused before it is applied, may
be sent again.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import orjson
import requests
import stamina
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account
from google_auth_oauthlib.flow import InstalledAppFlow
from gspread.http_client import HTTPClient
from requests import Response
from urllib3.exceptions import NewConnectionError

from sheets_sync.errors import (
    BadInput,
    CredentialsRefused,
    ExchangeRefused,
    OutcomeUnknown,
    RateLimited,
    SheetNotReady,
    SheetsSyncError,
    Unavailable,
)

SHEETS_SCOPE = "https://www.googleapis.com/auth/spreadsheets"
CREATE_SCOPE = "https://www.googleapis.com/auth/drive.file"
"""Only where we create the spreadsheet ourselves: it reaches no other file."""

TIMEOUT = (3.05, 60.0)
_HOSTS = re.compile(r"^https://(sheets|www)\.googleapis\.com")
_CHAIN = re.compile(r"Invalid requests\[0\]|named ?range", re.IGNORECASE)


@dataclass(frozen=True)
class SheetAccess:
    """Which spreadsheet, and as whom. `kind` is "service_account" or "oauth_user".

    `base_url` is that of a local sheet, which needs no credentials; None means Google. The quotas are Google's for
    one user.
    """

    base_url: str | None
    spreadsheet_id: str
    credentials_file: Path | None = None
    kind: str = "service_account"
    reads_per_minute: int = 60
    writes_per_minute: int = 60


class Limiter:
    """At most `per_minute` calls in any minute: a few at once, the rest evenly spread (GCRA). Safe between threads."""

    def __init__(
        self,
        per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        burst = min(10, max(1, per_minute // 2))
        self._gap = 60.0 / max(1, per_minute - burst)
        self._slack = self._gap * (burst - 1)
        self._due = clock()
        self._clock, self._sleep, self._lock = clock, sleep, threading.Lock()

    def wait(self) -> None:
        """Block until one more call is allowed."""
        with self._lock:
            now = self._clock()
            at = max(now, self._due - self._slack)
            self._due = max(self._due, at) + self._gap
        if at > now:
            self._sleep(at - now)


@dataclass(frozen=True)
class Pace:
    """Google counts reads and writes apart. Quotas belong to a user, so clients of one user share a Pace."""

    reads: Limiter
    writes: Limiter

    @classmethod
    def of(cls, access: SheetAccess) -> Pace | None:
        """The pace that `access` asks for; None for a local sheet, which has no quota."""
        if access.base_url:
            return None
        return cls(Limiter(access.reads_per_minute), Limiter(access.writes_per_minute))


class SheetHttp(HTTPClient):
    """What gspread sends its requests through. One thread uses one.

    `share_with` is the e-mail address that a spreadsheet must be shared with, for the words of a refusal.
    """

    def __init__(
        self,
        auth: Credentials,
        session: requests.Session | None = None,
        *,
        base_url: str | None = None,
        pace: Pace | None = None,
        share_with: str = "",
    ) -> None:
        super().__init__(auth, session)
        if base_url and not re.match(r"^https?://[^/]+", base_url):
            raise BadInput(f"base_url {base_url!r} is no address; write it like http://127.0.0.1:8080")
        self.set_timeout(TIMEOUT)
        self.skew: timedelta | None = None  # how far the other side's clock was ahead of ours at the last answer
        self._base_url, self._pace, self._share_with = (base_url or "").rstrip("/"), pace, share_with
        if base_url:
            self.session.trust_env = False  # a proxy set for the internet can't reach a sheet on this machine

    def request(
        self,
        method: str,
        endpoint: str,
        params: Any = None,
        data: bytes | None = None,
        json: Mapping[str, Any] | None = None,
        files: Any = None,
        headers: Any = None,
    ) -> Response:
        """One call of the API as gspread makes it; raises our errors, never gspread's APIError."""
        write = method.lower() != "get"
        body = data if json is None else orjson.dumps(json)
        kind = {} if json is None else {"Content-Type": "application/json"}
        url = _HOSTS.sub(self._base_url, endpoint) if self._base_url else endpoint
        for attempt in stamina.retry_context(
            on=_send_again if write else _read_again, attempts=6, timeout=60, wait_initial=0.3, wait_max=10
        ):
            with attempt:
                if self._pace:
                    (self._pace.writes if write else self._pace.reads).wait()
                return self._once(
                    write, method, url, params=params, data=body, files=files, headers={**kind, **(headers or {})}
                )
        raise AssertionError("stamina always returns or raises")

    def ask(
        self, method: str, endpoint: str, params: Mapping[str, Any] | None = None, json: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The decoded answer of one call."""
        response = self.request(method, endpoint, params=params, json=json)
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise _lost(method.lower() != "get", f"its answer is not JSON: {error}") from error
        return dict(answer)

    def _once(self, write: bool, method: str, url: str, **rest: Any) -> Response:
        try:
            response = self.session.request(method, url, timeout=self.timeout, allow_redirects=False, **rest)
        except TransportError as error:
            raise Unavailable(f"no access token could be had, the token endpoint is away: {error}") from error
        except GoogleAuthError as error:
            raise _auth_error(error) from error
        except requests.RequestException as error:
            if _unsent(error):
                raise Unavailable(f"no connection to {_host(url)}: {error}") from error
            raise _lost(write, str(error)) from error
        self.skew = _skew(response)
        if response.ok and response.headers.get("Content-Type", "").startswith("application/json"):
            return response
        raise refusal(response, write=write, share_with=self._share_with)


def _skew(response: Response) -> timedelta | None:
    said = response.headers.get("Date", "")
    try:
        return parsedate_to_datetime(said) - datetime.now(UTC) if said else None
    except (ValueError, TypeError):  # no date, or one without a zone
        return None


def refusal(response: Response, *, write: bool, share_with: str = "") -> SheetsSyncError:
    """The error that an answer means. Google's JSON, an HTML page or a token endpoint's `{"error": "…"}` all do."""
    status, (words, reason) = response.status_code, _words(response)
    if status == 429 or (status == 403 and "ratelimitexceeded" in reason.lower()):
        wait = response.headers.get("Retry-After", "")
        return RateLimited(
            f"the Sheets quota of this minute is used up: {words}", float(wait) if wait.isdigit() else None
        )
    if status == 400:
        return ExchangeRefused(words) if write and _CHAIN.search(words) else BadInput(f"Google Sheets refused: {words}")
    if status in (401, 403):
        way = (
            f"share the spreadsheet with {share_with} as an editor"
            if share_with
            else "check who may edit the spreadsheet"
        )
        return CredentialsRefused(
            f"Google Sheets does not let us in ({status}): {words}; {way}, or give other credentials"
        )
    if status == 404:
        return SheetNotReady(
            f"The spreadsheet is not there, or not shared with us any more ({words}). Nothing is lost: the ledger has "
            "every count. Take it out of Google's bin or share it again; or check [sheet] spreadsheet_id; or name a "
            "new spreadsheet there and run `sheets-sync rebuild-sheet`."
        )
    if 400 < status < 500 and status != 408:
        return BadInput(f"Google Sheets refused ({status}): {words}")
    return _lost(write, f"HTTP {status}: {words}")


def credentials(access: SheetAccess, *, creates: bool = False) -> Credentials:
    """Who we are, with the least scope. `creates` adds the right to make a spreadsheet.

    Raises CredentialsRefused with the way out where the file is missing or of another kind.
    """
    if access.credentials_file is None:
        if access.base_url:
            return AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
        raise CredentialsRefused("Google wants credentials; set credentials_file (docs/google.md), or a local base_url")
    readers: dict[str, Callable[..., Credentials]] = {
        "service_account": service_account.Credentials.from_service_account_file,
        "oauth_user": user_credentials.Credentials.from_authorized_user_file,
    }
    if access.kind not in readers:
        raise CredentialsRefused(f"unknown kind of credentials {access.kind!r}; known: {', '.join(readers)}")
    try:
        return readers[access.kind](str(access.credentials_file), scopes=_scopes(creates))
    except (OSError, ValueError, KeyError) as error:
        raise CredentialsRefused(
            f"{access.credentials_file} is no readable {access.kind} file ({error}); docs/google.md says how to get one"
        ) from error


def authorize(client_file: Path, token_file: Path, *, creates: bool = False) -> None:
    """Ask a person, in their browser, to let us in; keeps the answer in `token_file`, readable by its owner alone.

    `client_file` is the OAuth client ("Desktop app") from the Google Cloud console. Blocks until the person answered.
    Raises CredentialsRefused where the file is another one or less was granted than asked for.
    """
    try:
        flow = InstalledAppFlow.from_client_secrets_file(str(client_file), scopes=_scopes(creates))
    except (OSError, ValueError) as error:
        raise CredentialsRefused(f"{client_file} is no OAuth client file of a desktop app: {error}") from error
    try:
        granted = flow.run_local_server(port=0, access_type="offline", prompt="consent")
    except Warning as error:  # oauthlib raises one where fewer scopes are granted than asked for
        raise CredentialsRefused(f"we were not let in: {error}") from error
    if not granted.refresh_token:
        raise CredentialsRefused(
            "Google gave no lasting permission (no refresh token); withdraw it there and try again"
        )
    token_file.touch(mode=0o600)
    token_file.chmod(0o600)
    token_file.write_text(granted.to_json(), encoding="utf-8")


def _scopes(creates: bool) -> list[str]:
    return [SHEETS_SCOPE, *([CREATE_SCOPE] if creates else [])]


def _read_again(error: Exception) -> bool | float:
    return _send_again(error) or isinstance(error, Unavailable)


def _send_again(error: Exception) -> bool | float:
    if not isinstance(error, RateLimited):
        return False
    return error.retry_after if error.retry_after is not None else True


def _lost(write: bool, why: str) -> SheetsSyncError:
    if write:
        return OutcomeUnknown(f"a write was sent to Google Sheets and its answer is lost: {why}")
    return Unavailable(f"Google Sheets gave no answer: {why}")


def _unsent(error: requests.RequestException) -> bool:
    """Whether no connection was made at all, so that nothing can have been applied."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError)


def _auth_error(error: GoogleAuthError) -> SheetsSyncError:
    if getattr(error, "retryable", False):
        return Unavailable(f"no access token could be had now: {error}")
    return CredentialsRefused(f"Google refused our credentials: {error}; make a new key, or let us in again")


def _words(response: Response) -> tuple[str, str]:
    """What an error answer says: its message, and the machine's reason where there is one."""
    try:
        error = orjson.loads(response.content).get("error", {})
    except (orjson.JSONDecodeError, AttributeError):
        text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]+>", " ", response.text)
        return " ".join(text.split())[:200] or "an empty answer", ""
    if not isinstance(error, dict):
        return str(error), ""
    details: Sequence[Any] = error.get("errors") or error.get("details") or ()
    reason = next((str(d["reason"]) for d in details if isinstance(d, dict) and "reason" in d), "")
    return str(error.get("message", "no message")), reason


def _host(url: str) -> str:
    return url.split("/")[2] if url.count("/") > 1 else url
