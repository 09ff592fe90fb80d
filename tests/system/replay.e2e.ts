import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTrace, replay, type ReplayReport } from '@meritorder/bench';
import { serverCacheDir } from '@meritorder/testing';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

async function run(options: Partial<Parameters<typeof replay>[0]>): Promise<ReplayReport> {
  const dataDir = mkdtempSync(join(tmpdir(), 'meritorder-replay-'));
  chmodSync(dataDir, 0o755);
  try {
    return await replay({
      trace: [],
      speed: 60,
      dataDir,
      cacheDir: serverCacheDir(),
      log: (line) => line.startsWith('dead letter') && console.log(line),
      ...options,
    });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** What must be zero whatever happened. */
const ALWAYS = {
  confirmedDifferenceNanos: '0',
  differenceAfterInvoiceNanos: '0',
  maxOvershootNanos: '0',
  countersDifferenceNanos: '0',
  trialBalanceNanos: '0',
  aboveBound: 0,
  unmatchedLines: 0,
  thresholdDuplicates: 0,
  thresholdsMissing: 0,
  deadLetters: 0,
};

it('a trace of one request, which leaves all providers but one without a call', async () => {
  const report = await run({ trace: [{ atMs: 0, inputTokens: 30, outputTokens: 3 }] });
  expect(report).toMatchObject({ ...ALWAYS, requests: 1, answered: 1, rejected: 0, unanswered: 0, confirmed: 1 });
});

describe.skipIf(!data)('a production trace through the whole product (MERITORDER_TEST_DATA)', () => {
  const trace = (n: number) => readTrace(join(data!, 'traces/azure-code-2023.csv')).slice(0, n);

  it('every request is answered or refused with a reason, and the books equal the invoices (invariants 2, 4, 9)', async () => {
    const report = await run({ trace: trace(1_500) });
    expect(report).toMatchObject({ ...ALWAYS, requests: 1_500, unanswered: 0, unconfirmed: 0 });
    expect(report.answered + report.rejected).toBe(1_500);
    expect(report.confirmed).toBe(report.answered);
    expect(Object.keys(report.backends).sort()).toEqual(['cirrus-large', 'llama-local', 'nimbus-small']);
    expect(report.thresholdEvents).toBeGreaterThan(0);
  });

  it('the same through kill -9 of every service, duplicated messages and a wiped Redis (invariants 3, 4, 6)', async () => {
    const report = await run({
      trace: trace(2_500),
      speed: 40,
      chaos: { seed: 5, killEveryMs: 2_000, duplicates: true, wipeRedisAtMs: 9_000 },
    });
    expect(report).toMatchObject({ ...ALWAYS, requests: 2_500, chaos: { redisWipes: 1 } });
    expect(Object.values(report.chaos!.kills).reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(5);
    expect(report.chaos!.duplicatesPublished).toBeGreaterThan(100);
    expect(report.answered).toBeGreaterThan(0);
  });
});
