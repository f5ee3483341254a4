"""Every GraphQL document that leaves here; a test holds each to the published schema."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

API_VERSION = "2026-07"

MOST_PLACES = 20
"""Locations looked at for a SKU that is kept at several."""

WHO = """
query Who {
  shop { name myshopifyDomain }
  currentAppInstallation { accessScopes { handle } }
  locations(first: 50) { nodes { id name isActive } }
}
"""

LISTINGS = f"""
query Listings($first: Int!, $after: String) {{
  productVariants(first: $first, after: $after) {{
    nodes {{
      id sku barcode title
      product {{ title }}
      inventoryItem {{
        id tracked
        inventoryLevels(first: {MOST_PLACES}) {{
          nodes {{ location {{ id name isFulfillmentService }} quantities(names: ["available"]) {{ name quantity }} }}
        }}
      }}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""

HOW_MANY = """
query HowMany($most: Int) { productVariantsCount(limit: $most) { count } }
"""

BULK_LISTINGS = """
{
  productVariants {
    edges {
      node {
        id sku barcode title
        product { id title }
        inventoryItem {
          id tracked
          inventoryLevels {
            edges {
              node {
                id
                location { id name isFulfillmentService }
                quantities(names: ["available"]) { name quantity }
              }
            }
          }
        }
      }
    }
  }
}
"""

BULK = """
mutation Bulk($query: String!) {
  bulkOperationRunQuery(query: $query) { bulkOperation { id status } userErrors { field message code } }
}
"""

BULK_STATE = """
query BulkState($id: ID!) { bulkOperation(id: $id) { id status errorCode url } }
"""

FIGURES = """
query Figures($ids: [ID!]!, $place: ID!) {
  nodes(ids: $ids) {
    ... on InventoryItem {
      id tracked
      inventoryLevel(locationId: $place) { quantities(names: ["available", "committed"]) { name quantity } }
    }
  }
}
"""

SUMS = f"""
query Sums($ids: [ID!]!) {{
  nodes(ids: $ids) {{
    ... on InventoryItem {{
      id tracked
      inventoryLevels(first: {MOST_PLACES}) {{ nodes {{ quantities(names: ["available"]) {{ name quantity }} }} }}
    }}
  }}
}}
"""

SET = """
mutation SetFigures($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id changes { name item { id } location { id } } }
    userErrors { field message code }
  }
}
"""

_LINES = """
  nodes { id sku title variantTitle quantity currentQuantity unfulfilledQuantity variant { id } }
  pageInfo { hasNextPage endCursor }
"""
_SENT_LINES = "nodes { quantity lineItem { id } } pageInfo { hasNextPage endCursor }"
_BACK_LINES = (
    "nodes { quantity restockType restocked location { id } lineItem { id } } pageInfo { hasNextPage endCursor }"
)
_ORDER = f"""
  id name createdAt updatedAt cancelledAt cancelReason displayFinancialStatus sourceName returnStatus
  lineItems(first: 50) {{ {_LINES} }}
  fulfillments {{ id status createdAt location {{ id }} fulfillmentLineItems(first: 50) {{ {_SENT_LINES} }} }}
  refunds {{ id createdAt return {{ id }} refundLineItems(first: 50) {{ {_BACK_LINES} }} }}
"""

ORDERS = f"""
query Orders($first: Int!, $after: String, $query: String!) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{ {_ORDER} }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""

ORDER = f"""
query Order($id: ID!) {{ order(id: $id) {{ {_ORDER} }} }}
"""

MORE_LINES = f"""
query MoreLines($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{ ... on Order {{ lineItems(first: $first, after: $after) {{ {_LINES} }} }} }}
}}
"""

MORE_SENT = f"""
query MoreSent($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{ ... on Fulfillment {{ fulfillmentLineItems(first: $first, after: $after) {{ {_SENT_LINES} }} }} }}
}}
"""

MORE_BACK = f"""
query MoreBack($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{ ... on Refund {{ refundLineItems(first: $first, after: $after) {{ {_BACK_LINES} }} }} }}
}}
"""

_DISPOSALS = """
  nodes { id totalQuantity fulfillmentLineItem { lineItem { id } } dispositions { type quantity createdAt } }
  pageInfo { hasNextPage endCursor }
"""
_REVERSE = f"nodes {{ id lineItems(first: 20) {{ {_DISPOSALS} }} }} pageInfo {{ hasNextPage endCursor }}"

RETURNS = f"""
query Returns($id: ID!, $first: Int!, $after: String) {{
  order(id: $id) {{
    returns(first: $first, after: $after) {{
      nodes {{ id reverseFulfillmentOrders(first: 5) {{ {_REVERSE} }} }}
      pageInfo {{ hasNextPage endCursor }}
    }}
  }}
}}
"""

MORE_REVERSE = f"""
query MoreReverse($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{ ... on Return {{ reverseFulfillmentOrders(first: $first, after: $after) {{ {_REVERSE} }} }} }}
}}
"""

MORE_REVERSE_LINES = f"""
query MoreReverseLines($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{ ... on ReverseFulfillmentOrder {{ lineItems(first: $first, after: $after) {{ {_DISPOSALS} }} }} }}
}}
"""

DISPOSED = """
query Disposed($id: ID!) { reverseFulfillmentOrder(id: $id) { id order { id } } }
"""

HOOKS = """
query Hooks($after: String) {
  webhookSubscriptions(first: 100, after: $after) {
    nodes { id topic uri }
    pageInfo { hasNextPage endCursor }
  }
}
"""

HOOK_MAKE = """
mutation HookMake($topic: WebhookSubscriptionTopic!, $uri: String!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: { uri: $uri, format: JSON }) {
    webhookSubscription { id }
    userErrors { field message }
  }
}
"""

HOOK_DROP = """
mutation HookDrop($id: ID!) {
  webhookSubscriptionDelete(id: $id) { deletedWebhookSubscriptionId userErrors { field message } }
}
"""

DOCUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "who": WHO,
        "listings": LISTINGS,
        "how many": HOW_MANY,
        "bulk": BULK,
        "bulk listings": BULK_LISTINGS,
        "bulk state": BULK_STATE,
        "figures": FIGURES,
        "sums": SUMS,
        "set": SET,
        "orders": ORDERS,
        "order": ORDER,
        "more lines": MORE_LINES,
        "more sent": MORE_SENT,
        "more back": MORE_BACK,
        "returns": RETURNS,
        "more reverse": MORE_REVERSE,
        "more reverse lines": MORE_REVERSE_LINES,
        "disposed": DISPOSED,
        "hooks": HOOKS,
        "hook make": HOOK_MAKE,
        "hook drop": HOOK_DROP,
    }
)
"""Every GraphQL document that leaves here; a test holds each to the published schema."""
