/** The catalogue of refusals: a code never changes its meaning. `docs/reference/errors.md` is generated from here. */
export interface ErrorEntry {
  /** HTTP-like status, also `Nats-Service-Error-Code`. */
  status: number;
  /** OpenAI's `error.type`. */
  type:
    | 'invalid_request_error'
    | 'authentication_error'
    | 'permission_error'
    | 'insufficient_quota'
    | 'rate_limit_error'
    | 'api_error';
  retryable: boolean;
  meaning: string;
  wayOut: string;
}

export const ERRORS = {
  body_not_json: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The body is not JSON.',
    wayOut: 'Send UTF-8 JSON.',
  },
  body_invalid: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The body does not match the schema of its kind.',
    wayOut: '`error.param` names the field.',
  },
  body_too_large: {
    status: 413,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The body is above the limit.',
    wayOut: "Shorten the request, or raise `limits.bodyBytes` below the server's `max_payload`.",
  },
  kind_unsupported: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The header `Meritorder-Kind` names a kind that no backend of the route serves.',
    wayOut: 'Use a route with a backend that has the kind among its `kinds`.',
  },
  header_invalid: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'A Meritorder header has a value that is not allowed.',
    wayOut: 'The message names the header.',
  },
  tier_unknown: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The request names a tier that is not configured for its org.',
    wayOut: 'The message lists the tiers.',
  },
  below_floor: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'No able backend meets the floors of quality, cost and margin that the caller and its tier ask for.',
    wayOut: 'The message says by how much each misses; lower `min_quality` or raise `max_cost_usd`.',
  },
  latency_ceiling: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning:
      'No able backend is expected to answer within the ceiling of latency that the caller, its route or its tier set.',
    wayOut:
      'Retry after `Retry-After`, when the fastest is measured anew or less busy; else ask for fewer tokens, or raise `max_latency_ms` or `maxLatencyMs` (of the first token of a stream: `max_first_token_ms`, `maxFirstTokenMs`).',
  },
  job_waiting: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning: 'A durable job waits for idle own hardware, where it would be worth more; seen in logs and metrics alone.',
    wayOut: 'It is tried again, and started at the latest so that its deadline is met.',
  },
  request_unknown: {
    status: 404,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'No decision of this org is on record for the request.',
    wayOut: 'Use `request_id` of the receipt.',
  },
  route_unknown: {
    status: 404,
    type: 'invalid_request_error',
    retryable: false,
    meaning: '`model` names neither a route nor a backend.',
    wayOut: 'The message lists the routes.',
  },
  org_unknown: {
    status: 403,
    type: 'permission_error',
    retryable: false,
    meaning: 'The org of the subject is not configured.',
    wayOut: 'Add it under `orgs`.',
  },
  key_required: {
    status: 401,
    type: 'authentication_error',
    retryable: false,
    meaning: 'This org asks for a `Meritorder-Key`.',
    wayOut: 'Send the header.',
  },
  key_invalid: {
    status: 401,
    type: 'authentication_error',
    retryable: false,
    meaning: 'The key is unknown, revoked or expired, or belongs to another org.',
    wayOut: 'Check the key; `meritorder keys list` shows what became of it.',
  },
  keys_unavailable: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning: 'Whether the key is valid is not known: no word of the keys came for longer than they may go unheard.',
    wayOut: 'Retry. Keys of the configuration work meanwhile.',
  },
  department_unknown: {
    status: 403,
    type: 'permission_error',
    retryable: false,
    meaning: "The department is not one of the org's.",
    wayOut: 'The message lists them.',
  },
  attribution_conflict: {
    status: 403,
    type: 'permission_error',
    retryable: false,
    meaning: '`metadata` contradicts what the key is bound to: it may narrow, never widen.',
    wayOut: 'Leave the field out or use the right key.',
  },
  no_able_backend: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning:
      'No backend of the route can do what the request asks (context length, tools, images, JSON, choices, a service tier that has no price).',
    wayOut: 'The message says what each lacks.',
  },
  cost_cap: {
    status: 402,
    type: 'insufficient_quota',
    retryable: false,
    meaning:
      "Every able backend may cost more than the request's own `max_cost_usd`, or than its attempts before have left of that: the cap is one of all together.",
    wayOut: 'Raise it, or lower `max_tokens`.',
  },
  price_missing: {
    status: 503,
    type: 'api_error',
    retryable: false,
    meaning: 'An able backend has no price in force; budgeted traffic is never sent at an unknown price.',
    wayOut: 'Add `prices` to the backend; zero must be written as zero.',
  },
  budget_exhausted: {
    status: 402,
    type: 'insufficient_quota',
    retryable: false,
    meaning: 'A budget has no room left in this window.',
    wayOut: 'The message names budget, window and when it ends.',
  },
  budget_held: {
    status: 429,
    type: 'rate_limit_error',
    retryable: true,
    meaning: "A budget's room is held by requests in flight.",
    wayOut: 'Retry after `Retry-After` seconds.',
  },
  budget_throttled: {
    status: 429,
    type: 'rate_limit_error',
    retryable: true,
    meaning: 'A budget near its limit admits only so many requests a minute that cost something.',
    wayOut: 'Retry after `Retry-After` seconds. The message names budget, window, spent, limit and the rate.',
  },
  budget_local_only: {
    status: 402,
    type: 'insufficient_quota',
    retryable: false,
    meaning: 'A budget has reached the stage at which only local backends serve, and none of the route could.',
    wayOut: 'Use a route with a local backend, raise the limit, or wait for the next window, which the message names.',
  },
  budget_rejecting: {
    status: 402,
    type: 'insufficient_quota',
    retryable: false,
    meaning: 'A budget has reached the stage at which it admits nothing that costs something, before it is exhausted.',
    wayOut: 'Raise the limit, or wait for the next window, which the message names.',
  },
  budget_instances: {
    status: 402,
    type: 'insufficient_quota',
    retryable: false,
    meaning:
      'A budget template has as many instances in this window as it may have; a value never seen is not admitted.',
    wayOut: "Raise the template's `maxInstances`, or wait for the next window. Known values are still served.",
  },
  budgets_too_many: {
    status: 403,
    type: 'permission_error',
    retryable: false,
    meaning: 'The request matches more budgets than one request may be charged to.',
    wayOut: 'Merge budgets: a request is charged to at most 64.',
  },
  account_rate: {
    status: 429,
    type: 'rate_limit_error',
    retryable: true,
    meaning: 'The provider accounts of all candidates are at their requests or tokens a minute; no budget is short.',
    wayOut: 'Retry after `Retry-After` seconds. The message names account, limit and what was asked.',
  },
  org_rate: {
    status: 429,
    type: 'rate_limit_error',
    retryable: true,
    meaning: 'The org is at its quota of requests a minute, over all routers; nothing of its budgets is short.',
    wayOut: 'Retry after `Retry-After` seconds.',
  },
  org_in_flight: {
    status: 429,
    type: 'rate_limit_error',
    retryable: true,
    meaning: 'The org has as many requests in flight at this router as its quota allows.',
    wayOut: 'Retry when one of them has ended.',
  },
  admission_closed: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning: 'The budget counters are being rebuilt; nothing is admitted meanwhile.',
    wayOut: 'Retry in a few seconds.',
  },
  backend_unavailable: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning:
      'No able backend has a live worker with room, or none had a slot free in the time that a request may wait.',
    wayOut: 'Retry after `Retry-After`; look at the workers, at `maxConcurrency` and at `limits.waitForSlotMs`.',
  },
  backend_failed: {
    status: 502,
    type: 'api_error',
    retryable: true,
    meaning: 'Every candidate failed before its first token.',
    wayOut: 'The message names each failure.',
  },
  backend_quota: {
    status: 429,
    type: 'rate_limit_error',
    retryable: true,
    meaning: 'The quota at the provider is used up, of every backend that could have answered.',
    wayOut: 'Retry after `Retry-After`; give the backend more credentials, or the route more backends.',
  },
  answer_unusable: {
    status: 502,
    type: 'api_error',
    retryable: false,
    meaning:
      'A backend answered, and charged for it, what cannot be passed on: too large for a message, or without an end.',
    wayOut:
      'The message says why; the same request would be answered, and charged, alike. Ask for less at once, or over NATS for an answer in parts (`Meritorder-Max-Answer-Bytes`).',
  },
  upstream_rejected: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning: "The backend refused the request as the caller's fault.",
    wayOut: "The backend's own words are in the message.",
  },
  content_filtered: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning:
      "A content filter of the backend's provider refused the request. No other backend is asked: that would be a way around it.",
    wayOut: "The provider's own words are in the message; change the request, or the filter of that account.",
  },
  stream_cut: {
    status: 502,
    type: 'api_error',
    retryable: true,
    meaning: 'The backend or its worker was lost after the first token; there is no silent retry.',
    wayOut: 'Retry; what was generated is paid for.',
  },
  reader_away: {
    status: 499,
    type: 'api_error',
    retryable: true,
    meaning: 'The reader acknowledged nothing for too long, so the attempt was cancelled.',
    wayOut: 'Respond to every chunk that carries a reply subject.',
  },
  request_duplicate: {
    status: 409,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'An earlier request with this `idempotency_key` is in flight or was answered; this one cost nothing.',
    wayOut: '`error.details` names the first one. Wait for its answer, or use another key to ask again.',
  },
  idempotency_key_reused: {
    status: 422,
    type: 'invalid_request_error',
    retryable: false,
    meaning:
      'The `idempotency_key` was used for a different request within the last 24 hours, or the id of a job for a different job whose result is still kept (seven days).',
    wayOut: 'Use one key for one request, and one id for one job.',
  },
  cancelled: {
    status: 499,
    type: 'api_error',
    retryable: false,
    meaning: 'Cancelled by the caller.',
    wayOut: 'What was generated is paid for.',
  },
  deadline_exceeded: {
    status: 504,
    type: 'api_error',
    retryable: false,
    meaning: 'The deadline passed before an answer. A backend that was asked may charge for what it did.',
    wayOut: 'Raise `deadline_ms`, and `limits.requestDeadlineMs` where that is less.',
  },
  overloaded: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning: 'This router has as many requests in flight as its limit allows.',
    wayOut: 'Retry; add routers.',
  },
  key_rate: {
    status: 429,
    type: 'rate_limit_error',
    retryable: true,
    meaning: 'The key asks more often than its limits allow; no budget is short.',
    wayOut: 'Retry after `Retry-After` seconds.',
  },
  key_concurrency: {
    status: 429,
    type: 'rate_limit_error',
    retryable: true,
    meaning: 'The key has as many requests in flight as its own limit, or that of one gateway, allows.',
    wayOut: 'Wait for answers, or raise the `concurrency` of the key or `limits.requestsInFlightPerKey`.',
  },
  response_unknown: {
    status: 404,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'No response of the org is kept under this id.',
    wayOut: 'They are kept for `limits.responsesKeptHours`, unless the request said `store: false`.',
  },
  responses_unavailable: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning: 'What a request for a response refers to could not be read; it was not run.',
    wayOut: 'Send it again; if it stays so, look at the Postgres of the gateway.',
  },
  idempotency_unavailable: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning: 'The gateway cannot find out whether an `Idempotency-Key` is new, so the request was not run.',
    wayOut: 'Retry with the same key; look at Postgres.',
  },
  gateway_overloaded: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning: 'This gateway has as many requests in flight as its limit allows.',
    wayOut: 'Retry; add gateways, or raise `limits.requestsInFlightPerGateway`.',
  },
  gateway_stopped: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning: 'The gateway was stopped, and did not wait any longer for the rest of the answer.',
    wayOut: 'Retry, what was generated is paid for; raise `limits.drainMs` for longer answers.',
  },
  router_unavailable: {
    status: 503,
    type: 'api_error',
    retryable: true,
    meaning: 'No router took the request: none listens, or the gateway has lost NATS.',
    wayOut: 'Retry; look at `/health/ready` of gateway and routers.',
  },
  path_unknown: {
    status: 404,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The gateway has nothing at this path.',
    wayOut: 'The message lists the paths.',
  },
  method_unsupported: {
    status: 405,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The path is not asked with this HTTP method.',
    wayOut: 'The header `Allow` names the method.',
  },
  encoding_unsupported: {
    status: 415,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The body is compressed.',
    wayOut: 'Send it without `Content-Encoding`.',
  },
  read_timeout: {
    status: 408,
    type: 'invalid_request_error',
    retryable: true,
    meaning: 'The headers or the body of the request took too long to arrive.',
    wayOut: 'Retry on a better line, or raise `limits.requestReadTimeoutMs`.',
  },
  headers_too_large: {
    status: 431,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The headers of the request are above the limit.',
    wayOut: 'Shorten them, or raise `limits.headerBytes`.',
  },
  http_invalid: {
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
    meaning: 'The bytes received are not an HTTP request.',
    wayOut: 'Use an HTTP client.',
  },
  outcomes_full: {
    status: 429,
    type: 'rate_limit_error',
    retryable: true,
    meaning: 'The request has as many outcomes as one may have, or its org as many that wait for their requests.',
    wayOut: 'Report only of requests that were made, with `request_id` of the receipt.',
  },
  internal: {
    status: 500,
    type: 'api_error',
    retryable: true,
    meaning: 'A bug or a broken dependency.',
    wayOut: 'The log has the request id.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

export interface Refusal {
  code: ErrorCode;
  message: string;
  param?: string;
  retryAfterSeconds?: number;
  details?: Record<string, unknown>;
}

/** OpenAI's error body with the stable code. */
export function errorBody(refusal: Refusal, requestId?: string): Record<string, unknown> {
  return {
    error: {
      message: refusal.message,
      type: ERRORS[refusal.code].type,
      param: refusal.param ?? null,
      code: refusal.code,
      ...(refusal.retryAfterSeconds === undefined ? {} : { retry_after_seconds: refusal.retryAfterSeconds }),
      ...(refusal.details === undefined ? {} : { details: refusal.details }),
    },
    ...(requestId === undefined ? {} : { request_id: requestId }),
  };
}
