import { parseConfig, type BackendConfig, type BatchLine } from '@meritorder/contracts';

/** $1 and $4 per 1M tokens at once, half of it in batches, by two a batch at most. */
export const BACKEND: BackendConfig = parseConfig(
  `version: 1
orgs: [{ id: acme }]
backends:
  - id: gpt-batch
    kind: cloud
    provider: openai
    model: gpt-4.1
    contextTokens: 1000
    maxOutputTokens: 1000
    maxConcurrency: 2
    batch: {}
`,
  'test.yaml',
  {},
).backends[0]!;

const rates = (input: string, output: string) => ({
  inputPicosPerToken: input,
  cacheReadPicosPerToken: input,
  cacheWrite5mPicosPerToken: input,
  cacheWrite1hPicosPerToken: input,
  outputPicosPerToken: output,
  requestPicos: '0',
});
const cash = { ...rates('1000000', '4000000'), serviceTiers: { batch: rates('500000', '2000000') } };

/** An attempt that is open, of a job with a day's time. */
export function lineOf(attemptId: string): BatchLine {
  const attribution = { org: 'acme' };
  const requestId = `request-of-${attemptId}`;
  return {
    work: {
      terms: {
        attemptId,
        requestId,
        attemptNumber: 1,
        attribution,
        backend: BACKEND.id,
        provider: 'openai',
        model: BACKEND.model,
        kind: 'chat',
        epoch: 1,
        bound: { cashNanos: '1000000', fullNanos: '1000000' },
        windows: [],
        priceVersion: 'pv-1',
        reservedAt: '2026-11-24T09:29:00.000Z',
        deadlineAt: '2026-11-26T09:29:00.000Z',
      },
      body: { messages: [{ role: 'user', content: 'Hello.' }], max_tokens: 100 },
      stream: false,
      includeUsage: false,
      replyTo: '_INBOX_router.job.1',
      price: {
        id: 'pv-1',
        backend: BACKEND.id,
        effectiveFrom: '2025-01-01T00:00:00.000Z',
        cash,
        full: cash,
        source: 'test',
      },
      budgetsLeft: [],
      earlierAttempts: [],
      reason: 'the only one',
    },
    job: {
      requestId,
      org: 'acme',
      kind: 'chat',
      attribution,
      body: { model: 'gpt-batch', messages: [{ role: 'user', content: 'Hello.' }] },
      acceptedAt: '2026-11-24T09:29:00.000Z',
    },
    worker: 'worker-1',
    openedAt: '2026-11-24T09:30:00.000Z',
    call: { path: '', body: {} },
  };
}
