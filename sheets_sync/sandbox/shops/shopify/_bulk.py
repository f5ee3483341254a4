"""Bulk operations: a query is run over everything, and its answer is a file of lines.

Each object of a connection is a line of its own; a nested one names its parent in `__parentId`. Which object that is
where another lies between (a level of an item of a variant), and whether children stand below their parents, is not
published: `Bulk.parent` and `Bulk.children_last` let a rehearsal have it either way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    ExecutionResult,
    FieldNode,
    IntValueNode,
    NameNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    Visitor,
    parse,
    visit,
)

from sheets_sync.sandbox.shops.shopify._model import Shop
from sheets_sync.sandbox.shops.shopify._orders import Doc

PAGE = 250

Fields = dict[str, Any]
Run = Callable[[DocumentNode], ExecutionResult]


class Bulk:
    """The bulk query operations of one app."""

    def __init__(self, shop: Shop, run: Run) -> None:
        self.shop, self._run = shop, run
        self.files_at = ""  # where the files are served
        self.looks = 1  # how often an operation is seen running before it is done
        self.busy = False  # the app runs as many as it may
        self.fails = ""  # the error code with which operations end
        self.parent = "nearest"  # or "node": the object of the enclosing connection
        self.children_last = True

    def begin(self, query: str) -> Fields:
        """The payload of bulkOperationRunQuery."""
        if self.busy:
            said = {"field": ["query"], "message": "A bulk operation is already in progress.", "code": _BUSY}
            return {"bulkOperation": None, "userErrors": [said]}
        doc: Doc = {"id": self.shop.docs.new_id(), "query": query, "looks": self.looks, "created_at": self.shop.now()}
        self.shop.docs.put("bulk", doc)
        return {"bulkOperation": self._shown(doc, "CREATED"), "userErrors": []}

    def look(self, id: int) -> Fields | None:
        """An operation; each look brings it nearer to its end."""
        doc = self.shop.docs.get("bulk", id)
        if doc is None:
            return None
        if doc["looks"] > 0:
            doc["looks"] -= 1
            self.shop.docs.put("bulk", doc)
            return self._shown(doc, "RUNNING")
        return self._shown(doc, "FAILED" if self.fails else "COMPLETED")

    def _shown(self, doc: Doc, status: str) -> Fields:
        done = status == "COMPLETED"
        return {
            "__typename": "BulkOperation",
            "id": f"gid://shopify/BulkOperation/{doc['id']}",
            "status": status,
            "errorCode": self.fails or None if status == "FAILED" else None,
            "url": f"{self.files_at}/bulk/{doc['id']}.jsonl" if done else None,
            "createdAt": doc["created_at"],
        }

    def file(self, id: int) -> bytes | None:
        """The lines of a finished operation."""
        doc = self.shop.docs.get("bulk", id)
        if doc is None:
            return None
        first: list[Fields] = []
        last: list[Fields] = []
        for node in self._nodes(parse(doc["query"])):
            for depth, line in self._lines(node, None):
                (last if depth and self.children_last else first).append(line)
        return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in first + last)

    def _nodes(self, document: DocumentNode) -> Iterator[Fields]:
        """Every object of the query's one connection."""
        after: str | None = None
        while True:
            result = self._run(paged(document, after))
            ((_, found),) = (result.data or {}).items()
            yield from (edge["node"] for edge in found["edges"])
            if not found["pageInfo"]["hasNextPage"]:
                return
            after = found["pageInfo"]["endCursor"]

    def _lines(self, node: Fields, parent: str | None) -> Iterator[tuple[int, Fields]]:
        own: Fields = {}
        nested: list[tuple[str, Fields]] = []
        _flatten(node, node, own, nested, self.parent == "node")
        yield (0 if parent is None else 1), own if parent is None else {**own, "__parentId": parent}
        for id, child in nested:
            yield from self._lines(child, id)


_BUSY = "OPERATION_IN_PROGRESS"


def _flatten(node: Fields, top: Fields, out: Fields, nested: list[tuple[str, Fields]], by_node: bool) -> None:
    for name, value in node.items():
        if isinstance(value, dict) and "edges" in value:
            parent = top["id"] if by_node or "id" not in node else node["id"]
            nested += [(parent, edge["node"]) for edge in value["edges"]]
        elif isinstance(value, dict):
            out[name] = {}
            _flatten(value, top, out[name], nested, by_node)
        else:
            out[name] = value


def paged(document: DocumentNode, after: str | None) -> DocumentNode:
    """The query with the pages that a bulk query leaves out, and the root's place."""
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    root = operation.selection_set.selections[0]

    class Paging(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> FieldNode | None:
            names = (
                {s.name.value for s in node.selection_set.selections if isinstance(s, FieldNode)}
                if (node.selection_set)
                else set()
            )
            if "edges" not in names or any(a.name.value == "first" for a in node.arguments or ()):
                return None
            arguments = [*(node.arguments or ()), _argument("first", IntValueNode(value=str(PAGE)))]
            selections = list(node.selection_set.selections) if node.selection_set else []
            if node is root:
                if after is not None:
                    arguments.append(_argument("after", StringValueNode(value=after)))
                selections.append(_PAGE_INFO)
            return FieldNode(
                alias=node.alias,
                name=node.name,
                arguments=tuple(arguments),
                directives=node.directives,
                selection_set=SelectionSetNode(selections=tuple(selections)),
            )

    changed: DocumentNode = visit(document, Paging())
    return changed


def _argument(name: str, value: Any) -> ArgumentNode:
    return ArgumentNode(name=NameNode(value=name), value=value)


def _page_info() -> FieldNode:
    operation = parse("{ pageInfo { hasNextPage endCursor } }").definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    field = operation.selection_set.selections[0]
    assert isinstance(field, FieldNode)
    return field


_PAGE_INFO = _page_info()
