import type { BudgetThresholdCrossedV1 } from './events/budget-threshold-crossed.v1.js';
import type { EventType } from './events/index.js';
import type { InferenceResultV1 } from './events/inference-result.v1.js';
import type { MeteringUsageRatedV1 } from './events/metering-usage-rated.v1.js';
import type { RoutingDecisionMadeV1 } from './events/routing-decision-made.v1.js';
import type { UsageAttemptClosedV1 } from './events/usage-attempt-closed.v1.js';
import type { AttemptTerms } from './internal/work.v1.js';
import type { Rates, Usage } from './primitives.js';
import type { Receipt } from './receipt.js';

/** One example of everything published, for the generated documents and for tests, which check them by their schemas. */
const usage: Usage = {
  inputTokens: 1000,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 7,
  requests: 1,
};
const attribution = { org: 'acme', key: 'support-bot', department: 'support', feature: 'chatbot' };
const terms: AttemptTerms = {
  attemptId: '01932f9c-7d5e-7000-8000-0000000000a1',
  requestId: '01932f9c-7d5e-7000-8000-0000000000b1',
  attemptNumber: 1,
  attribution,
  backend: 'gpt-4-1-mini',
  provider: 'openai',
  model: 'gpt-4.1-mini',
  kind: 'chat',
  epoch: 3,
  bound: { cashNanos: '2219200', fullNanos: '2219200' },
  windows: [{ budget: 'acme-month', window: '2026-11', basis: 'cash' }],
  priceVersion: 'pv-82af24b7a66c85b4bef6d1cf',
  reservedAt: '2026-11-24T09:30:00.000Z',
  deadlineAt: '2026-11-24T09:32:00.000Z',
};
const rates: Rates = {
  inputPicosPerToken: '400000',
  cacheReadPicosPerToken: '100000',
  cacheWrite5mPicosPerToken: '400000',
  cacheWrite1hPicosPerToken: '400000',
  outputPicosPerToken: '1600000',
  requestPicos: '0',
};
const receipt: Receipt = {
  request_id: terms.requestId,
  backend: 'gpt-4-1-mini',
  model: 'gpt-4.1-mini',
  attempts: [{ attempt_id: terms.attemptId, backend: 'gpt-4-1-mini', outcome: 'finished' }],
  usage,
  cost: { usd: '0.0004112', full_usd: '0.0004112', basis: 'confirmed', price_version: terms.priceVersion },
  budgets_left: [{ budget: 'acme-month', window: '2026-11', basis: 'cash', left_usd: '412.08' }],
  reason: 'gpt-4-1-mini: the cheapest of 2 able backends at $0.00042 expected; next gpt-4-1 at $0.0021',
};
const completion = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1795512600,
  model: 'gpt-4.1-mini',
  choices: [
    { index: 0, message: { role: 'assistant', content: 'The cheapest that serves the load.' }, finish_reason: 'stop' },
  ],
  usage: { prompt_tokens: 1000, completion_tokens: 7, total_tokens: 1007 },
  meritorder: receipt,
};

export const EXAMPLES = {
  request: {
    model: 'auto',
    messages: [{ role: 'user', content: 'What is a merit order?' }],
    max_tokens: 200,
    metadata: { department: 'support', feature: 'chatbot' },
    meritorder: { max_cost_usd: '0.01' },
  },
  completion,
  receipt,
  events: {
    'usage.attempt-opened.v1': {
      ...terms,
      worker: '01932f9c-7d5e-7000-8000-0000000000c1',
      openedAt: '2026-11-24T09:30:00.004Z',
    },
    'usage.attempt-closed.v1': {
      ...terms,
      worker: '01932f9c-7d5e-7000-8000-0000000000c1',
      closedAt: '2026-11-24T09:30:01.204Z',
      outcome: 'finished',
      sent: true,
      refusedUpstream: false,
      usage,
      servedModel: 'gpt-4.1-mini',
      providerCallId: 'chatcmpl-1',
      firstTokenMs: 310,
      durationMs: 1200,
    } satisfies UsageAttemptClosedV1,
    'metering.usage-rated.v1': {
      attemptId: terms.attemptId,
      requestId: terms.requestId,
      revision: 1,
      state: 'confirmed',
      cause: 'closed',
      attribution,
      backend: terms.backend,
      provider: terms.provider,
      model: terms.model,
      kind: 'chat',
      usage,
      priceVersion: terms.priceVersion,
      cost: { cashNanos: '411200', fullNanos: '411200' },
      change: { cashNanos: '411200', fullNanos: '411200' },
      bound: terms.bound,
      windows: terms.windows,
      occurredAt: '2026-11-24T09:30:01.204Z',
      recordedAt: '2026-11-24T09:30:01.240Z',
    } satisfies MeteringUsageRatedV1,
    'routing.decision-made.v1': {
      requestId: terms.requestId,
      attemptId: terms.attemptId,
      attemptNumber: 1,
      attribution,
      kind: 'chat',
      route: 'auto',
      objective: 'cheapest',
      decidedAt: '2026-11-24T09:30:00.000Z',
      epoch: 3,
      inputTokensExpected: 980,
      inputTokensBound: 5148,
      outputTokensExpected: 500,
      maxTokens: 200,
      candidates: [
        {
          backend: 'gpt-4-1-mini',
          priceVersion: terms.priceVersion,
          expectedCashUsd: 0.00042,
          expectedFullUsd: 0.00042,
          boundCashNanos: '2219200',
          boundFullNanos: '2219200',
          excluded: null,
        },
        {
          backend: 'llama-3-3-70b',
          priceVersion: null,
          expectedCashUsd: null,
          expectedFullUsd: null,
          boundCashNanos: null,
          boundFullNanos: null,
          excluded: 'all workers are busy',
        },
      ],
      choice: 'gpt-4-1-mini',
      probability: 1,
      refusal: null,
      reason: receipt.reason,
    } satisfies RoutingDecisionMadeV1,
    'budget.threshold-crossed.v1': {
      budget: 'acme-month',
      budgetName: 'Acme, all cloud spend',
      org: 'acme',
      window: '2026-11',
      windowStart: '2026-10-31T23:00:00.000Z',
      windowEnd: '2026-11-30T23:00:00.000Z',
      timeZone: 'Europe/Berlin',
      basis: 'cash',
      threshold: 0.8,
      limitVersion: 1,
      limitNanos: '500000000000',
      settledNanos: '400000411200',
      unconfirmedNanos: '0',
      spentUsd: '400.0004112',
      limitUsd: '500',
      selector: { org: 'acme' },
      crossedAt: '2026-11-24T09:30:01.300Z',
    } satisfies BudgetThresholdCrossedV1,
    'inference.result.v1': {
      requestId: terms.requestId,
      org: 'acme',
      status: 'ok',
      body: completion,
      finishedAt: '2026-11-24T09:30:01.210Z',
    } satisfies InferenceResultV1,
    'price.version-published.v1': {
      version: {
        id: terms.priceVersion,
        backend: 'gpt-4-1-mini',
        effectiveFrom: '2025-01-01T00:00:00.000Z',
        cash: rates,
        full: rates,
        source: 'price list of 2025-01-01',
      },
      publishedAt: '2026-11-24T09:00:00.000Z',
    },
    'job.accepted.v1': {
      requestId: terms.requestId,
      org: 'acme',
      kind: 'chat',
      attribution,
      body: { model: 'auto', messages: [{ role: 'user', content: 'Summarise the month.' }] },
      acceptedAt: '2026-11-24T09:29:59.000Z',
    },
  } satisfies Record<EventType, object>,
};
