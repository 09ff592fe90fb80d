import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Meritorder, MeritorderError, type ChatBody } from '@meritorder/client';
import { ExportedDecision, type Kind, type Receipt } from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import type { PolicyOutcome } from '@meritorder/simulation-core';
import { waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startProduct, type Product, type TestBackend } from './harness.js';

const run = promisify(execFile);
const startedAt = new Date().toISOString();
const perMillion = (input: string, output: string) => [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: input, outputUsdPerMillionTokens: output },
  },
];
const outputOnly = (usd: string) => ({ inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: usd });
/** Its quality is as good as known, and no outcome is reported. */
const backend = (id: string, prior: number, [input, output]: [string, string], more: object = {}): TestBackend => ({
  id,
  behaviour: { prices: { input, output } },
  config: { prices: perMillion(input, output), quality: { prior, outcomes: 10_000 }, ...more },
});

let product: Product;
let client: Meritorder;
const folder = mkdtempSync(join(tmpdir(), 'simulate-'));

beforeAll(async () => {
  product = await startProduct({
    backends: [
      backend('plain', 0.6, ['0.2', '1'], { capabilities: ['streaming'] }),
      backend('able', 0.8, ['1', '4'], { capabilities: ['streaming', 'tools', 'json', 'choices'] }),
      backend('best', 0.9, ['3', '15'], { capabilities: ['streaming', 'tools', 'json', 'choices', 'vision'] }),
      backend('twin', 0.89, ['2', '8'], { capabilities: ['streaming'] }),
      {
        id: 'own',
        kind: 'local',
        behaviour: { firstTokenMs: 10, outputTokensPerSecond: 2_000 },
        config: {
          prices: [
            {
              effectiveFrom: '2025-01-01T00:00:00Z',
              cash: outputOnly('0'),
              full: outputOnly('3'),
              marginal: outputOnly('0.1'),
            },
          ],
          quality: { prior: 0.7, outcomes: 10_000 },
          maxConcurrency: 24,
        },
      },
      {
        id: 'embedder',
        behaviour: { kind: 'embedding', prices: { input: '0.02' }, embeddingDimensions: 8 },
        config: { kinds: ['embeddings'], maxOutputTokens: 1, prices: perMillion('0.02', '0') },
      },
    ],
    config: {
      routes: [
        { id: 'auto', backends: ['plain', 'able', 'best', 'embedder'], exploration: false },
        {
          id: 'worth',
          backends: ['plain', 'able', 'best'],
          objective: 'value',
          usdPerQualityPoint: '0.001',
          exploration: false,
        },
        { id: 'fine', backends: ['plain', 'able', 'best'], objective: 'quality', exploration: false },
        { id: 'good', backends: ['able', 'best', 'twin'], exploration: false },
        { id: 'hybrid', backends: ['plain', 'own'], exploration: false },
        // Of streams alone, and nobody is configured to be as fast.
        { id: 'soon', backends: ['plain', 'able'], maxFirstTokenMs: 1, exploration: false },
      ],
      tiers: [
        { id: 'free', backends: ['plain'] },
        { id: 'gold', objective: 'value', usdPerQualityPoint: '0.05', charge: { markup: '1.5' } },
      ],
      budgets: [
        { id: 'month', selector: { org: 'acme' }, window: 'month', limitUsd: '100', pacing: 'off' },
        {
          id: 'spent',
          selector: { org: 'acme', feature: 'spent' },
          window: 'month',
          limitUsd: '0.003',
          pacing: 'off',
        },
      ],
    },
  });
  client = Meritorder.over(await product.app(), 'acme');
});
afterAll(async () => {
  await product?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const meritorder = async (...args: string[]): Promise<string> => {
  const { nats, passwords } = product.stack;
  const env = { ...process.env, NATS_URL: nats.url, NATS_PASSWORD: passwords!['operator']! };
  return (await run(process.execPath, ['tools/cli/dist/main.js', ...args], { env, maxBuffer: 1 << 26 })).stdout;
};

const say = (text: string) => [{ role: 'user', content: text }];
const STORY = say('Tell me a story of a merit order, and of all who stand in it, the cheapest first. '.repeat(20));
const TOOLS = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }];
type Body = { model?: string; stream?: boolean; [more: string]: unknown };
/** What is asked, by what is special about it; of the route `auto` unless it names another. */
const TRAFFIC: Record<string, { kind?: Kind; body: Body }> = {
  plain: { body: { messages: say('What is a merit order?'), max_tokens: 100 } },
  'without a length': { body: { messages: say('What is a merit order?') } },
  streamed: { body: { messages: STORY, max_tokens: 200, stream: true } },
  'with tools': { body: { messages: say('weather?'), max_tokens: 100, tools: TOOLS } },
  'a tool called before': {
    body: {
      messages: [
        ...say('weather?'),
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'c1', type: 'function', function: { name: 'weather', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
      ],
      max_tokens: 100,
    },
  },
  json: { body: { messages: say('as JSON'), max_tokens: 100, response_format: { type: 'json_object' } } },
  'two choices': { body: { messages: say('twice'), max_tokens: 100, n: 2 } },
  embeddings: { kind: 'embeddings', body: { input: ['a merit order', 'and another one'] } },
  'as messages': { kind: 'messages', body: { messages: say('hello'), max_tokens: 100 } },
  'as responses': { kind: 'responses', body: { input: 'hello', max_output_tokens: 100 } },
  'by a first token in time': { body: { model: 'soon', messages: say('hello'), max_tokens: 100 } },
  'by worth': { body: { model: 'worth', messages: say('hello'), max_tokens: 100 } },
  'by worth, long': { body: { model: 'worth', messages: STORY, max_tokens: 900 } },
  'by quality': { body: { model: 'fine', messages: say('hello'), max_tokens: 100 } },
  'by quality under a cap': {
    body: { model: 'fine', messages: say('hello'), max_tokens: 200, meritorder: { max_cost_usd: '0.001' } },
  },
  'by quality under a cap that shortens': {
    body: { model: 'fine', messages: say('hello'), max_tokens: 900, meritorder: { max_cost_usd: '0.002' } },
  },
  'under a cap that none meets': {
    body: { model: 'fine', messages: STORY, max_tokens: 200, meritorder: { max_cost_usd: '0.000001' } },
  },
  'of a least quality': { body: { messages: say('hello'), max_tokens: 100, meritorder: { min_quality: 0.75 } } },
  'worth its value': {
    body: { model: 'worth', messages: say('hello'), max_tokens: 100, meritorder: { value_usd: '0.5' } },
  },
  'of the free tier': { body: { model: 'fine', messages: say('hello'), max_tokens: 100, metadata: { tier: 'free' } } },
  'of the gold tier': {
    body: { messages: say('hello'), max_tokens: 100, metadata: { tier: 'gold', feature: 'chat' } },
  },
  'of a backend': { body: { model: 'best', messages: say('hello'), max_tokens: 100 } },
  'of a backend or as good a one': {
    body: { model: 'best', messages: say('hello'), max_tokens: 100, meritorder: { allow_substitution: true } },
  },
  'two choices under a cap': {
    body: { messages: say('twice'), max_tokens: 400, n: 2, meritorder: { max_cost_usd: '0.002' } },
  },
  'of own hardware': { body: { model: 'hybrid', messages: say('hello'), max_tokens: 100 } },
  'of own hardware, streamed and soon': {
    body: { model: 'hybrid', messages: STORY, max_tokens: 100, stream: true, meritorder: { deadline_ms: 20_000 } },
  },
  'of a backend or a better one': {
    body: { model: 'plain', messages: say('hello'), max_tokens: 100, meritorder: { allow_substitution: true } },
  },
};

interface Asked {
  name: string;
  /** Undefined: it was refused. */
  backend: string | undefined;
}

/** Asks all of it, one after the other. @returns by request */
async function askAll(): Promise<Map<string, Asked>> {
  const asked = new Map<string, Asked>();
  for (const [name, { kind = 'chat', body }] of Object.entries(TRAFFIC)) {
    const requestId = newId();
    let backend: string | undefined;
    try {
      backend = (await receiptOf(kind, { model: 'auto', ...body }, requestId)).backend;
    } catch (error) {
      if (!(error instanceof MeritorderError && error.code === 'cost_cap')) throw error;
    }
    asked.set(requestId, { name, backend });
  }
  return asked;
}

async function receiptOf(kind: Kind, body: Body, requestId: string): Promise<Receipt> {
  if (!body.stream) return (await client.send(kind, body, { requestId }))['meritorder'] as Receipt;
  const stream = client.stream(body as ChatBody, { requestId });
  await stream.text();
  return stream.receipt;
}

async function exported(count: number, from = startedAt): Promise<ExportedDecision[]> {
  return waitFor(
    async () => {
      const text = await meritorder('decisions', 'export', '--from', from);
      const lines = text
        .trim()
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => ExportedDecision.parse(JSON.parse(line)));
      const settled = lines.filter((l) => l.booked !== undefined || l.record.choice === null);
      return settled.length === count ? lines : undefined;
    },
    { message: 'all is decided and booked', timeoutMs: 60_000 },
  );
}

async function simulated(lines: readonly ExportedDecision[]) {
  const trace = join(folder, 'period.jsonl');
  writeFileSync(trace, lines.map((line) => JSON.stringify(line)).join('\n'));
  const { configFile } = product.stack.options;
  const report = JSON.parse(await meritorder('simulate', '--trace', trace, '--config', configFile, '--json'));
  return report.policies[0] as PolicyOutcome;
}

/** Who answered, or why nobody did, and what it cost. */
function outcomeOf({ answeredBy, rejected, cashNanos, fullNanos }: PolicyOutcome) {
  return { answeredBy, rejected, cashNanos, fullNanos };
}

function outcomeThen(backend: string | undefined, { record, booked }: ExportedDecision) {
  return {
    answeredBy: backend === undefined ? {} : { [backend]: 1 },
    rejected: record.refusal === null ? {} : { [record.refusal]: 1 },
    cashNanos: booked?.cashNanos ?? '0',
    fullNanos: booked?.fullNanos ?? '0',
  };
}

it('a period through the configuration that it was decided by is decided, refused and paid for as it was', async () => {
  const asked = await askAll();
  const lines = await exported(asked.size);
  const then = lines.map((line) => {
    const { name, backend } = asked.get(line.record.requestId)!;
    return { name, ...outcomeThen(backend, line) };
  });
  // What the traffic is for: everybody answers something, and one request is refused.
  const counts = countsOf(then.flatMap(({ answeredBy }) => Object.keys(answeredBy)));
  expect(Object.keys(counts)).toEqual(['able', 'best', 'embedder', 'own', 'plain', 'twin']);

  const again: object[] = [];
  for (const line of lines) {
    const { name } = asked.get(line.record.requestId)!;
    again.push({ name, ...outcomeOf(await simulated([line])) });
  }
  expect(again).toEqual(then);

  const sum = (of: (outcome: (typeof then)[number]) => string): string =>
    then.reduce((total, outcome) => total + BigInt(of(outcome)), 0n).toString();
  expect(outcomeOf(await simulated(lines))).toEqual({
    answeredBy: counts,
    rejected: { cost_cap: 1 },
    cashNanos: sum((of) => of.cashNanos),
    fullNanos: sum((of) => of.fullNanos),
  });
});

it('of a period are the prices that were taken in beside the configuration, and budgets have left what they had then', async () => {
  const of = (feature: string) => ({
    model: 'best',
    messages: say('Write 90 words.'),
    max_tokens: 100,
    metadata: { feature },
  });
  const ask = (feature: string) =>
    receiptOf('chat', of(feature), newId()).then(
      ({ cost }) => cost.price_version,
      (error: MeritorderError) => error.code,
    );
  await waitFor(async () => (await ask('spent')) === 'budget_exhausted', { message: 'spent', timeoutMs: 30_000 });
  const file = join(folder, 'prices.json');
  const effectiveFrom = new Date(Date.now() - 60_000).toISOString();
  const [price] = perMillion('3', '12');
  writeFileSync(file, JSON.stringify([{ ...price, effectiveFrom, source: 'a new contract' }]));
  const [, version] = /(pv-\w+)/.exec(await meritorder('prices', 'propose', 'best', file, '--by', 'ann'))!;
  await waitFor(async () => (await ask('other')) === version, { message: 'the price acts', timeoutMs: 30_000 });

  const from = new Date(Date.now() + 1).toISOString();
  await waitFor(async () => Date.now() > Date.parse(from), { message: 'another millisecond', timeoutMs: 1_000 });
  const codes = [await ask('spent'), await ask('other'), await ask('spent')];
  expect(codes).toEqual(['budget_exhausted', version, 'budget_exhausted']);
  const lines = await exported(3, from);
  const cashNanos = lines.find((line) => line.booked)!.booked!.cashNanos;
  expect(await simulated(lines)).toMatchObject({
    answeredBy: { best: 1 },
    rejected: { budget_exhausted: 2 },
    cashNanos,
    pricedOtherwise: {},
  });
});

function countsOf(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names.toSorted()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
