import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { OutcomeRecordedV1, OutcomeReply, type Receipt } from '@meritorder/contracts';
import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const run = promisify(execFile);
const perMillionOutput = (usd: string) => [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: usd },
  },
];
const prior = (quality: number) => ({ prior: quality, outcomes: 1_000 });

let product: Product;
let app: NatsConnection;
let database: DataSource;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      {
        id: 'small',
        behaviour: { prices: { input: '0', output: '1' } },
        config: { prices: perMillionOutput('1'), quality: prior(0.6) },
      },
      {
        id: 'large',
        behaviour: { prices: { input: '0', output: '10' } },
        config: { prices: perMillionOutput('10'), quality: prior(0.9) },
      },
      { id: 'closed', dead: true, config: { prices: perMillionOutput('0.01'), quality: prior(0.95) } },
    ],
    config: {
      routes: [
        {
          id: 'auto',
          backends: ['small', 'large', 'closed'],
          objective: 'value',
          usdPerQualityPoint: '0.02',
          exploration: false,
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
  const env = {
    ...process.env,
    NATS_URL: product.stack.nats.url,
    NATS_PASSWORD: product.stack.passwords!['operator']!,
  };
  try {
    return { code: 0, text: (await run(process.execPath, ['tools/cli/dist/main.js', ...args], { env })).stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, text: stdout + stderr };
  }
}
/** A request that was answered, once what it cost is booked and what was decided is on record. */
async function answered(): Promise<string> {
  const reply = await ask(app, chat('What is a merit order?', { metadata: { feature: 'chat' } }));
  expect(errorCode(reply)).toBe('');
  const { request_id, attempts } = reply.json<{ meritorder: Receipt }>().meritorder;
  // Not of one that failed before it: the decision that answered may come to the record after that.
  const answering = attempts.at(-1)!.attempt_id;
  await waitFor(
    async () =>
      (
        await database.query(
          `select 1 from decisions d join attempt_settled s on s.attempt_id = d.attempt_id where d.request_id = $1 and d.attempt_id = $2`,
          [request_id, answering],
        )
      ).length > 0,
    { message: 'decision and cost are on record' },
  );
  return request_id;
}
const report = async (body: object): Promise<OutcomeReply> =>
  OutcomeReply.parse((await app.request('outcome.reported.v1.acme', JSON.stringify(body))).json());

describe('a past request', () => {
  it('is explained with all candidates, its outcomes and its cost, and comes out the same when it is decided again', async () => {
    const heard: OutcomeRecordedV1[] = [];
    app.subscribe('outcome.recorded.v1.acme', {
      callback: (_error, message) => void heard.push(OutcomeRecordedV1.parse(message.json())),
    });
    await app.flush();
    const request_id = await answered();
    expect(await report({ request_id, kind: 'thumbs', value: true })).toMatchObject({ state: 'recorded' });
    expect(await report({ request_id, kind: 'thumbs', value: true })).toMatchObject({ state: 'known' });
    expect(await report({ request_id, kind: 'conversion', revenue_usd: '5.5' })).toMatchObject({ state: 'recorded' });
    await waitFor(() => heard.length === 2, { message: 'the org has heard of both outcomes' });
    expect(heard.find((e) => e.kind === 'thumbs')).toMatchObject({
      requestId: request_id,
      quality: { value: 1, weight: 1 },
      tags: expect.arrayContaining([expect.stringContaining('chat')]),
    });

    const explained = await meritorder('explain', request_id, '--replay');
    expect(explained.code).toBe(0);
    expect(explained.text).toMatch(/^request \S+ of acme, chat on route auto \(.*feature chat.*\)$/m);
    expect(explained.text).toMatch(/^attempt 1( of \d)?, .* UTC: chose (small|large|closed), the best score$/m);
    for (const backend of ['small', 'large', 'closed'])
      expect(explained.text).toMatch(new RegExp(`^[ 0-9]*  ${backend} `, 'm'));
    expect(explained.text).toMatch(/^booked: confirmed, finished, \$0\.\d+ in cash/m);
    expect(explained.text).toMatch(/^thumbs +up +/m);
    expect(explained.text).toMatch(/^conversion +converted, \$5\.5/m);
    expect(explained.text).toMatch(/^replay of attempt \d: the same order/m);
    expect(await meritorder('replay-decision', request_id, '--org', 'acme')).toMatchObject({ code: 0 });
  });

  it('whose record says otherwise than its numbers is told, by exit code 1; one too old to be replayed, by 2', async () => {
    const changed = await answered();
    await database.query(
      `update decisions set record = jsonb_set(record, '{draws,explore}', '0.5') ||
         jsonb_build_object('probability', 0.123) where request_id = $1`,
      [changed],
    );
    const replayed = await meritorder('replay-decision', changed);
    expect(replayed).toMatchObject({ code: 1 });
    expect(replayed.text).toMatch(/NOT the same\n.*probability: \S+ instead of 0\.123/);

    const old = await answered();
    await database.query(
      `update decisions set record = record - array['policy', 'draws', 'order', 'choiceKind'] where request_id = $1`,
      [old],
    );
    expect(await meritorder('explain', old)).toMatchObject({
      code: 0,
      text: expect.stringContaining('cannot be replayed'),
    });
    expect(await meritorder('replay-decision', old)).toMatchObject({
      code: 2,
      text: expect.stringContaining('not replayable'),
    });
  });

  it('that nobody made is said to be unknown', async () => {
    expect(await meritorder('explain', 'nothing')).toMatchObject({
      code: 1,
      text: expect.stringContaining('no decision is on record for nothing'),
    });
  });
});
