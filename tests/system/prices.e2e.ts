import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Counters } from '@meritorder/counters';
import { usdToNanos } from '@meritorder/kernel';
import { connectDatabase, windowTotals } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const run = promisify(execFile);
let product: Product;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      // The catalogue's price of gpt-4.1-mini, as the stand-in bills it.
      {
        id: 'catalogued',
        behaviour: { prices: { input: '0.4', cachedInput: '0.1', output: '1.6' }, promptCache: true },
        config: { prices: [], catalogue: 'openai/gpt-4.1-mini', modelAliases: ['catalogued'] },
      },
      // Prices that no other test has: long context, times of day, a fee; what fractions of a nano-dollar they leave is rounded.
      {
        id: 'tiered',
        config: {
          prices: [
            {
              effectiveFrom: '2025-01-01T00:00:00Z',
              cash: {
                inputUsdPerMillionTokens: '0.033333',
                cacheReadUsdPerMillionTokens: '0.003333',
                outputUsdPerMillionTokens: '0.100001',
                requestUsd: '0.000001007',
                contextTiers: [
                  {
                    overInputTokens: 1_000,
                    inputUsdPerMillionTokens: '0.066667',
                    outputUsdPerMillionTokens: '0.150003',
                  },
                ],
                timeBands: ['00:00-08:00', '08:00-16:00', '16:00-00:00'].map((hours, i) => ({
                  fromUtc: hours.slice(0, 5),
                  toUtc: hours.slice(6),
                  inputUsdPerMillionTokens: `0.0${i + 1}1111`,
                  outputUsdPerMillionTokens: `0.${i + 1}00001`,
                  contextTiers: [
                    {
                      overInputTokens: 1_000,
                      inputUsdPerMillionTokens: `0.0${i + 5}7777`,
                      outputUsdPerMillionTokens: '0.7',
                    },
                  ],
                })),
              },
            },
          ],
        },
      },
      { id: 'unknown', config: { prices: [], catalogue: 'openai/never-heard-of' } },
      {
        id: 'late',
        behaviour: { prices: { input: '1', output: '2' } },
        config: {
          prices: [
            {
              effectiveFrom: '2025-01-01T00:00:00Z',
              cash: { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' },
            },
          ],
        },
      },
    ],
    config: {
      budgets: [{ id: 'acme-late', selector: { org: 'acme', backend: 'late' }, window: 'month', limitUsd: '1' }],
    },
  });
});
afterAll(() => product.stop());

async function meritorder(...args: string[]): Promise<{ code: number; text: string }> {
  const env = {
    ...process.env,
    NATS_URL: product.stack.nats.url,
    NATS_PASSWORD: product.stack.passwords!['operator']!,
    DATABASE_URL: product.stack.database.url,
  };
  try {
    return { code: 0, text: (await run(process.execPath, ['tools/cli/dist/main.js', ...args], { env })).stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, text: stdout + stderr };
  }
}

it('a backend without prices of its own is billed by the catalogue, cached tokens too, and says where from', async () => {
  const app = await product.app();
  const long = `Write 20 words. ${'context '.repeat(3_000)}`;
  const first = (await ask(app, chat(long, { model: 'catalogued' }))).json<any>().meritorder;
  const again = (await ask(app, chat(long, { model: 'catalogued' }))).json<any>().meritorder;
  expect(first.usage.cacheReadTokens).toBe(0);
  expect(again.usage.cacheReadTokens).toBeGreaterThan(1_000);
  const invoice = product.simulator.invoice().lines.filter((l: any) => l.model === 'catalogued');
  const billed = invoice.reduce((sum: bigint, l: any) => sum + BigInt(l.nanoUsd), 0n);
  const database = await connectDatabase(product.stack.database.url, 'test', 1);
  const booked = async (): Promise<bigint> => {
    const rows = await database.query(
      `select coalesce(sum(cash_nanos), 0)::text as n from attempt_settled join attempt using (attempt_id)
       where backend = 'catalogued' and attempt_settled.state = 'confirmed'`,
    );
    return BigInt(rows[0].n);
  };
  await waitFor(async () => (await booked()) === billed, 'the books to equal the invoice');
  await database.destroy();
  expect((await meritorder('prices', 'list', 'catalogued')).text).toMatch(
    /catalogued .* 0\.40 +0\.10 +1\.60 .*in force +@pydantic\/genai-prices \d.*openai\/gpt-4\.1-mini/,
  );
});

it('what a receipt says is what the books say, to the nano-dollar: long context, times of day, a fee', async () => {
  const app = await product.app();
  const database = await connectDatabase(product.stack.database.url, 'test', 1);
  const prompts = [
    'x',
    'Write 7 words.',
    `Write 13 words. ${'context '.repeat(900)}`,
    `Write 3 words. ${'long '.repeat(2_500)}`,
  ];
  const costs = new Set<string>();
  for (const prompt of prompts) {
    const answer = await ask(app, chat(prompt, { model: 'tiered' }));
    expect(errorCode(answer)).toBe('');
    const receipt = answer.json<any>().meritorder;
    const [attempt] = receipt.attempts;
    const [row] = await waitFor(async () => {
      const rows: { cash: string; full: string; version: string }[] = await database.query(
        `select cash_nanos::text as cash, full_nanos::text as full, price_version as version
         from attempt_settled where attempt_id = $1 and state = 'confirmed'`,
        [attempt.attempt_id],
      );
      return rows.length > 0 ? rows : undefined;
    }, 'the attempt to be booked');
    expect({
      cash: usdToNanos(receipt.cost.usd).toString(),
      full: usdToNanos(receipt.cost.full_usd).toString(),
      version: receipt.cost.price_version,
    }).toEqual(row);
    costs.add(receipt.cost.usd);
  }
  expect(costs.size).toBe(prompts.length);
  await database.destroy();
});

it('a backend without any price gets no traffic, and the refusal has the line to add (pitfall 22)', async () => {
  const app = await product.app();
  const refused = await ask(app, chat('x', { model: 'unknown' }));
  expect(errorCode(refused)).toBe('price_missing');
  expect(refused.json<any>().error.message).toMatch(/Add to backend unknown: prices: \[\{ effectiveFrom/);
});

it('an absurd price is held and the last good one stays; a late one adjusts what was rated, in books and counters', async () => {
  const app = await product.app();
  for (let i = 0; i < 5; i++) expect(errorCode(await ask(app, chat('Write 50 words.', { model: 'late' })))).toBe('');
  const database = await connectDatabase(product.stack.database.url, 'test', 1);
  const booked = async () => (await windowTotals(database)).find((w) => w.budget === 'acme-late');
  const before = await waitFor(async () => {
    const window = await booked();
    return window && window.settledNanos >= 5n * 50n * 2_000n && window.unconfirmedNanos === 0n ? window : undefined;
  }, 'five attempts to be booked');

  const file = (name: string, cash: object): string => {
    const path = join(product.stack.options.dataDir, name);
    writeFileSync(
      path,
      JSON.stringify([{ effectiveFrom: '2026-01-01T00:00:00Z', cash, source: 'contract of January' }]),
    );
    return path;
  };
  const slip = file('slip.json', { inputUsdPerMillionTokens: '1000000', outputUsdPerMillionTokens: '2000000' });
  const tried = await meritorder('prices', 'propose', 'late', slip, '--dry-run');
  expect(tried).toMatchObject({ code: 0, text: expect.stringMatching(/held[\s\S]*USD per token/) });
  expect(tried.text).toMatch(
    /nothing was taken in\n.*\d+ attempts since .* cost \$0\.000\d+; at this price \$\d+.*, 1000000x dearer/,
  );
  expect((await meritorder('prices', 'list', '--held')).text).not.toContain('late');
  const held = await meritorder('prices', 'propose', 'late', slip, '--by', 'ann');
  expect(held).toMatchObject({ code: 0, text: expect.stringMatching(/held[\s\S]*USD per token/) });
  const id = /pv-[0-9a-f]+/.exec(held.text)![0];
  expect((await meritorder('prices', 'list', '--held')).text).toContain(id);
  expect(errorCode(await ask(app, chat('Write 1 words.', { model: 'late' })))).toBe('');
  expect((await meritorder('prices', 'reject', id, '--by', 'ben')).text).toContain('rejected by ben');

  const halved = file('halved.json', { inputUsdPerMillionTokens: '0.5', outputUsdPerMillionTokens: '1' });
  expect(await meritorder('prices', 'propose', 'late', halved, '--by', 'ann')).toMatchObject({ code: 0 });
  const after = await waitFor(
    async () => {
      const window = await booked();
      // Half of everything that was settled.
      return window && window.correctedNanos < 0n && window.settledNanos === -window.correctedNanos
        ? window
        : undefined;
    },
    'what was rated to be adjusted',
    30_000,
  );
  // What was settled before the correction is still there; the correction stands beside it.
  expect(after.settledNanos - after.correctedNanos).toBeGreaterThanOrEqual(before.settledNanos);
  const counters = await Counters.connect(product.stack.redis.url);
  await waitFor(
    async () => {
      const window = (await counters.inspectWindows()).find((w) => w.budget === 'acme-late');
      return window?.settledNanos === (await booked())!.settledNanos && window?.reservedNanos === 0n;
    },
    'the counters to be rebuilt from the books',
    30_000,
  );
  await counters.close();
  await database.destroy();
  expect((await meritorder('prices', 'list', 'late')).text).toMatch(/\d+ attempts adjusted by \$-0\.000/);
  expect((await meritorder('books')).text).toContain('payable:simco');
});

it('a damaged catalogue changes nothing and says so (pitfall 21)', async () => {
  const path = join(product.stack.options.dataDir, 'catalogue.json');
  writeFileSync(path, '[{"id": "openai", "models": [');
  expect(await meritorder('prices', 'import', path)).toMatchObject({
    code: 1,
    text: expect.stringMatching(/catalogue\.json is not JSON .*nothing was changed/),
  });
  expect((await meritorder('prices', 'list', 'catalogued')).text).toMatch(/in force/);
});

it('what is not a price is refused with its place', async () => {
  const path = join(product.stack.options.dataDir, 'wrong.yaml');
  writeFileSync(path, '- effectiveFrom: 2026-01-01T00:00:00Z\n  cash: { inputUsdPerMillionTokens: "-1" }\n');
  expect(await meritorder('prices', 'propose', 'late', path)).toMatchObject({
    code: 1,
    text: expect.stringMatching(/wrong\.yaml: 0\.cash\.inputUsdPerMillionTokens: must not be negative/),
  });
  expect(await meritorder('prices', 'confirm', 'pv-none')).toMatchObject({
    code: 1,
    text: 'meritorder: there is no price version pv-none\n',
  });
});
