import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OvershootStack, type OvershootReport } from '@meritorder/bench';
import { serverCacheDir } from '@meritorder/testing';

const SECONDS = 2.5;
let dataDir: string;
let stack: OvershootStack;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'meritorder-overshoot-'));
  chmodSync(dataDir, 0o755);
  stack = await OvershootStack.start({
    routers: 2,
    routersAtStart: 1,
    requestDeadlineMs: 6_000,
    plannedRequests: 400,
    seed: 1,
    dataDir,
    cacheDir: serverCacheDir(),
    log: () => {},
  });
});
afterAll(async () => {
  await stack?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const levelsThatBound = new Set<string>();
async function run(fault: string, seconds = SECONDS): Promise<OvershootReport> {
  const report = await stack.run(fault, { clients: 12, seconds, seed: 1, pauseMs: 100 });
  for (const budget of Object.keys(report.refusedByBudget)) levelsThatBound.add(budget.split('-')[0]!);
  return report;
}

const otherRefusals = (report: OvershootReport): string[] =>
  Object.keys(report.refused).filter((code) => !code.startsWith('budget_'));

/** What must be zero whatever breaks. */
const ALWAYS = {
  maxOvershootNanos: 0,
  falseRefusals: 0,
  checks: {
    countersDifferenceNanos: 0,
    countersDifferenceAfterInvoiceNanos: 0,
    confirmedDifferenceNanos: 0,
    ledgerDifferenceNanos: 0,
    trialBalanceNanos: 0,
    aboveBound: 0,
    unmatchedLines: 0,
  },
};

describe('strict budgets at five levels are overrun by nothing, and counters equal books (invariants 2, 4, 6)', () => {
  it('while routers are added, which refuse nothing for want of workers (pitfall 25)', async () => {
    const report = await run('scale');
    expect(report).toMatchObject({ ...ALWAYS, strikes: 1, unanswered: 0 });
    expect(otherRefusals(report)).toEqual([]);
  });

  it('when nothing breaks, and nobody is refused who would have fitted', async () => {
    const report = await run('none');
    expect(report).toMatchObject({ ...ALWAYS, unanswered: 0, checks: { ...ALWAYS.checks, unconfirmed: 0 } });
    expect(report.admitted).toBeGreaterThan(0);
    expect(otherRefusals(report)).toEqual([]);
  });

  it.each([
    ['when usage events come again and out of order (invariant 3)', 'duplicate', SECONDS],
    ['when replies of Redis are late or lost after the command was applied (pitfall 4)', 'redis-timeout', 4],
    ['when Redis loses everything (pitfall 5)', 'redis-wipe', SECONDS],
    ['when a stale replica is promoted', 'redis-failover', SECONDS],
    ['when the stale primary is back in front of services that just start', 'redis-failback', SECONDS],
    ['when services are killed (pitfall 3)', 'kill', 3],
    ['when clocks are 5 s off', 'clock-skew', SECONDS],
  ])('%s', async (_name, fault, seconds) => {
    const report = await run(fault, seconds);
    expect(report).toMatchObject(ALWAYS);
    expect(report.strikes).toBeGreaterThan(0);
  });

  it('and caps of several levels were reached meanwhile', () => {
    expect(levelsThatBound.size).toBeGreaterThanOrEqual(3);
  });
});
