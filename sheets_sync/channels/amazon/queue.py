"""The seller's SQS queue, read by polling: the JSON protocol, two calls of it.

Whoever can write into the queue was let in by the seller's own AWS account, so what is read there needs no other key.
Messages come at least once, in any order. One that is not taken off comes again after a while.

Source: AWS's API reference of SQS (AWS JSON protocol 1.0), Signature Version 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from requests_aws4auth import AWS4Auth

from sheets_sync.channels.http import TIMEOUT, is_loopback
from sheets_sync.errors import ChannelRefused, CredentialsRefused, Unavailable

AT_ONCE = 10
"""Messages a call, the most that SQS gives or takes."""

HIDDEN = 120
"""Seconds until a message that was given out, and not taken off, is given out again."""

_NOT_LET_IN = ("UnrecognizedClient", "InvalidSignature", "MissingAuthentication", "AccessDenied", "InvalidClientToken")


class SqsQueue:
    """One queue by its address, `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`.

    Without a key it is only named to Amazon and not read: a pipe in AWS hands its messages on.
    """

    def __init__(
        self, who: str, url: str, region: str, key_id: str, secret: str, *, timeout: tuple[float, float] = TIMEOUT
    ) -> None:
        self.url = url
        account, _, name = urlsplit(url).path.strip("/").partition("/")
        self.arn = f"arn:aws:sqs:{region}:{account}:{name}"
        self.is_read = bool(key_id and secret)
        self._who, self._timeout = who, timeout
        self._http = requests.Session()
        if self.is_read:
            self._http.auth = AWS4Auth(key_id, secret, region, "sqs")
        self._http.trust_env = not is_loopback(url)

    def receive(self) -> Sequence[tuple[str, bytes]]:
        """The next messages, each with the receipt that takes it off; none: the queue is empty just now."""
        if not self.is_read:
            return []
        asked = {"QueueUrl": self.url, "MaxNumberOfMessages": AT_ONCE, "VisibilityTimeout": HIDDEN}
        found = self._call("ReceiveMessage", asked).get("Messages") or ()
        return [(str(one["ReceiptHandle"]), str(one["Body"]).encode()) for one in found]

    def take_off(self, receipts: Iterable[str]) -> None:
        """What was read by these receipts need not come again."""
        left = list(receipts)
        for start in range(0, len(left), AT_ONCE):
            chunk = left[start : start + AT_ONCE]
            entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(chunk)]
            self._call("DeleteMessageBatch", {"QueueUrl": self.url, "Entries": entries})

    def waiting(self) -> int:
        """About how many messages wait."""
        asked = {"QueueUrl": self.url, "AttributeNames": ["ApproximateNumberOfMessages"]}
        found = self._call("GetQueueAttributes", asked).get("Attributes") or {}
        return int(found.get("ApproximateNumberOfMessages") or 0)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def _call(self, action: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Every call may be repeated: a message taken off twice is gone, one read twice is known by its id."""
        headers = {"X-Amz-Target": f"AmazonSQS.{action}", "Content-Type": "application/x-amz-json-1.0"}
        try:
            response = self._http.post(self.url, data=orjson.dumps(asked), headers=headers, timeout=self._timeout)
            body = orjson.loads(response.content or b"{}")
        except (requests.RequestException, orjson.JSONDecodeError) as error:
            raise Unavailable(f"{self._who}: the queue gave no answer to {action} ({type(error).__name__})") from None
        if response.status_code == 200:
            return body if isinstance(body, dict) else {}
        raise self._refusal(action, response.status_code, body if isinstance(body, dict) else {})

    def _refusal(self, action: str, status: int, body: Mapping[str, Any]) -> Exception:
        code, said = str(body.get("__type") or "").rpartition("#")[2], str(body.get("message") or "")[:200]
        what = f"{self._who}: the queue answered {action} with {status} {code}: {said}"
        if status in (401, 403) or code.startswith(_NOT_LET_IN):
            return CredentialsRefused(
                f"{what}. Check aws_access_key_id and aws_secret_access_key in config.toml, and that this user may "
                "read and delete messages of the queue"
            )
        return Unavailable(what) if status >= 500 or status == 429 else ChannelRefused(what)
