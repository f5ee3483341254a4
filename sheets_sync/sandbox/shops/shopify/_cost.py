"""What a query costs, and the bucket it is paid from.

The published rule (objects 1, mutations 10, connections by their size) with the numbers that recordings show: what a
mutation answers with directly is free, and a connection of n costs 2 + children * max(1, 2 ln n), for the requested
cost with n = `first`, for the actual one with the nodes that came back.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
    is_composite_type,
    is_interface_type,
    is_object_type,
    value_from_ast_untyped,
)

MUTATION_COST = 10
SINGLE_QUERY_MOST = 1000


class CostMeter:
    """Costs of one operation under a schema."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, Any],
    ) -> None:
        self._schema = schema
        self._operation = operation
        self._fragments = fragments
        self._variables = variables

    def requested(self) -> int:
        return self._total(None)

    def actual(self, data: Mapping[str, Any] | None) -> int:
        return self._total(data or {})

    def _total(self, data: Mapping[str, Any] | None) -> int:
        mutation = self._operation.operation is OperationType.MUTATION
        root = self._schema.mutation_type if mutation else self._schema.query_type
        assert root is not None
        total = 0
        for field in self._fields(self._operation.selection_set):
            answer = None if data is None else data.get(_key(field))
            if mutation:
                total += MUTATION_COST + self._payload(field, root, data is None, answer)
            else:
                total += self._field(field, root, data is None, answer)
        return max(total, 1)

    def _payload(self, field: FieldNode, root: GraphQLObjectType, asked: bool, answer: Any) -> int:
        payload = get_named_type(root.fields[field.name.value].type)
        total = 0
        for inner in self._fields(field.selection_set):
            value = answer.get(_key(inner)) if isinstance(answer, Mapping) else None
            total += max(0, self._field(inner, payload, asked, value) - 1)
        return total

    def _field(self, field: FieldNode, parent: Any, asked: bool, answer: Any) -> int:
        definition = getattr(parent, "fields", {}).get(field.name.value)
        kind = None if definition is None else get_named_type(definition.type)
        if kind is None or not is_composite_type(kind) or (not asked and not answer):
            return 0
        if kind.name.endswith("Connection"):
            return self._connection(field, kind, asked, answer)
        if not (is_object_type(kind) or is_interface_type(kind)):
            return 0
        one = answer[0] if isinstance(answer, list) else answer
        cost = 1 + self._children(field.selection_set, kind, asked, one)
        return (
            cost * self._ids(field, asked, answer)
            if field.name.value == "nodes" and parent.name == "QueryRoot"
            else cost
        )

    def _ids(self, field: FieldNode, asked: bool, answer: Any) -> int:
        ids = self._argument(field, "ids") if asked else [item for item in answer if item]
        return len(ids or ())

    def _connection(self, field: FieldNode, kind: Any, asked: bool, answer: Any) -> int:
        child, count = 0, self._argument(field, "first") or self._argument(field, "last") or 1
        for inner in self._fields(field.selection_set):
            if inner.name.value not in ("nodes", "edges"):
                continue
            items = answer.get(_key(inner)) if isinstance(answer, Mapping) else None
            if not asked:
                count = len(items or ())
            one = items[0] if items else None
            below = get_named_type(kind.fields[inner.name.value].type)
            if inner.name.value == "edges":
                child = max(child, self._children(inner.selection_set, below, asked, one))
            else:
                child = max(child, 1 + self._children(inner.selection_set, below, asked, one))
        return 2 + math.floor(child * max(1.0, 2 * math.log(count))) if count else 2

    def _children(self, selection: SelectionSetNode | None, kind: Any, asked: bool, answer: Any) -> int:
        total = 0
        for node in selection.selections if selection else ():
            if isinstance(node, FieldNode):
                value = answer.get(_key(node)) if isinstance(answer, Mapping) else None
                total += self._field(node, kind, asked, value)
            elif isinstance(node, InlineFragmentNode):
                name = node.type_condition.name.value if node.type_condition else kind.name
                total += self._children(node.selection_set, self._schema.type_map[name], asked, answer)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                below = self._schema.type_map[fragment.type_condition.name.value]
                total += self._children(fragment.selection_set, below, asked, answer)
        return total

    def _fields(self, selection: SelectionSetNode | None) -> list[FieldNode]:
        found: list[FieldNode] = []
        for node in selection.selections if selection else ():
            if isinstance(node, FieldNode):
                found.append(node)
            elif isinstance(node, InlineFragmentNode):
                found += self._fields(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                found += self._fields(self._fragments[node.name.value].selection_set)
        return found

    def _argument(self, field: FieldNode, name: str) -> Any:
        for argument in field.arguments or ():
            if argument.name.value == name:
                return value_from_ast_untyped(argument.value, dict(self._variables))
        return None


def _key(field: FieldNode) -> str:
    return field.alias.value if field.alias else field.name.value


class Bucket:
    """The leaky bucket of one app on one shop, in points; `restore` points a second."""

    def __init__(self, most: int = 2000, restore: int = 100) -> None:
        self.most = most
        self.restore = restore
        self._level = float(most)
        self._at: datetime | None = None
        self._lock = threading.Lock()

    def take(self, points: int, now: datetime) -> bool:
        """Pay; False, and nothing taken, where too little is left."""
        with self._lock:
            self._refill(now)
            if points > self._level:
                return False
            self._level -= points
            return True

    def give_back(self, points: int) -> None:
        with self._lock:
            self._level = min(self.most, self._level + points)

    def drain(self, left: float, now: datetime) -> None:
        """For rehearsals: only so much is left, as if another worker had used the rest."""
        with self._lock:
            self._level, self._at = left, now

    def status(self, now: datetime) -> dict[str, int]:
        with self._lock:
            self._refill(now)
            return {
                "maximumAvailable": self.most,
                "currentlyAvailable": int(self._level),
                "restoreRate": self.restore,
            }

    def _refill(self, now: datetime) -> None:
        if self._at is not None and now > self._at:
            self._level = min(self.most, self._level + (now - self._at).total_seconds() * self.restore)
        self._at = now
