"""The part of the Admin API that the local shop answers, as SDL of our own; names and types are the vendor's 2026-07.

What is not here is refused as a GraphQL error, just as a misspelt field is. `tests/test_channel_shopify.py` compares
every field with the vendor's published schema where that is at hand.
"""

from __future__ import annotations

API_VERSIONS = ("2026-04", "2026-07", "2026-10")

TOPICS = (
    "APP_UNINSTALLED",
    "FULFILLMENTS_CREATE",
    "FULFILLMENTS_UPDATE",
    "INVENTORY_ITEMS_CREATE",
    "INVENTORY_ITEMS_DELETE",
    "INVENTORY_ITEMS_UPDATE",
    "INVENTORY_LEVELS_CONNECT",
    "INVENTORY_LEVELS_DISCONNECT",
    "INVENTORY_LEVELS_UPDATE",
    "LOCATIONS_CREATE",
    "LOCATIONS_DELETE",
    "LOCATIONS_UPDATE",
    "ORDERS_CANCELLED",
    "ORDERS_CREATE",
    "ORDERS_DELETE",
    "ORDERS_EDITED",
    "ORDERS_FULFILLED",
    "ORDERS_PAID",
    "ORDERS_PARTIALLY_FULFILLED",
    "ORDERS_UPDATED",
    "PRODUCTS_CREATE",
    "PRODUCTS_DELETE",
    "PRODUCTS_UPDATE",
    "REFUNDS_CREATE",
    "RETURNS_CLOSE",
    "RETURNS_PROCESS",
    "REVERSE_FULFILLMENT_ORDERS_DISPOSE",
    "SHOP_UPDATE",
)

REASONS = (
    "correction",
    "cycle_count_available",
    "damaged",
    "movement_canceled",
    "movement_created",
    "movement_received",
    "movement_updated",
    "other",
    "promotion",
    "quality_control",
    "received",
    "reservation_created",
    "reservation_deleted",
    "reservation_updated",
    "restock",
    "safety_stock",
    "shrinkage",
)

_PAGING = "first: Int, after: String, last: Int, before: String, reverse: Boolean = false"


def _connection(name: str) -> str:
    return (
        f"type {name}Connection {{ edges: [{name}Edge!]! nodes: [{name}!]! pageInfo: PageInfo! }}\n"
        f"type {name}Edge {{ cursor: String! node: {name}! }}\n"
    )


_CONNECTIONS = "".join(
    _connection(name)
    for name in (
        "FulfillmentLineItem",
        "FulfillmentOrder",
        "FulfillmentOrderLineItem",
        "InventoryItem",
        "InventoryLevel",
        "LineItem",
        "Location",
        "Order",
        "Product",
        "ProductVariant",
        "RefundLineItem",
        "Return",
        "ReverseFulfillmentOrder",
        "ReverseFulfillmentOrderLineItem",
        "WebhookSubscription",
    )
)

SDL = (
    """
directive @idempotent(key: String!) on FIELD

scalar DateTime
scalar Decimal
scalar Money
scalar URL
scalar UnsignedInt64

interface Node { id: ID! }
type PageInfo { endCursor: String hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String }
type UserError { field: [String!] message: String! }
enum CurrencyCode { EUR USD GBP CHF CAD AUD NZD JPY SEK NOK DKK PLN CZK }
type MoneyV2 { amount: Decimal! currencyCode: CurrencyCode! }
type MoneyBag { shopMoney: MoneyV2! presentmentMoney: MoneyV2! }
enum WebhookSubscriptionTopic { """
    + " ".join(TOPICS)
    + """ }

type QueryRoot {
  shop: Shop!
  currentAppInstallation: AppInstallation!
  node(id: ID!): Node
  nodes(ids: [ID!]!): [Node]!
  location(id: ID): Location
  locations(PAGING, query: String, includeInactive: Boolean = false): LocationConnection!
  product(id: ID!): Product
  products(PAGING, query: String): ProductConnection!
  productVariant(id: ID!): ProductVariant
  productVariants(PAGING, query: String, sortKey: ProductVariantSortKeys = ID): ProductVariantConnection!
  inventoryItem(id: ID!): InventoryItem
  inventoryItems(PAGING, query: String): InventoryItemConnection!
  inventoryLevel(id: ID!): InventoryLevel
  order(id: ID!): Order
  orders(PAGING, query: String, sortKey: OrderSortKeys = PROCESSED_AT): OrderConnection!
  fulfillmentOrder(id: ID!): FulfillmentOrder
  reverseFulfillmentOrder(id: ID!): ReverseFulfillmentOrder
  productVariantsCount(query: String, limit: Int = 10000): Count
  bulkOperation(id: ID!): BulkOperation
  webhookSubscription(id: ID!): WebhookSubscription
  webhookSubscriptions(PAGING, topics: [WebhookSubscriptionTopic!], uri: String): WebhookSubscriptionConnection!
}

type Mutation {
  inventorySetQuantities(input: InventorySetQuantitiesInput!): InventorySetQuantitiesPayload
  inventoryAdjustQuantities(input: InventoryAdjustQuantitiesInput!): InventoryAdjustQuantitiesPayload
  inventorySetOnHandQuantities(input: InventorySetOnHandQuantitiesInput!): InventorySetOnHandQuantitiesPayload
  inventoryActivate(inventoryItemId: ID!, locationId: ID!, available: Int, onHand: Int): InventoryActivatePayload
  orderCreate(order: OrderCreateOrderInput!, options: OrderCreateOptionsInput): OrderCreatePayload
  orderMarkAsPaid(input: OrderMarkAsPaidInput!): OrderMarkAsPaidPayload
  orderCancel(
    orderId: ID!, refund: Boolean, refundMethod: OrderCancelRefundMethodInput, restock: Boolean!,
    reason: OrderCancelReason!, notifyCustomer: Boolean = false, staffNote: String = null
  ): OrderCancelPayload
  orderDelete(orderId: ID!): OrderDeletePayload
  fulfillmentCreate(fulfillment: FulfillmentInput!, message: String): FulfillmentCreatePayload
  fulfillmentCancel(id: ID!): FulfillmentCancelPayload
  refundCreate(input: RefundInput!): RefundCreatePayload
  bulkOperationRunQuery(query: String!, groupObjects: Boolean! = false): BulkOperationRunQueryPayload
  webhookSubscriptionCreate(
    topic: WebhookSubscriptionTopic!, webhookSubscription: WebhookSubscriptionInput!
  ): WebhookSubscriptionCreatePayload
  webhookSubscriptionUpdate(
    id: ID!, webhookSubscription: WebhookSubscriptionInput!
  ): WebhookSubscriptionUpdatePayload
  webhookSubscriptionDelete(id: ID!): WebhookSubscriptionDeletePayload
}

type Shop implements Node {
  id: ID! name: String! myshopifyDomain: String! ianaTimezone: String! currencyCode: CurrencyCode! url: URL!
}
type AppInstallation implements Node { id: ID! accessScopes: [AccessScope!]! }
type AccessScope { description: String! handle: String! }

type Location implements Node {
  id: ID! legacyResourceId: UnsignedInt64! name: String! isActive: Boolean! fulfillsOnlineOrders: Boolean!
  isFulfillmentService: Boolean! shipsInventory: Boolean! createdAt: DateTime! updatedAt: DateTime!
  inventoryLevel(inventoryItemId: ID!, includeInactive: Boolean = false): InventoryLevel
}

enum ProductVariantSortKeys { ID SKU }
enum ProductVariantInventoryPolicy { DENY CONTINUE }
enum ProductStatus { ACTIVE ARCHIVED DRAFT UNLISTED }
type Product implements Node {
  id: ID! legacyResourceId: UnsignedInt64! title: String! status: ProductStatus!
  createdAt: DateTime! updatedAt: DateTime! totalInventory: Int! tracksInventory: Boolean!
  variants(PAGING): ProductVariantConnection!
}
type ProductVariant implements Node {
  id: ID! legacyResourceId: UnsignedInt64! sku: String barcode: String title: String! displayName: String! price: Money!
  inventoryPolicy: ProductVariantInventoryPolicy! inventoryQuantity: Int inventoryItem: InventoryItem! product: Product!
  createdAt: DateTime! updatedAt: DateTime!
}
type InventoryItem implements Node {
  id: ID! legacyResourceId: UnsignedInt64! sku: String tracked: Boolean! requiresShipping: Boolean!
  createdAt: DateTime! updatedAt: DateTime! variant: ProductVariant!
  inventoryLevel(locationId: ID!, includeInactive: Boolean = false): InventoryLevel
  inventoryLevels(PAGING, includeInactive: Boolean = false): InventoryLevelConnection!
}
type InventoryLevel implements Node {
  id: ID! isActive: Boolean! item: InventoryItem! location: Location! createdAt: DateTime! updatedAt: DateTime!
  quantities(names: [String!]!): [InventoryQuantity!]!
}
type InventoryQuantity implements Node { id: ID! name: String! quantity: Int! updatedAt: DateTime }

enum OrderSortKeys { CREATED_AT ID ORDER_NUMBER PROCESSED_AT UPDATED_AT }
enum OrderCancelReason { CUSTOMER DECLINED FRAUD INVENTORY STAFF OTHER }
enum OrderDisplayFinancialStatus {
  PENDING AUTHORIZED PARTIALLY_PAID PARTIALLY_REFUNDED VOIDED PAID REFUNDED EXPIRED
}
enum OrderDisplayFulfillmentStatus {
  UNFULFILLED PARTIALLY_FULFILLED FULFILLED RESTOCKED PENDING_FULFILLMENT OPEN IN_PROGRESS ON_HOLD SCHEDULED
  REQUEST_DECLINED
}
type OrderCancellation { staffNote: String }
type Order implements Node {
  id: ID! legacyResourceId: UnsignedInt64! name: String! email: String note: String test: Boolean! edited: Boolean!
  confirmed: Boolean! closed: Boolean! closedAt: DateTime createdAt: DateTime! processedAt: DateTime!
  updatedAt: DateTime! cancelledAt: DateTime cancelReason: OrderCancelReason cancellation: OrderCancellation
  displayFinancialStatus: OrderDisplayFinancialStatus displayFulfillmentStatus: OrderDisplayFulfillmentStatus!
  sourceName: String sourceIdentifier: String tags: [String!]! currencyCode: CurrencyCode!
  totalPriceSet: MoneyBag! currentTotalPriceSet: MoneyBag!
  lineItems(PAGING): LineItemConnection!
  fulfillments(first: Int): [Fulfillment!]!
  fulfillmentOrders(PAGING): FulfillmentOrderConnection!
  refunds(first: Int): [Refund!]!
  returnStatus: OrderReturnStatus! returns(PAGING): ReturnConnection!
}
enum OrderReturnStatus { IN_PROGRESS INSPECTION_COMPLETE NO_RETURN RETURNED RETURN_FAILED RETURN_REQUESTED }
type LineItem implements Node {
  id: ID! sku: String title: String! name: String! variantTitle: String quantity: Int! currentQuantity: Int!
  unfulfilledQuantity: Int! fulfillableQuantity: Int! nonFulfillableQuantity: Int! refundableQuantity: Int!
  requiresShipping: Boolean! variant: ProductVariant product: Product originalUnitPriceSet: MoneyBag!
}
enum FulfillmentStatus { PENDING OPEN SUCCESS CANCELLED ERROR FAILURE }
type Fulfillment implements Node {
  id: ID! legacyResourceId: UnsignedInt64! name: String! status: FulfillmentStatus! createdAt: DateTime!
  updatedAt: DateTime! location: Location totalQuantity: Int! order: Order!
  fulfillmentLineItems(PAGING): FulfillmentLineItemConnection!
}
type FulfillmentLineItem implements Node { id: ID! lineItem: LineItem! quantity: Int }
enum FulfillmentOrderStatus { OPEN IN_PROGRESS CANCELLED INCOMPLETE CLOSED SCHEDULED ON_HOLD }
enum FulfillmentOrderRequestStatus { UNSUBMITTED }
type FulfillmentOrderAssignedLocation { name: String! location: Location }
type FulfillmentOrder implements Node {
  id: ID! status: FulfillmentOrderStatus! requestStatus: FulfillmentOrderRequestStatus! createdAt: DateTime!
  updatedAt: DateTime! orderId: ID! orderName: String! order: Order!
  assignedLocation: FulfillmentOrderAssignedLocation!
  lineItems(PAGING): FulfillmentOrderLineItemConnection!
}
type FulfillmentOrderLineItem implements Node {
  id: ID! inventoryItemId: ID sku: String totalQuantity: Int! remainingQuantity: Int! requiresShipping: Boolean!
  lineItem: LineItem!
}
enum RefundLineItemRestockType { RETURN CANCEL LEGACY_RESTOCK NO_RESTOCK }
type Return implements Node {
  id: ID! name: String! reverseFulfillmentOrders(PAGING): ReverseFulfillmentOrderConnection!
}
enum ReverseFulfillmentOrderDispositionType { RESTOCKED PROCESSING_REQUIRED NOT_RESTOCKED MISSING }
type ReverseFulfillmentOrderDisposition implements Node {
  id: ID! type: ReverseFulfillmentOrderDispositionType! quantity: Int! createdAt: DateTime!
}
type ReverseFulfillmentOrderLineItem implements Node {
  id: ID! totalQuantity: Int! fulfillmentLineItem: FulfillmentLineItem
  dispositions: [ReverseFulfillmentOrderDisposition!]!
}
type ReverseFulfillmentOrder implements Node {
  id: ID! order: Order lineItems(PAGING): ReverseFulfillmentOrderLineItemConnection!
}
enum BulkOperationStatus { CANCELED CANCELING COMPLETED CREATED EXPIRED FAILED RUNNING }
enum BulkOperationErrorCode { ACCESS_DENIED INTERNAL_SERVER_ERROR TIMEOUT }
enum BulkOperationUserErrorCode { OPERATION_IN_PROGRESS INVALID LIMIT_REACHED }
type BulkOperation implements Node {
  id: ID! status: BulkOperationStatus! errorCode: BulkOperationErrorCode url: URL createdAt: DateTime!
}
type BulkOperationUserError { code: BulkOperationUserErrorCode field: [String!] message: String! }
type BulkOperationRunQueryPayload { bulkOperation: BulkOperation userErrors: [BulkOperationUserError!]! }
type Count { count: Int! }
type Refund implements Node {
  id: ID! legacyResourceId: UnsignedInt64! note: String createdAt: DateTime processedAt: DateTime! updatedAt: DateTime!
  order: Order! return: Return
  refundLineItems(PAGING): RefundLineItemConnection!
}
type RefundLineItem {
  id: ID lineItem: LineItem! location: Location quantity: Int! restocked: Boolean!
  restockType: RefundLineItemRestockType!
}

enum WebhookSubscriptionFormat { JSON XML }
type WebhookHttpEndpoint { callbackUrl: URL! }
union WebhookSubscriptionEndpoint = WebhookHttpEndpoint
type WebhookSubscription implements Node {
  id: ID! legacyResourceId: UnsignedInt64! topic: WebhookSubscriptionTopic! uri: String! callbackUrl: URL!
  format: WebhookSubscriptionFormat! filter: String includeFields: [String!]!
  metafieldNamespaces: [String!]! name: String endpoint: WebhookSubscriptionEndpoint!
  createdAt: DateTime! updatedAt: DateTime!
}

input InventorySetQuantitiesInput {
  reason: String! name: String! referenceDocumentUri: String quantities: [InventoryQuantityInput!]!
}
input InventoryQuantityInput { inventoryItemId: ID! locationId: ID! quantity: Int! changeFromQuantity: Int }
input InventoryAdjustQuantitiesInput {
  reason: String! name: String! referenceDocumentUri: String changes: [InventoryChangeInput!]!
}
input InventoryChangeInput {
  delta: Int! changeFromQuantity: Int inventoryItemId: ID! locationId: ID! ledgerDocumentUri: String
}
type InventoryChange {
  delta: Int! name: String! quantityAfterChange: Int item: InventoryItem location: Location ledgerDocumentUri: String
}
type InventoryAdjustmentGroup implements Node {
  id: ID! createdAt: DateTime! reason: String! referenceDocumentUri: String changes: [InventoryChange!]!
}
enum InventorySetQuantitiesUserErrorCode {
  INVALID_INVENTORY_ITEM INVALID_LOCATION INVALID_QUANTITY_NEGATIVE INVALID_REASON INVALID_REFERENCE_DOCUMENT
  ITEM_NOT_STOCKED_AT_LOCATION INVALID_QUANTITY_TOO_HIGH INVALID_QUANTITY_TOO_LOW COMPARE_QUANTITY_REQUIRED
  COMPARE_QUANTITY_STALE CHANGE_FROM_QUANTITY_STALE INVALID_NAME NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR
  NON_MUTABLE_INVENTORY_ITEM IDEMPOTENCY_CONCURRENT_REQUEST IDEMPOTENCY_KEY_PARAMETER_MISMATCH
  IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED
}
type InventorySetQuantitiesUserError {
  code: InventorySetQuantitiesUserErrorCode field: [String!] message: String!
}
type InventorySetQuantitiesPayload {
  inventoryAdjustmentGroup: InventoryAdjustmentGroup userErrors: [InventorySetQuantitiesUserError!]!
}
enum InventoryAdjustQuantitiesUserErrorCode {
  INVALID_INVENTORY_ITEM INVALID_LOCATION INVALID_REASON ITEM_NOT_STOCKED_AT_LOCATION INVALID_QUANTITY_TOO_HIGH
  INVALID_QUANTITY_TOO_LOW CHANGE_FROM_QUANTITY_STALE INVALID_QUANTITY_NAME NON_MUTABLE_INVENTORY_ITEM
  IDEMPOTENCY_CONCURRENT_REQUEST IDEMPOTENCY_KEY_PARAMETER_MISMATCH IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED
}
type InventoryAdjustQuantitiesUserError {
  code: InventoryAdjustQuantitiesUserErrorCode field: [String!] message: String!
}
type InventoryAdjustQuantitiesPayload {
  inventoryAdjustmentGroup: InventoryAdjustmentGroup userErrors: [InventoryAdjustQuantitiesUserError!]!
}
input InventorySetOnHandQuantitiesInput {
  reason: String! referenceDocumentUri: String setQuantities: [InventorySetQuantityInput!]!
}
input InventorySetQuantityInput { inventoryItemId: ID! locationId: ID! quantity: Int! changeFromQuantity: Int }
enum InventorySetOnHandQuantitiesUserErrorCode {
  INVALID_INVENTORY_ITEM INVALID_LOCATION INVALID_QUANTITY_NEGATIVE INVALID_REASON ITEM_NOT_STOCKED_AT_LOCATION
  INVALID_QUANTITY_TOO_HIGH CHANGE_FROM_QUANTITY_STALE NON_MUTABLE_INVENTORY_ITEM
  IDEMPOTENCY_CONCURRENT_REQUEST IDEMPOTENCY_KEY_PARAMETER_MISMATCH IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED
}
type InventorySetOnHandQuantitiesUserError {
  code: InventorySetOnHandQuantitiesUserErrorCode field: [String!] message: String!
}
type InventorySetOnHandQuantitiesPayload {
  inventoryAdjustmentGroup: InventoryAdjustmentGroup userErrors: [InventorySetOnHandQuantitiesUserError!]!
}
type InventoryActivatePayload { inventoryLevel: InventoryLevel userErrors: [UserError!]! }

input MoneyInput { amount: Decimal! currencyCode: CurrencyCode! }
input MoneyBagInput { shopMoney: MoneyInput! presentmentMoney: MoneyInput }
enum OrderCreateFinancialStatus {
  PENDING AUTHORIZED PARTIALLY_PAID PAID PARTIALLY_REFUNDED REFUNDED VOIDED EXPIRED
}
input OrderCreateLineItemInput {
  variantId: ID productId: ID sku: String title: String variantTitle: String vendor: String quantity: Int!
  priceSet: MoneyBagInput requiresShipping: Boolean = false taxable: Boolean = true
}
enum OrderTransactionKind {
  SALE CAPTURE AUTHORIZATION VOID REFUND CHANGE EMV_AUTHORIZATION SUGGESTED_REFUND
}
enum OrderTransactionStatus { SUCCESS FAILURE PENDING ERROR AWAITING_RESPONSE UNKNOWN }
input OrderCreateOrderTransactionInput {
  amountSet: MoneyBagInput! gateway: String kind: OrderTransactionKind = SALE
  status: OrderTransactionStatus = SUCCESS processedAt: DateTime test: Boolean = false
}
input MailingAddressInput {
  address1: String address2: String city: String company: String firstName: String lastName: String phone: String
  zip: String
}
input OrderCreateCustomAttributeInput { key: String! value: String! }
input OrderCreateOrderInput {
  email: String note: String name: String currency: CurrencyCode financialStatus: OrderCreateFinancialStatus
  processedAt: DateTime sourceName: String sourceIdentifier: String test: Boolean = false phone: String
  tags: [String!] poNumber: String taxesIncluded: Boolean = false customAttributes: [OrderCreateCustomAttributeInput!]
  billingAddress: MailingAddressInput shippingAddress: MailingAddressInput
  transactions: [OrderCreateOrderTransactionInput!]
  lineItems: [OrderCreateLineItemInput!]
}
enum OrderCreateInputsInventoryBehavior { BYPASS DECREMENT_IGNORING_POLICY DECREMENT_OBEYING_POLICY }
input OrderCreateOptionsInput {
  inventoryBehaviour: OrderCreateInputsInventoryBehavior = BYPASS
  sendReceipt: Boolean = false sendFulfillmentReceipt: Boolean = false
}
enum OrderCreateUserErrorCode { INVALID INVENTORY_CLAIM_FAILED PROCESSED_AT_INVALID }
type OrderCreateUserError { code: OrderCreateUserErrorCode field: [String!] message: String! }
type OrderCreatePayload { order: Order userErrors: [OrderCreateUserError!]! }
input OrderMarkAsPaidInput { id: ID! }
type OrderMarkAsPaidPayload { order: Order userErrors: [UserError!]! }
input OrderCancelRefundMethodInput { originalPaymentMethodsRefund: Boolean }
enum OrderCancelUserErrorCode { NOT_FOUND INVALID INTERNAL_ERROR }
type OrderCancelUserError { code: OrderCancelUserErrorCode field: [String!] message: String! }
type Job { done: Boolean! id: ID! }
type OrderCancelPayload { job: Job orderCancelUserErrors: [OrderCancelUserError!]! userErrors: [UserError!]! }
enum OrderDeleteUserErrorCode { NOT_FOUND INVALID }
type OrderDeleteUserError { code: OrderDeleteUserErrorCode field: [String!] message: String! }
type OrderDeletePayload { deletedId: ID userErrors: [OrderDeleteUserError!]! }
input FulfillmentOrderLineItemInput { id: ID! quantity: Int! }
input FulfillmentOrderLineItemsInput {
  fulfillmentOrderId: ID! fulfillmentOrderLineItems: [FulfillmentOrderLineItemInput!]
}
input FulfillmentTrackingInput { company: String number: String url: URL }
input FulfillmentInput {
  lineItemsByFulfillmentOrder: [FulfillmentOrderLineItemsInput!]! notifyCustomer: Boolean = false
  trackingInfo: FulfillmentTrackingInput
}
type FulfillmentCreatePayload { fulfillment: Fulfillment userErrors: [UserError!]! }
type FulfillmentCancelPayload { fulfillment: Fulfillment userErrors: [UserError!]! }
input RefundLineItemInput { lineItemId: ID! quantity: Int! restockType: RefundLineItemRestockType locationId: ID }
input RefundInput {
  orderId: ID! note: String notify: Boolean currency: CurrencyCode refundLineItems: [RefundLineItemInput!]
}
type RefundCreatePayload { order: Order refund: Refund userErrors: [UserError!]! }
input WebhookSubscriptionInput {
  uri: String callbackUrl: URL format: WebhookSubscriptionFormat filter: String includeFields: [String!]
  metafieldNamespaces: [String!] name: String
}
type WebhookSubscriptionCreatePayload { webhookSubscription: WebhookSubscription userErrors: [UserError!]! }
type WebhookSubscriptionUpdatePayload { webhookSubscription: WebhookSubscription userErrors: [UserError!]! }
type WebhookSubscriptionDeletePayload { deletedWebhookSubscriptionId: ID userErrors: [UserError!]! }

schema { query: QueryRoot mutation: Mutation }
"""
    + _CONNECTIONS
).replace("PAGING", _PAGING)
