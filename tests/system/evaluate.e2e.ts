import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { seededRandom, usdToNanos } from '@meritorder/kernel';
import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { parse, stringify } from 'yaml';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const run = promisify(execFile);
const output = (usd: string) => [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: usd },
  },
];
/** Nobody knows which is better, and one outcome would change that. */
const unknown = { prior: 0.7, outcomes: 1 };
/** What their answers are truly worth, which no router is told before the end. */
const TRUTH: Readonly<Record<string, number>> = { plain: 0.4, better: 0.9 };
const REQUESTS = 700;

let product: Product;
let app: NatsConnection;
let database: DataSource;
const folder = mkdtempSync(join(tmpdir(), 'evaluate-'));

beforeAll(async () => {
  product = await startProduct({
    backends: [
      {
        id: 'plain',
        behaviour: { prices: { input: '0', output: '1' } },
        config: { prices: output('1'), quality: unknown },
      },
      {
        id: 'better',
        behaviour: { prices: { input: '0', output: '3' } },
        config: { prices: output('3'), quality: unknown },
      },
    ],
    config: {
      routes: [
        {
          id: 'auto',
          backends: ['plain', 'better'],
          objective: 'value',
          usdPerQualityPoint: '0.02',
          exploration: { spendShare: 1, requestShare: 0.5, holdOutShare: 0 },
        },
      ],
    },
  });
  app = await product.app();
  database = await connectDatabase(product.stack.database.url, 'test', 1);
});
afterAll(async () => {
  await database?.destroy();
  await product?.stop();
});

async function meritorder(...args: string[]): Promise<{ code: number; text: string }> {
  const { nats, passwords } = product.stack;
  const env = { ...process.env, NATS_URL: nats.url, NATS_PASSWORD: passwords!['operator']! };
  try {
    const options = { env, maxBuffer: 1 << 27 };
    return { code: 0, text: (await run(process.execPath, ['tools/cli/dist/main.js', ...args], options)).stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, text: stdout + stderr };
  }
}
/** The product's own configuration with another route. */
function policyWith(name: string, route: object): string {
  const file = join(folder, name);
  const written = parse(readFileSync(product.stack.options.configFile, 'utf8')) as { routes: object[] };
  writeFileSync(file, stringify({ ...written, routes: [{ ...written.routes[0], ...route }] }));
  return file;
}
async function all(work: (() => Promise<void>)[]): Promise<void> {
  const left = [...work];
  const worker = async (): Promise<void> => {
    for (let next = left.pop(); next; next = left.pop()) await next();
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

it('says of a policy that nobody ran what it would cost and how good it would be, as running it shows', async () => {
  const answers: { id: string; backend: string; usd: bigint }[] = [];
  const asking = (model: string, kept: typeof answers) => async (): Promise<void> => {
    const reply = await ask(app, chat('What is a merit order?', { model }));
    expect(errorCode(reply)).toBe('');
    const { request_id, backend, cost } = reply.json<any>().meritorder;
    kept.push({ id: request_id, backend, usd: usdToNanos(cost.usd) });
  };
  await all(Array.from({ length: REQUESTS }, () => asking('auto', answers)));
  const from = new Date(Date.now() - 3_600_000).toISOString();
  const to = new Date().toISOString();
  const random = seededRandom(20_261_125);
  await all(
    answers.map(({ id, backend }) => async () => {
      const body = { request_id: id, kind: 'thumbs', value: random() < TRUTH[backend]! };
      await app.request('outcome.reported.v1.acme', JSON.stringify(body), { timeout: 10_000 });
    }),
  );
  await waitFor(
    async () => {
      const [{ booked, said }] = await database.query(
        `select (select count(*) from attempt_settled)::int as booked,
           (select count(*) from outcomes where attempt_number is not null)::int as said`,
      );
      return booked >= REQUESTS && said >= REQUESTS;
    },
    { message: 'all are booked and judged', timeoutMs: 60_000 },
  );

  // Run as it would be: what it costs is counted, and its quality is the truth.
  const ran: typeof answers = [];
  await all(Array.from({ length: 200 }, () => asking('better', ran)));
  const trueUsd = ran.reduce((sum, { usd }) => sum + Number(usd) / 1e9, 0) / ran.length;
  const share = answers.filter((a) => a.backend === 'better').length / REQUESTS;
  expect(share).toBeGreaterThan(0.1);

  const file = policyWith('better.yaml', { backends: ['better'], exploration: false });
  const { code, text } = await meritorder('decisions', 'evaluate', '--policy', file, '--from', from, '--to', to);
  expect(code).toBe(0);
  const lines = text.trim().split('\n');
  const { metrics, requests, untriedShare } = JSON.parse(lines.at(-1)!);
  expect({ requests, untriedShare }).toEqual({ requests: REQUESTS, untriedShare: 0 });
  for (const { metric, estimate, effectiveSample } of metrics) {
    expect(effectiveSample).toBeGreaterThanOrEqual(200);
    const truth = metric === 'quality' ? TRUTH['better']! : trueUsd;
    for (const of of [estimate.ips, estimate.snips, estimate.doublyRobust]) {
      // Three times as wide as a 95 % interval, so that chance does not fail it (6 standard deviations).
      expect(Math.abs(of.value - truth)).toBeLessThan((3 * (of.high - of.low)) / 2 + 1e-9);
      expect(of.high - of.low).toBeLessThan(0.5 * truth);
    }
    const { low, high } = estimate.logged;
    expect(high).toBeLessThan(estimate.doublyRobust.low);
    expect(low).toBeGreaterThan(0);
  }
  expect(text).toContain(`${file} on ${REQUESTS} requests, decided from `);
  expect(text).toMatch(
    /^costs \$0\.0\d+ \[0\.0\d+, 0\.0\d+\] more in cash a request at a change of quality of \+0\.\d+ \[/m,
  );

  // The same from a file.
  const trace = join(folder, 'period.jsonl');
  writeFileSync(
    trace,
    (await meritorder('decisions', 'export', '--from', from, '--to', to)).text.replace(/^\d+ requests.*\n?$/m, ''),
  );
  const again = await meritorder('decisions', 'evaluate', '--policy', file, '--trace', trace, '--json');
  expect(JSON.parse(again.text)).toEqual(JSON.parse(lines.at(-1)!));
});

it('refuses where too little is known, and says what to do', async () => {
  const some = new Date(Date.now() - 3_600_000).toISOString();
  const nothing = await meritorder(
    'decisions',
    'evaluate',
    '--policy',
    product.stack.options.configFile,
    '--from',
    some,
    '--org',
    'globex',
  );
  expect(nothing.code).toBe(2);
  expect(nothing.text).toContain(`cannot be evaluated: no decisions of org globex from ${some} until before `);
  expect(nothing.text).toMatch(
    / are on record; there are those of acme from \S+ to \S+: choose one of these with --org\n/,
  );
  expect(JSON.parse(nothing.text.trim().split('\n').at(-1)!)).toMatchObject({
    requests: 0,
    metrics: [{ metric: 'quality', estimate: null, refusal: expect.stringContaining('choose one of these') }, {}, {}],
  });
  const small = policyWith('small.yaml', { backends: ['plain'] });
  const two = join(folder, 'two.jsonl');
  writeFileSync(two, readFileSync(join(folder, 'period.jsonl'), 'utf8').split('\n').slice(0, 2).join('\n'));
  const few = await meritorder('decisions', 'evaluate', '--policy', small, '--trace', two);
  expect(few.code).toBe(2);
  expect(few.text).toMatch(/quality: not enough data: \d requests say as much of this policy as \d of its own/);
  const whole = await meritorder('decisions', 'evaluate', '--policy', small, '--trace', two, '--org', 'acme');
  expect(whole).toMatchObject({ code: 1, text: expect.stringContaining('all of a --trace counts') });
  const none = join(folder, 'none.jsonl');
  writeFileSync(none, '\n');
  const empty = await meritorder('decisions', 'evaluate', '--policy', small, '--trace', none);
  expect(empty).toMatchObject({ code: 2, text: expect.stringContaining(`${none} has no decisions`) });
  const missing = await meritorder('decisions', 'evaluate', '--policy', join(folder, 'missing.yaml'));
  expect(missing.code).not.toBe(0);
  expect(missing.text).toMatch(/missing\.yaml/);
});
