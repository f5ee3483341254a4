"""Where Amazon's notifications go: one destination (the seller's EventBridge or SQS), one subscription a type.

Destinations belong to the app and are made and read with its own token; subscriptions belong to the seller. Amazon
keeps one destination for each queue or AWS account, so one that is there is used, whatever it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sheets_sync.channels import Hook
from sheets_sync.channels.amazon import hooks, wire
from sheets_sync.channels.http import HttpRefused
from sheets_sync.errors import ChannelRefused, CredentialsRefused

DESTINATIONS = "/notifications/v1/destinations"
SUBSCRIPTIONS = "/notifications/v1/subscriptions"
NOWHERE = (
    "refused: Amazon sends notifications only to AWS. Give aws_account_id and aws_region, or sqs_queue, in "
    "config.toml; without them orders are read every three minutes"
)


@dataclass(frozen=True)
class Resource:
    """What receives notifications: an AWS account's EventBridge in one region, or a queue."""

    account: str = ""
    region: str = ""
    queue_arn: str = ""

    @property
    def wanted(self) -> dict[str, dict[str, str]] | None:
        """As Amazon wants to be told; None: nothing is configured."""
        if self.queue_arn:
            return {"sqs": {"arn": self.queue_arn}}
        if self.account and self.region:
            return {"eventBridge": {"accountId": self.account, "region": self.region}}
        return None

    def is_that(self, resource: Mapping[str, Any]) -> bool:
        """Whether a destination's resource is this one."""
        queue, bridge = resource.get("sqs") or {}, resource.get("eventBridge") or {}
        if self.queue_arn:
            return bool(queue.get("arn") == self.queue_arn)
        return bool(bridge.get("accountId") == self.account and bridge.get("region") == self.region)


class Subscriptions:
    """The subscriptions of one seller's channel."""

    def __init__(self, api: wire.Api, name: str, resource: Resource) -> None:
        self._api, self._name, self._resource = api, name, resource

    def ensure(self, address: str) -> list[Hook]:
        """Make what is missing. `address` is where the seller's API destination points, or should."""
        wanted = self._resource.wanted
        if wanted is None:
            return [Hook(topic, address, NOWHERE) for topic in hooks.VERSIONS]
        try:
            destination = self._destination() or self._make_destination(wanted, address)
        except (ChannelRefused, CredentialsRefused) as error:
            return [Hook(topic, address, f"refused: {error}") for topic in hooks.VERSIONS]
        return [Hook(topic, address, self._subscribe(topic, destination)) for topic in hooks.VERSIONS]

    def problems(self, facts: dict[str, str]) -> list[str]:
        """What keeps notifications from coming, where some were asked for."""
        if self._resource.wanted is None:
            facts["notifications"] = "none: neither aws_account_id nor sqs_queue is given"
            return []
        destination = self._destination()
        if destination is None:
            facts["notifications"] = "not subscribed yet"
            return []
        found = {topic: self._subscription(topic) for topic in hooks.VERSIONS}
        alive = [t for t, subscription in found.items() if subscription.get("destinationId") == destination]
        facts["notifications"] = f"{len(alive)} of {len(found)} subscribed"
        if not alive or len(alive) == len(found):
            return []
        lost = ", ".join(topic for topic in found if topic not in alive)
        return [f"Amazon sends no {lost} any more: start sheets-sync again, which subscribes anew."]

    def _destination(self) -> str | None:
        found = self._api.read(wire.DESTINATIONS, DESTINATIONS, app=True).data or {}
        of_ours = (one for one in found.get("payload") or () if self._resource.is_that(one.get("resource") or {}))
        return next((str(one["destinationId"]) for one in of_ours), None)

    def _make_destination(self, wanted: Mapping[str, Any], address: str) -> str:
        body = {"name": f"sheets-sync {self._name} {address}", "resourceSpecification": wanted}
        answer = self._api.write(wire.DESTINATIONS, "POST", DESTINATIONS, json=body, app=True)
        return str(answer.data["payload"]["destinationId"])

    def _subscription(self, topic: str) -> Mapping[str, Any]:
        """The seller's subscription to a type; empty where there is none."""
        params = {"payloadVersion": hooks.VERSIONS[topic]}
        try:
            answer = self._api.read(wire.SUBSCRIPTIONS, f"{SUBSCRIPTIONS}/{topic}", params)
        except HttpRefused as error:
            if error.status == 404:
                return {}
            raise
        return (answer.data or {}).get("payload") or {}

    def _subscribe(self, topic: str, destination: str) -> str:
        try:
            before = self._subscription(topic)
            if before.get("destinationId") == destination:
                return "kept"
            if before:
                path = f"{SUBSCRIPTIONS}/{topic}/{before['subscriptionId']}"
                self._api.write(wire.SUBSCRIPTIONS, "DELETE", path, app=True)
            body = {"payloadVersion": hooks.VERSIONS[topic], "destinationId": destination}
            self._api.write(wire.SUBSCRIPTIONS, "POST", f"{SUBSCRIPTIONS}/{topic}", json=body)
        except (ChannelRefused, CredentialsRefused) as error:
            return f"refused: {error}"
        return "made again" if before else "made"
