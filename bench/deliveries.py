"""Webhook ingest as a share of an empty Flask view on the same server: HMAC checked, one durable row each.

    python bench/deliveries.py [--seconds 4] [--connections 64]

The sender is a process of its own, on keep-alive connections, so that it does not share the server's interpreter.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import structlog
from flask import Flask

from sheets_sync.channels import Delivery, RawRequest
from sheets_sync.errors import Unsigned
from sheets_sync.ledger import Ledger
from webhook import create_app, serve

KEY = b"a secret"
BODY = json.dumps({"id": 1, "line_items": [{"sku": "00123", "quantity": 1, "name": "x" * 400}] * 5}).encode()


def signature(body: bytes) -> str:
    return base64.b64encode(hmac.digest(KEY, body, hashlib.sha256)).decode()


class Shop:
    name, kind = "shop", "bench"

    def handshake(self, request: RawRequest) -> None:
        return None

    def verify(self, request: RawRequest) -> Delivery:
        if not hmac.compare_digest((request.header("X-Signature") or "").encode(), signature(request.body).encode()):
            raise Unsigned("wrong signature")
        return Delivery(request.header("X-Delivery") or "", "order.updated")


def send(url: str, connections: int, seconds: float) -> dict[str, float]:
    """Runs in the sender: how many were answered 200 a second, and how long they took, in milliseconds."""
    where = urlsplit(url)
    took: list[float] = []
    ends = time.perf_counter() + seconds
    signed = signature(BODY)

    def one(number: int) -> None:
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
        count = 0
        while (began := time.perf_counter()) < ends:
            count += 1
            headers = {"X-Signature": signed, "X-Delivery": f"{number}-{count}", "Content-Type": "application/json"}
            connection.request("POST", where.path, BODY, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                took.append(time.perf_counter() - began)
        connection.close()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    return {"per_second": len(took) / seconds, "p50": took[len(took) // 2] * 1e3, "p99": took[-len(took) // 100] * 1e3}


def measured(url: str, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--send", url]
    command += ["--seconds", str(arguments.seconds), "--connections", str(arguments.connections)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--send", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send:
        print(json.dumps(send(arguments.send, arguments.connections, arguments.seconds)))
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    empty = Flask("empty")
    empty.post("/webhooks/shop")(lambda: "")
    with serve(empty) as running:
        floor = measured(f"{running.url}/webhooks/shop", arguments)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db")
        shop: Any = Shop()
        app = create_app(ledger, {"shop": shop}, apply=lambda *_: None, wake=lambda _: None)
        with serve(app) as running:
            ours = measured(f"{running.url}/webhooks/shop", arguments)
        ledger.close()
    for name, found in {"an empty view": floor, "a delivery stored": ours}.items():
        print(f"{name:20} {found['per_second']:7.0f}/s   p50 {found['p50']:6.1f} ms   p99 {found['p99']:6.1f} ms")
    print(f"{'share':20} {ours['per_second'] / floor['per_second']:7.0%}")


if __name__ == "__main__":
    main()
