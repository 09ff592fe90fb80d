import { usdToNanos } from '@meritorder/kernel';
import { waitFor } from '@meritorder/testing';
import { headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BEDROCK, BEDROCK_ENV, bedrockJobs, bedrockPlaces } from './bedrock-batch.js';
import { ask, chat, errorCode } from './harness.js';
import { expectBooksAsInvoice, expectOneResultEach, startJobs, type JobsWorld } from './jobs-world.js';

const COMPLETION_SECONDS = 60;
const LONG_MS = 600_000;
const rates = { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' };
const prices = [{ effectiveFrom: '2025-01-01T00:00:00Z', cash: rates }];
const batchPrices = [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash: { ...rates, serviceTiers: { batch: { percentOfStandard: '50' } } } },
];
const batch = { completionSeconds: COMPLETION_SECONDS, collectSeconds: 0.5, pollSeconds: 0.2 };

const ROUTES = ['openai', 'anthropic', 'azure', 'mistral', 'gemini', 'bedrock'];
const AZURE = { protocol: 'azure', apiKeyEnv: 'AZURE_KEY' };

let world: JobsWorld;
let { product, app, counters, database, results } = {} as JobsWorld;

beforeAll(async () => {
  world = await startJobs('batches-test', {
    env: { AZURE_KEY: 'key', ...BEDROCK_ENV },
    backends: [
      { id: 'gpt', config: { prices } },
      { id: 'gpt-batch', config: { model: 'gpt', prices: batchPrices, batch } },
      { id: 'claude', config: { prices, protocol: 'anthropic' } },
      { id: 'claude-batch', config: { model: 'claude', prices: batchPrices, protocol: 'anthropic', batch } },
      { id: 'az', config: { prices, ...AZURE } },
      { id: 'az-batch', config: { model: 'az', prices: batchPrices, ...AZURE, batch } },
      { id: 'le', config: { prices, provider: 'mistral' } },
      { id: 'le-batch', config: { model: 'le', prices: batchPrices, provider: 'mistral', batch } },
      { id: 'flash', config: { prices, protocol: 'gemini' } },
      { id: 'flash-batch', config: { model: 'flash', prices: batchPrices, protocol: 'gemini', batch } },
      { id: 'nova', config: { prices, ...BEDROCK } },
      {
        id: 'nova-batch',
        config: { model: 'nova', prices: batchPrices, ...BEDROCK },
        configAt: (url) => ({ batch: { ...batch, bedrock: bedrockPlaces(url) } }),
      },
      { id: 'vectors', behaviour: { kind: 'embedding' }, config: { kinds: ['embeddings'], prices, model: 'vectors' } },
      {
        id: 'vectors-batch',
        behaviour: { kind: 'embedding' },
        config: { kinds: ['embeddings'], model: 'vectors', prices: batchPrices, batch },
      },
    ],
    config: {
      orgs: [{ id: 'acme' }],
      routes: [
        { id: 'openai', backends: ['gpt', 'gpt-batch'], exploration: false },
        { id: 'anthropic', backends: ['claude', 'claude-batch'], exploration: false },
        { id: 'azure', backends: ['az', 'az-batch'], exploration: false },
        { id: 'mistral', backends: ['le', 'le-batch'], exploration: false },
        { id: 'gemini', backends: ['flash', 'flash-batch'], exploration: false },
        { id: 'bedrock', backends: ['nova', 'nova-batch'], exploration: false },
        { id: 'embed', backends: ['vectors', 'vectors-batch'], exploration: false },
      ],
      tiers: [{ id: 'gold', charge: { markup: '2', usdPerRequest: '0' } }],
      budgets: [{ id: 'org', selector: { org: 'acme' }, window: 'total', limitUsd: '10' }],
      limits: { requestDeadlineMs: 10_000, unconfirmedGraceMs: 1_000, jobsInFlightPerRouter: 64 },
    },
  });
  ({ product, app, counters, database, results } = world);
});
afterAll(() => world?.stop());

const gate = (model: string, closed: boolean) => product.simulator.control.gate(model, closed);

async function job(model: string, text: string, more: object = {}, kind = 'chat'): Promise<string> {
  const h = headers();
  h.set('Meritorder-Kind', kind);
  const body =
    kind === 'embeddings' || kind === 'responses'
      ? { model, input: text, metadata: { tier: 'gold', customer: 'initech' }, ...more }
      : JSON.parse(chat(text, { model, metadata: { tier: 'gold', customer: 'initech' }, ...more }));
  if (kind === 'messages') {
    body.meritorder = { ...body.meritorder, metadata: body.metadata };
    delete body.metadata;
  }
  const reply = await app.request('inference.job.v1.acme', JSON.stringify(body), { timeout: 5_000, headers: h });
  const { request_id, error } = reply.json<any>();
  expect(error).toBeUndefined();
  return request_id;
}
const patient = { meritorder: { deadline_ms: LONG_MS } };
const resultOf = (id: string, timeoutMs = 30_000): Promise<any> =>
  waitFor(() => results.get(id)?.[0], { message: `the result of ${id}`, timeoutMs });
const linesOf = (model: string): any[] => product.simulator.invoice().lines.filter((l: any) => l.model === model);
const attemptsOf = (id: string): Promise<{ attemptId: string; backend: string; state: string; outcome: string }[]> =>
  database.query(
    `select attempt_id as "attemptId", backend, state, outcome from attempt where request_id = $1 order by reserved_at`,
    [id],
  );
/** Of own counting: nano-USD at half of $1 and $2 per 1M. */
const halfPrice = (line: any): number => (line.inputTokens * 1_000 + line.outputTokens * 2_000) / 2;

it.each([
  ['chat completions in a batch of OpenAI', 'openai', 'gpt', 'chat', 'gpt-batch'],
  ['messages in one of Anthropic, as they came', 'anthropic', 'claude', 'messages', 'claude-batch'],
  ['chat completions in one of Anthropic', 'anthropic', 'claude', 'chat', 'claude-batch'],
  ['messages in one of OpenAI', 'openai', 'gpt', 'messages', 'gpt-batch'],
  ['chat completions in one of Azure', 'azure', 'az', 'chat', 'az-batch'],
  ['chat completions in one of Mistral', 'mistral', 'le', 'chat', 'le-batch'],
  ['chat completions in one of Gemini', 'gemini', 'flash', 'chat', 'flash-batch'],
  ['messages in one of Gemini', 'gemini', 'flash', 'messages', 'flash-batch'],
  ['chat completions in one of Bedrock', 'bedrock', 'nova', 'chat', 'nova-batch'],
  ['messages in one of Bedrock', 'bedrock', 'nova', 'messages', 'nova-batch'],
  ['responses in one of OpenAI', 'openai', 'gpt', 'responses', 'gpt-batch'],
  ['embeddings in one of OpenAI', 'embed', 'vectors', 'embeddings', 'vectors-batch'],
])('%s: jobs that may wait are answered together at half the price', async (_what, route, model, kind, backend) => {
  const before = linesOf(model).length;
  const ids = await Promise.all([3, 7, 12].map((words) => job(route, `Write ${words} words.`, patient, kind)));
  for (const id of ids) {
    const { status, body } = await resultOf(id);
    expect([status, body.meritorder?.backend]).toEqual(['ok', backend]);
    const { attempts, cost } = body.meritorder;
    const line = linesOf(model).find((l) => l.clientRequestId === attempts.at(-1).attempt_id);
    expect(Number(line.nanoUsd)).toBe(kind === 'embeddings' ? line.inputTokens * 500 : halfPrice(line));
    expect(usdToNanos(cost.usd)).toBe(BigInt(line.nanoUsd));
    expect(usdToNanos(cost.charged_usd)).toBe(2n * BigInt(line.nanoUsd));
    const shape = { chat: 'chat.completion', messages: 'message', embeddings: 'list', responses: 'response' }[kind];
    expect(body.object ?? body.type).toBe(shape);
  }
  expect(linesOf(model)).toHaveLength(before + 3);
});

it('what may not wait so long is called at once, and what is no job cannot be in a batch', async () => {
  const soon = await job('openai', 'Write 4 words.', { meritorder: { deadline_ms: (COMPLETION_SECONDS - 1) * 1_000 } });
  const { body } = await resultOf(soon);
  expect(body.meritorder.backend).toBe('gpt');
  expect((await ask(app, chat('Write 4 words.', { model: 'openai' }))).json<any>().meritorder.backend).toBe('gpt');
  const refused = await ask(app, chat('Write 4 words.', { model: 'gpt-batch' }));
  expect(errorCode(refused)).toBe('no_able_backend');
  expect(refused.json<any>().error.message).toContain('is asked in batches');
});

it.each([
  ['OpenAI', 'openai', 'gpt'],
  ['Bedrock', 'bedrock', 'nova'],
] as const)(
  'while a batch of %s is open its holds stay at the price of batches, whatever is killed, and another worker goes on with it',
  async (_whose, route, model) => {
    gate(model, true);
    const before = linesOf(model).length;
    const ids = await Promise.all(Array.from({ length: 8 }, (_, i) => job(route, `Write ${10 + i} words.`, patient)));
    const opened = await waitFor(async () => {
      const all = (await Promise.all(ids.map(attemptsOf))).flat();
      return all.length === 8 && all.every((a) => a.state === 'opened') && all;
    }, 'all to be open');
    expect(new Set(opened.map((a) => a.backend))).toEqual(new Set([`${model}-batch`]));
    // Each worker has made one of those that it had. One killed while it sends is another matter.
    await waitFor(async () => (await linesWaiting(model)) === 8, 'all to be sent');
    for (const name of ['provider-worker', 'router'] as const)
      for (const { child, ended } of product.stack.of(name).slice()) {
        child.kill('SIGKILL');
        await ended;
      }
    await waitFor(() => product.stack.of('provider-worker').length === 2 && product.stack.of('router').length === 2, {
      message: 'all to be back',
      timeoutMs: 30_000,
    });
    const [{ bound }] = await database.query(
      `select sum((bound ->> 'cashNanos')::bigint)::text as bound from (select terms -> 'bound' as bound from attempt where state = 'opened') a`,
    );
    const held = (await counters.inspectWindows()).find((w) => w.budget === 'org')!;
    expect(held.reservedNanos).toBe(BigInt(bound));
    // 100 output tokens at $1 per 1M, and a prompt of some bytes more.
    expect(Number(bound) / 8).toBeLessThan(200_000);
    gate(model, false);
    for (const id of ids) {
      const { status, body } = await resultOf(id);
      expect([status, body.meritorder.backend, body.meritorder.attempts.length]).toEqual(['ok', `${model}-batch`, 1]);
      expect(await attemptsOf(id)).toHaveLength(1);
    }
    // None was sent a second time.
    expect(linesOf(model)).toHaveLength(before + 8);
  },
);

it.each([
  ['OpenAI', 'openai', 'gpt'],
  ['Gemini', 'gemini', 'flash'],
  ['Bedrock', 'bedrock', 'nova'],
] as const)(
  'a job whose line fails or expires in a batch of %s is called at once, and pays for that call alone',
  async (_whose, route, model) => {
    for (const fault of [{ batchExpireRate: 1 }, { errorRate: 1 }]) {
      gate(model, true);
      product.simulator.control.faults(model, fault);
      const before = linesOf(model).length;
      const id = await job(route, 'Write 6 words.', patient);
      await waitFor(async () => (await linesWaiting(model)) === 1, 'the batch to be sent');
      gate(model, false);
      await waitFor(async () => (await linesWaiting(model)) === 0, 'the batch to end');
      product.simulator.control.faults(model, { batchExpireRate: 0, errorRate: 0 });
      const { status, body } = await resultOf(id);
      expect([status, body.meritorder.backend]).toEqual(['ok', model]);
      expect(linesOf(model)).toHaveLength(before + 1);
      const [first, second] = await waitFor(async () => {
        const all = await attemptsOf(id);
        return all.length === 2 && all.every((a) => a.state !== 'opened') && all;
      }, 'both to be booked');
      expect(first).toMatchObject({ backend: `${model}-batch`, outcome: 'failed', state: 'free' });
      expect(second).toMatchObject({ backend: model, outcome: 'finished' });
    }
  },
);

it('the file that calls came in is not left at Azure and at Mistral when their batch has ended', async () => {
  const files = [
    ...(await batches()).filter((b) => b.endpoint === '/chat/completions').map((b) => b.input_file_id),
    ...(await batches('/v1/batch/jobs')).flatMap((job) => job.input_files),
  ];
  expect(files.length).toBeGreaterThanOrEqual(2);
  for (const file of files) expect((await fetch(`${product.simulator.url}/v1/files/${file}`)).status).toBe(404);
});

it('a job that is cancelled while it waits in a batch: not sent it costs nothing, sent it is booked, and with all of a batch the batch is cancelled', async () => {
  const cancel = (id: string) => app.publish(`inference.cancel.v1.acme.${id}`);
  const isCancelled = async (id: string): Promise<void> => {
    const { status, body } = await resultOf(id);
    expect([status, body.error.code, body.error.request_id ?? id]).toEqual(['error', 'cancelled', id]);
  };
  const open = (id: string, state: string) =>
    waitFor(async () => {
      const [attempt] = await attemptsOf(id);
      return attempt?.state === state && attempt;
    }, `${id} to be ${state}`);
  for (const [route, model] of [
    ['openai', 'gpt'],
    ['anthropic', 'claude'],
    ['azure', 'az'],
    ['mistral', 'le'],
    ['gemini', 'flash'],
    ['bedrock', 'nova'],
  ] as const) {
    gate(model, true);
    const before = linesOf(model).length;
    const reserved = async () => (await counters.inspectWindows()).find((w) => w.budget === 'org')?.reservedNanos ?? 0n;
    const held = await reserved();
    const waiting = await job(route, 'Write 4 words.', patient);
    await waitFor(async () => (await reserved()) > held, 'a router to have it');
    cancel(waiting);
    await isCancelled(waiting);
    const ids = await Promise.all(Array.from({ length: 4 }, (_, i) => job(route, `Write ${5 + i} words.`, patient)));
    const attempts = await Promise.all(ids.map((id) => open(id, 'opened')));
    expect(attempts.map((a) => a.backend)).toEqual(ids.map(() => `${model}-batch`));
    // Two workers make two batches, and one that is not sent would leave its line out.
    await waitFor(async () => (await linesWaiting(model)) === ids.length, 'all to be sent');
    cancel(ids[0]!);
    await isCancelled(ids[0]!);
    gate(model, false);
    for (const id of ids.slice(1)) expect((await resultOf(id)).status).toBe('ok');
    const booked = await waitFor(async () => {
      const [attempt] = await attemptsOf(ids[0]!);
      return attempt?.state !== 'opened' && attempt;
    }, 'the cancelled one to be booked');
    expect(booked).toMatchObject({ state: 'confirmed', outcome: 'cancelled' });
    expect(linesOf(model)).toHaveLength(before + 4);
    gate(model, true);
    const all = await Promise.all([6, 7].map((words) => job(route, `Write ${words} words.`, patient)));
    await Promise.all(all.map((id) => open(id, 'opened')));
    await waitFor(async () => (await linesWaiting(model)) === all.length, 'all to be sent again');
    for (const id of all) cancel(id);
    for (const id of all) await isCancelled(id);
    // The gate stays closed: it is the provider that ends them.
    for (const id of all) await open(id, 'free');
    gate(model, false);
    expect(linesOf(model)).toHaveLength(before + 4);
    for (const id of [waiting, ...ids, ...all]) expect((await attemptsOf(id)).length).toBeLessThanOrEqual(1);
  }
});

it.each([
  ['by its name in OpenAI', 'openai', 'gpt'],
  ['by its name in Azure', 'azure', 'az'],
  ['by its name in Mistral', 'mistral', 'le'],
  ['by its name in Gemini', 'gemini', 'flash'],
  ['by its name in Bedrock', 'bedrock', 'nova'],
  [
    "among others of its time by the ids of its calls, which are Anthropic's to tell when it has ended",
    'anthropic',
    'claude',
  ],
])('a batch of which nobody heard that it was taken is found again: %s', async (_how, route, model) => {
  gate(model, true);
  const sent = product.simulator.control.stats().models[model]!.held;
  const other = await job(route, 'Write 9 words.', patient);
  await waitFor(() => product.simulator.control.stats().models[model]!.held > sent, 'another batch to be there');
  product.simulator.control.faults(model, { batchCutRate: 1 });
  const before = linesOf(model).length;
  const id = await job(route, 'Write 6 words.', patient);
  await waitFor(() => product.simulator.control.stats().models[model]!.held > sent + 1, 'the batch to be taken');
  product.simulator.control.faults(model, { batchCutRate: 0 });
  gate(model, false);
  for (const one of [other, id]) {
    const { status, body } = await resultOf(one);
    expect([status, body.meritorder.backend, body.meritorder.attempts.length]).toEqual(['ok', `${model}-batch`, 1]);
  }
  expect(linesOf(model)).toHaveLength(before + 2);
});

it('under kill -9 all along: every job has one result, books equal the invoice, each job is charged at most once', async () => {
  const ids: string[] = [];
  for (let round = 0; round < 5; round++) {
    const some = Array.from({ length: 12 }, (_, i) =>
      waitFor(() => job(ROUTES[i % ROUTES.length]!, `Write ${5 + i} words.`, patient), {
        message: 'the job to be kept',
        timeoutMs: 20_000,
      }),
    );
    ids.push(...(await Promise.all(some)));
    // Anywhere between the first of a batch and its end.
    const at = performance.now() + round * 200;
    await waitFor(() => performance.now() >= at, 'the strike');
    const name = round % 2 ? 'router' : 'provider-worker';
    const victim = await waitFor(() => product.stack.of(name)[0], name);
    victim.child.kill('SIGKILL');
    await victim.ended;
  }
  await waitFor(() => ids.every((id) => results.has(id)), { message: 'all results', timeoutMs: 120_000 });
  for (const id of ids)
    expect(results.get(id)![0]).toMatchObject({ status: 'ok', body: { meritorder: { request_id: id } } });
  expect(expectOneResultEach(world, ids)).toEqual({ ok: ids.length });
  const { unconfirmed, calls } = await expectBooksAsInvoice(world, { le: 'mistral' });
  const [row] = await database.query(
    `select count(*)::int as jobs, max(times)::int as "mostCharges", sum(attempts)::int as attempts from
     (select count(*) as attempts, count(*) filter (where s.charged_nanos > 0) as times
      from attempt a join attempt_settled s using (attempt_id) group by a.request_id) r`,
  );
  console.log(`batches: ${JSON.stringify({ ...row, results: results.size, calls, unconfirmed })}`);
  expect(row.mostCharges).toBe(1);
}, 240_000);

/** In batches that the provider has and has not ended. */
async function linesWaiting(model: 'gpt' | 'claude' | 'az' | 'le' | 'flash' | 'nova'): Promise<number> {
  const sum = (counts: number[]): number => counts.reduce((a, b) => a + b, 0);
  switch (model) {
    case 'le': {
      const running = (await batches('/v1/batch/jobs')).filter((j) => j.status === 'RUNNING');
      return sum(running.map((j) => j.total_requests));
    }
    case 'claude':
      return sum((await batches('/v1/messages/batches?limit=1000')).map((b) => b.request_counts.processing));
    case 'flash': {
      const operations = await batches('/v1beta/batches?pageSize=1000', 'operations');
      return sum(operations.map(({ metadata }) => Number(metadata.batchStats.pendingRequestCount ?? 0)));
    }
    case 'nova': {
      const running = (await bedrockJobs(product.simulator.url)).filter((j) => j.status === 'InProgress');
      return sum(running.map((j) => j.totalRecordCount));
    }
    default: {
      const running = (await batches()).filter((b) => b.status === 'in_progress');
      return sum(running.map((b) => b.request_counts.total));
    }
  }
}

/** The newest first; those of OpenAI and Azure where no path says others. */
async function batches(path = '/v1/batches', name = 'data'): Promise<any[]> {
  return ((await (await fetch(`${product.simulator.url}${path}`)).json()) as Record<string, any[]>)[name]!;
}
