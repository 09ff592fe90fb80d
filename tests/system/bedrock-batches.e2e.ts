import { waitFor } from '@meritorder/testing';
import { headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BEDROCK, BEDROCK_ENV, bedrockJobs, bedrockPlaces } from './bedrock-batch.js';
import { chat } from './harness.js';
import { expectBooksAsInvoice, expectOneResultEach, startJobs, type JobsWorld } from './jobs-world.js';

const COMPLETION_SECONDS = 60;
const FEWEST = 4;
const rates = { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' };
const prices = [{ effectiveFrom: '2025-01-01T00:00:00Z', cash: rates }];
const batchPrices = [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash: { ...rates, serviceTiers: { batch: { percentOfStandard: '50' } } } },
];
const batch = { completionSeconds: COMPLETION_SECONDS, collectSeconds: 0.5, pollSeconds: 0.2 };
const WITH_TOOLS = { capabilities: ['streaming', 'tools'] };
const TOOLS = [{ type: 'function', function: { name: 'clock', parameters: { type: 'object', properties: {} } } }];

let world: JobsWorld;
let { product, app, results } = {} as JobsWorld;

beforeAll(async () => {
  world = await startJobs('bedrock-batches-test', {
    env: BEDROCK_ENV,
    backends: [
      { id: 'nova', config: { prices, ...BEDROCK, ...WITH_TOOLS }, behaviour: { batchMinRecords: FEWEST } },
      {
        id: 'nova-batch',
        config: { model: 'nova', prices: batchPrices, ...BEDROCK },
        configAt: (url) => ({ batch: { ...batch, bedrock: bedrockPlaces(url, { minRecords: FEWEST }) } }),
      },
      { id: 'claude', config: { prices, ...BEDROCK, ...WITH_TOOLS } },
      {
        id: 'claude-batch',
        config: { model: 'claude', prices: batchPrices, ...BEDROCK, ...WITH_TOOLS },
        configAt: (url) => ({ batch: { ...batch, bedrock: bedrockPlaces(url, { format: 'messages' }) } }),
      },
    ],
    config: {
      orgs: [{ id: 'acme' }],
      routes: [
        { id: 'amazon', backends: ['nova', 'nova-batch'], exploration: false },
        { id: 'anthropic', backends: ['claude', 'claude-batch'], exploration: false },
      ],
      budgets: [{ id: 'org', selector: { org: 'acme' }, window: 'total', limitUsd: '10' }],
      // A job that waits for others does so for longer than one run of it may take.
      limits: { requestDeadlineMs: 2_000, unconfirmedGraceMs: 1_000, jobsInFlightPerRouter: 64 },
    },
  });
  ({ product, app, results } = world);
});
afterAll(() => world?.stop());

async function job(
  model: string,
  text: string,
  waitSeconds: number,
  more: object = {},
  kind = 'chat',
): Promise<string> {
  const h = headers();
  h.set('Meritorder-Kind', kind);
  const meritorder = { deadline_ms: (COMPLETION_SECONDS + waitSeconds) * 1_000 };
  const body = chat(text, { model, meritorder, ...more });
  const { request_id, error } = (
    await app.request('inference.job.v1.acme', body, { timeout: 5_000, headers: h })
  ).json<any>();
  expect(error).toBeUndefined();
  return request_id;
}
async function backendOf(id: string): Promise<string> {
  const { status, body } = await waitFor(() => results.get(id)?.[0], { message: `${id} to end`, timeoutMs: 30_000 });
  expect([id, status, body.error]).toEqual([id, 'ok', undefined]);
  return body.meritorder.backend;
}

it.each([
  ['chat completions', 'chat', 5, { tools: TOOLS }],
  ['messages as they came', 'messages', 6, { tools: [{ name: 'clock', input_schema: { type: 'object' } }] }],
])('models of Anthropic are asked for %s with tools in batches', async (_what, kind, words, tools) => {
  const id = await job('anthropic', `Write ${words} words.`, 600, tools, kind);
  expect(await backendOf(id)).toBe('claude-batch');
  const line = product.simulator.invoice().lines.find((l) => l.model === 'claude' && l.outputTokens === words)!;
  expect(Number(line.nanoUsd)).toBe((line.inputTokens * 1_000 + line.outputTokens * 2_000) / 2);
});

it('tools of any other model are called at once, for no batch of Converse may have them', async () => {
  expect(await backendOf(await job('amazon', 'Write 5 words.', 600, { tools: TOOLS }))).toBe('nova');
});

it('too few jobs for a batch wait as long as one could still end in time, and are called at once then', async () => {
  const before = (await bedrockJobs(product.simulator.url)).length;
  const askedAtMs = performance.now();
  const id = await job('amazon', 'Write 6 words.', 5);
  expect(await backendOf(id)).toBe('nova');
  expect(performance.now() - askedAtMs).toBeGreaterThan(4_000);
  expect(await bedrockJobs(product.simulator.url)).toHaveLength(before);
});

it('enough of them go together, those that came long before the last too', async () => {
  // Each of two workers collects for itself: one of them has enough, and both may.
  const ids = await Promise.all(
    Array.from({ length: FEWEST - 1 }, (_, i) => job('amazon', `Write ${i + 2} words.`, 10)),
  );
  const since = performance.now();
  await waitFor(() => performance.now() - since > 2_500, 'the time of one run to pass');
  ids.push(
    ...(await Promise.all(Array.from({ length: FEWEST }, (_, i) => job('amazon', `Write ${i + 9} words.`, 10)))),
  );
  const backends = await Promise.all(ids.map(backendOf));
  expect(backends.filter((b) => b === 'nova-batch').length).toBeGreaterThanOrEqual(FEWEST);
  const jobs = (await bedrockJobs(product.simulator.url)).filter((j) => j.modelId === 'nova');
  expect(jobs.map((j) => j.status)).toEqual(jobs.map(() => 'Completed'));
  expect(jobs.every((j) => j.totalRecordCount >= FEWEST)).toBe(true);
});

it('a job whose worker is killed while it waits for others is run again, and is answered', async () => {
  const ids = await Promise.all([3, 4].map((words) => job('amazon', `Write ${words} words.`, 20)));
  const since = performance.now();
  await waitFor(() => performance.now() - since > 2_500, 'the time of one run to pass');
  for (const { child, ended } of product.stack.of('provider-worker').slice()) {
    child.kill('SIGKILL');
    await ended;
  }
  for (const id of ids) expect(['nova', 'nova-batch']).toContain(await backendOf(id));
});

it('every job has one result, and the books equal the invoice', async () => {
  expectOneResultEach(world, results.keys());
  const { unconfirmed, calls } = await expectBooksAsInvoice(world);
  console.log(`batches of Bedrock: ${JSON.stringify({ results: results.size, calls, unconfirmed })}`);
  expect(unconfirmed).toBe(0);
});
