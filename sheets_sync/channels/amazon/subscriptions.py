"""Where Amazon's notifications go: the seller's EventBridge, or a queue of his; one subscription a type.

Amazon sends some types only to the one and some only to the other, and refuses the wrong one. Where both are configured
each type goes where it belongs, and to the other where that was refused.

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
class Resources:
    """What receives notifications: an AWS account's EventBridge in one region, a queue, or both."""

    account: str = ""
    region: str = ""
    queue_arn: str = ""

    def wanted(self, topic: str) -> list[dict[str, dict[str, str]]]:
        """As Amazon wants to be told, the one that a topic should go to first; none: nothing is configured."""
        bridge = [{"eventBridge": {"accountId": self.account, "region": self.region}}] if self.account else []
        queue = [{"sqs": {"arn": self.queue_arn}}] if self.queue_arn else []
        return [*bridge, *queue] if topic in hooks.BY_EVENT_BRIDGE else [*queue, *bridge]


def _is_that(resource: Mapping[str, Any], wanted: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a destination's resource is the wanted one; its partner event source has a name besides."""
    return all(
        (resource.get(kind) or {}).get(name) == value for kind, names in wanted.items() for name, value in names.items()
    )


class Subscriptions:
    """The subscriptions of one seller's channel."""

    def __init__(self, api: wire.Api, name: str, resources: Resources) -> None:
        self._api, self._name, self._resources = api, name, resources

    def ensure(self, address: str) -> list[Hook]:
        """Make what is missing. `address` is where the seller's API destination points, or should."""
        if not self._resources.wanted(""):
            return [Hook(topic, address, NOWHERE) for topic in hooks.VERSIONS]
        try:
            there = self._destinations()
            return [Hook(topic, address, self._ensure(topic, address, there)) for topic in hooks.VERSIONS]
        except (ChannelRefused, CredentialsRefused) as error:
            return [Hook(topic, address, f"refused: {error}") for topic in hooks.VERSIONS]

    def problems(self, facts: dict[str, str]) -> list[str]:
        """What keeps notifications from coming, where some were asked for."""
        if not self._resources.wanted(""):
            facts["notifications"] = "none: neither aws_account_id nor sqs_queue is given"
            return []
        there = self._destinations()
        found = {topic: self._subscription(topic) for topic in hooks.VERSIONS}
        alive = [topic for topic, one in found.items() if self._arrives(topic, one, there)]
        facts["notifications"] = f"{len(alive)} of {len(found)} subscribed"
        lost = [topic for topic, one in found.items() if topic not in alive and one]
        if not lost:
            return []
        return [f"Amazon sends {', '.join(lost)} to somewhere else: start sheets-sync again, which subscribes anew."]

    def _destinations(self) -> list[Mapping[str, Any]]:
        found = self._api.read(wire.DESTINATIONS, DESTINATIONS, app=True).data or {}
        return list(found.get("payload") or ())

    def _arrives(self, topic: str, subscription: Mapping[str, Any], there: list[Mapping[str, Any]]) -> bool:
        ours = [
            one["destinationId"]
            for one in there
            if any(_is_that(one.get("resource") or {}, wanted) for wanted in self._resources.wanted(topic))
        ]
        return subscription.get("destinationId") in ours

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

    def _ensure(self, topic: str, address: str, there: list[Mapping[str, Any]]) -> str:
        before = self._subscription(topic)
        if self._arrives(topic, before, there):
            return "kept"
        said = ""
        for wanted in self._resources.wanted(topic):
            try:
                self._subscribe(topic, before, self._destination(wanted, address, there))
            except HttpRefused as error:
                said = said or f"refused: {error}"
            else:
                return "made again" if before else "made"
        return said

    def _destination(
        self, wanted: Mapping[str, Mapping[str, str]], address: str, there: list[Mapping[str, Any]]
    ) -> str:  # fmt: skip
        of_ours = (one for one in there if _is_that(one.get("resource") or {}, wanted))
        found = next(of_ours, None)
        if found is None:
            body = {"name": f"sheets-sync {self._name} {address}", "resourceSpecification": wanted}
            found = self._api.write(wire.DESTINATIONS, "POST", DESTINATIONS, json=body, app=True).data["payload"]
            there.append(found)
        return str(found["destinationId"])

    def _subscribe(self, topic: str, before: Mapping[str, Any], destination: str) -> None:
        if before:
            path = f"{SUBSCRIPTIONS}/{topic}/{before['subscriptionId']}"
            self._api.write(wire.SUBSCRIPTIONS, "DELETE", path, app=True)
        body = {"payloadVersion": hooks.VERSIONS[topic], "destinationId": destination}
        self._api.write(wire.SUBSCRIPTIONS, "POST", f"{SUBSCRIPTIONS}/{topic}", json=body)
