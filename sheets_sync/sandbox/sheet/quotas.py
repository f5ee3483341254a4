"""Google's quotas, where they are switched on: so many reads and writes in any minute, a user and a project.

A batch counts once; a call that is refused for its quota counts nothing. Google refills "every minute" and says no more
than that, so the strict reading is taken: no sixty seconds see more calls than the quota.
Source: https://developers.google.com/workspace/sheets/api/limits; the 429 as the service words it.
"""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

Json = dict[str, Any]
WINDOW = 60.0  # seconds
NOBODY = "anonymous"
_PROJECT = "1"  # there is one project here
_READING_POSTS = (":getByDataFilter", ":batchGetByDataFilter", "developerMetadata:search")


@dataclass(frozen=True, slots=True)
class Quotas:
    """Calls a minute; the defaults are Google's."""

    reads_per_user: int = 60
    writes_per_user: int = 60
    reads_per_project: int = 300
    writes_per_project: int = 300


def is_read(method: str, path: str) -> bool:
    """Whether a call counts as a read; some reads are POSTs."""
    return method == "GET" or path.endswith(_READING_POSTS)


class Meter:
    """Counts calls. Safe between threads."""

    def __init__(self, quotas: Quotas, clock: Callable[[], float] = time.monotonic) -> None:
        self.quotas, self._clock = quotas, clock
        self._calls: dict[tuple[str, str | None], deque[float]] = {}
        self._lock = threading.Lock()

    def take(self, user: str, read: bool) -> Json | None:
        """Count a call; what it is refused with, as `error_of` gives it, where a quota is used up."""
        kind = "Read" if read else "Write"
        limits = (
            (user, self.quotas.reads_per_user if read else self.quotas.writes_per_user),
            (None, self.quotas.reads_per_project if read else self.quotas.writes_per_project),
        )
        with self._lock:
            now = self._clock()
            lanes = [self._lane(kind, who, now) for who, _ in limits]
            for lane, (who, limit) in zip(lanes, limits, strict=True):
                if len(lane) >= limit:
                    return error_of(kind, limit, per_user=who is not None)
            for lane in lanes:
                lane.append(now)
        return None

    def _lane(self, kind: str, who: str | None, now: float) -> deque[float]:
        lane = self._calls.setdefault((kind, who), deque())
        while lane and lane[0] <= now - WINDOW:
            lane.popleft()
        return lane


def error_of(kind: str, limit: int, per_user: bool) -> Json:
    """Message and details of the 429. `kind` is "Read" or "Write"."""
    name = f"{kind} requests per minute" + (" per user" if per_user else "")
    return {
        "message": f"Quota exceeded for quota metric '{kind} requests' and limit '{name}' of service "
        f"'sheets.googleapis.com' for consumer 'project_number:{_PROJECT}'.",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com",
                "metadata": {
                    "service": "sheets.googleapis.com",
                    "consumer": f"projects/{_PROJECT}",
                    "quota_metric": f"sheets.googleapis.com/{kind.lower()}_requests",
                    "quota_limit": f"{kind}RequestsPerMinutePer{'User' if per_user else 'Project'}",
                    "quota_limit_value": str(limit),
                    "quota_location": "global",
                },
            },
            {
                "@type": "type.googleapis.com/google.rpc.Help",
                "links": [
                    {
                        "description": "Request a higher quota limit.",
                        "url": "https://cloud.google.com/docs/quotas/help/request_increase",
                    }
                ],
            },
        ],
    }


# Whose call it is: a token names its user, so that a service account that signs in again stays the same user.


def token_for(assertion: str, nonce: str) -> str:
    """An access token for the issuer of a signed JWT; its signature is not checked, everybody is let in here."""
    return f"{nonce}.{base64.urlsafe_b64encode(_issuer(assertion).encode()).decode().rstrip('=')}"


def user_of(authorization: str) -> str:
    """The user of an Authorization header. A token that was not issued here is a user of its own."""
    token = authorization.removeprefix("Bearer ").strip()
    _, mark, name = token.partition(".")
    return (_decoded(name) if mark and "." not in name else "") or token or NOBODY


def _issuer(assertion: str) -> str:
    parts = assertion.split(".")
    try:
        claims = orjson.loads(_decoded(parts[1])) if len(parts) == 3 else {}
    except orjson.JSONDecodeError:
        return NOBODY
    return str(claims.get("iss") or NOBODY) if isinstance(claims, dict) else NOBODY


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
