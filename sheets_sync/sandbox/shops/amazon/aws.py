"""Signature Version 4, read: whether a request to AWS was signed with a known key.

The signature covers method, path, query, the headers that it names, and the hash of the body. Its time is not held
against the shop's clock, which a rehearsal may turn; signers have none but the machine's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

_CREDENTIAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/,\s]+)/(?P<scope>[^,\s]+),\s*SignedHeaders=(?P<names>[^,\s]+),\s*"
    r"Signature=(?P<signature>[0-9a-f]{64})$"
)


class Refusal(Exception):
    """An AWS service's answer to what it does not do."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def check(method: str, environ: Mapping[str, Any], body: bytes, keys: Mapping[str, str]) -> None:
    """Refuse what was not signed with one of `keys` (access key id: secret)."""
    found = _CREDENTIAL.match(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None:
        raise Refusal(403, "com.amazon.coral.service#MissingAuthenticationTokenException", "The request is not signed.")
    if found["id"] not in keys:
        raise Refusal(403, "com.amazon.coral.service#UnrecognizedClientException", "The security token is invalid.")
    path, _, query = str(environ.get("REQUEST_URI", "/")).partition("?")
    headers = {name: _header(environ, name) for name in found["names"].split(";")}
    wanted = signature(method, path, query, headers, body, keys[found["id"]], found["scope"])
    if not hmac.compare_digest(wanted, found["signature"]):
        message = "The request signature we calculated does not match the signature you provided."
        raise Refusal(403, "com.amazon.coral.service#InvalidSignatureException", message)


def _header(environ: Mapping[str, Any], name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", "")
    return " ".join(str(value).split())


def signature(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, secret: str, scope: str
) -> str:
    """What a request's signature must be. `headers` are those that it covers, in its order; `scope` DAY/REGION/…"""
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(query, keep_blank_values=True))
    canonical = "\n".join(
        [
            method,
            path or "/",
            "&".join(f"{k}={v}" for k, v in pairs),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            ";".join(headers),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers.get("x-amz-date", ""), scope, hashed])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
