import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EXAMPLES, type OutcomeRecordedV1, type RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { testServers } from '@meritorder/testing';
import type { DataSource } from 'typeorm';
import {
  candidateMeans,
  connectDatabase,
  decisionsOf,
  dropWaiting,
  joinMissed,
  keepDecisions,
  keepOutcome,
  migrate,
  MOST_OUTCOMES_PER_REQUEST,
  OutcomesFull,
  orgsOnRecord,
  outcomesOf,
  pruneDecisions,
  waitingOutcomes,
  type Outcome,
} from './index.js';

const servers = testServers();
let db: DataSource;

beforeAll(async () => {
  const { url } = await servers.postgres();
  await migrate(url);
  db = await connectDatabase(url, 'test');
});
afterAll(async () => {
  await db?.destroy();
  await servers.stop();
});
beforeEach(async () => {
  await db.query(`truncate decisions, outcomes, outbox, attempt, attempt_settled`);
});

const HOUR = 3_600_000;
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();
const decision = (requestId: string, over: Partial<RoutingDecisionMadeV1> = {}): RoutingDecisionMadeV1 => ({
  ...(EXAMPLES.events['routing.decision-made.v1'] as RoutingDecisionMadeV1),
  requestId,
  attemptId: `${requestId}-a${over.attemptNumber ?? 1}`,
  attribution: { org: 'acme' },
  tags: ['feature=chat'],
  ...over,
});
const outcome = (requestId: string, over: Partial<Outcome> = {}): Outcome => ({
  org: 'acme',
  requestId,
  outcomeId: 'thumbs',
  kind: 'thumbs',
  value: 1,
  revenueNanos: null,
  occurredAt: ago(0),
  reportedAt: ago(0),
  ...over,
});
const eventOf = (o: Outcome, d: RoutingDecisionMadeV1): OutcomeRecordedV1 => ({
  outcomeId: o.outcomeId,
  requestId: o.requestId,
  attribution: d.attribution,
  backend: d.choice!,
  kind: o.kind,
  tags: d.tags ?? [],
  decidedAt: d.decidedAt,
  reportedAt: o.reportedAt,
});
const published = (): Promise<{ message_id: string; subject: string; body: OutcomeRecordedV1 }[]> =>
  db.query(`select message_id, subject, body from outbox where owner = 'metering' order by id`);
const keep = (...records: RoutingDecisionMadeV1[]) => keepDecisions(db, records, eventOf);
const report = (o: Outcome, mayWait?: boolean) => keepOutcome(db, o, eventOf, mayWait);
/** As the books say it of an attempt. */
const booked = (attemptId: string, result: string, cash = 5) =>
  db.query(
    `with a as (insert into attempt (attempt_id, request_id, org, provider, backend, state, terms, bound_cash_nanos, bound_full_nanos,
       reserved_at, deadline_at, worker, outcome) values ($1, 'r', 'acme', 'p', 'b', 'confirmed', '{}', 9, 9, now(), now(), 'w', $2))
     insert into attempt_settled (attempt_id, state, revision, cash_nanos, full_nanos) values ($1, 'confirmed', 1, $3, $3)`,
    [attemptId, result, cash],
  );

describe('decisions on record', () => {
  it('are kept once, however often and in whatever batches they come, as they were', async () => {
    const records = Array.from({ length: 50 }, (_, n) => decision(`r-${n}`, { probability: 0.1 + n / 1e15 }));
    const results = await Promise.all([keep(...records), keep(...records.toReversed()), keep(...records, ...records)]);
    expect(results.reduce((sum, r) => sum + r.kept, 0)).toBe(50);
    for (const record of records)
      expect(await decisionsOf(db, { requestId: record.requestId })).toEqual([{ org: 'acme', record, booked: null }]);
  });

  it('are read by org and attempt, with what the books hold of each', async () => {
    await keep(
      decision('r', { attemptNumber: 2 }),
      decision('r', { attribution: { org: 'globex' }, attemptId: 'other' }),
      decision('r'),
    );
    await booked('r-a2', 'finished', 411_200);
    expect((await decisionsOf(db, { requestId: 'r', org: 'acme' })).map((d) => d.booked)).toEqual([
      null,
      { state: 'confirmed', outcome: 'finished', cashNanos: '411200', fullNanos: '411200' },
    ]);
    expect((await decisionsOf(db, { requestId: 'r' })).map((d) => [d.org, d.record.attemptNumber])).toEqual([
      ['acme', 1],
      ['acme', 2],
      ['globex', 1],
    ]);
  });

  it('of two requests that their caller named alike are both kept', async () => {
    const refused = { choice: null, attemptId: undefined };
    const at = (n: number): string => new Date(Date.UTC(2026, 10, 24, 9, n)).toISOString();
    await keep(
      decision('r', { decidedAt: at(1), attemptId: 'x' }),
      decision('r', { decidedAt: at(2), attemptId: 'y' }),
    );
    await keep(decision('r', { decidedAt: at(3), ...refused }), decision('r', { decidedAt: at(4), ...refused }));
    expect((await decisionsOf(db, { requestId: 'r' })).map((d) => d.record.decidedAt)).toEqual([1, 2, 3, 4].map(at));
  });

  it('are told by org, from the first to the last', async () => {
    expect(await orgsOnRecord(db, 9)).toEqual([]);
    const at = (n: number): string => new Date(Date.UTC(2026, 10, 24, 9, n)).toISOString();
    const of = (org: string, n: number) => decision(`${org}-${n}`, { attribution: { org }, decidedAt: at(n) });
    await keep(of('globex', 5), of('acme', 3), of('acme', 1), of('acme', 2));
    const [acme, globex] = [
      { org: 'acme', from: at(1), to: at(3) },
      { org: 'globex', from: at(5), to: at(5) },
    ];
    expect(await orgsOnRecord(db, 9)).toEqual([acme, globex]);
    expect(await orgsOnRecord(db, 1)).toEqual([acme]);
  });

  it('are forgotten with their outcomes after their time, a bounded number at once', async () => {
    await keep(...[1, 2, 3, 4, 5].map((n) => decision(`old-${n}`, { decidedAt: ago(100 * HOUR) })));
    await keep(decision('new', { decidedAt: ago(HOUR) }));
    await report(outcome('old-1', { reportedAt: ago(99 * HOUR) }));
    await report(outcome('new'));
    const before = new Date(Date.now() - 50 * HOUR);
    expect(await pruneDecisions(db, before, 3)).toEqual({ decisions: 3, outcomes: 1 });
    expect(await pruneDecisions(db, before, 3)).toEqual({ decisions: 2, outcomes: 0 });
    expect(await pruneDecisions(db, before, 3)).toEqual({ decisions: 0, outcomes: 0 });
    expect(await decisionsOf(db, { requestId: 'new' })).toHaveLength(1);
    expect(await outcomesOf(db, 'acme', 'new')).toHaveLength(1);
  });
});

describe('an outcome', () => {
  it('of a decided request is recorded once, with one event, also when it is reported many times at once', async () => {
    await keep(decision('r'));
    const states = await Promise.all(Array.from({ length: 8 }, () => report(outcome('r'))));
    expect(states.toSorted()).toEqual([...Array<string>(7).fill('known'), 'recorded']);
    // Said otherwise under the same id it changes nothing.
    expect(await report(outcome('r', { value: 0 }))).toBe('known');
    expect(await outcomesOf(db, 'acme', 'r')).toMatchObject([{ value: 1, attemptNumber: 1 }]);
    const events = await published();
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      subject: 'outcome.recorded.v1.acme',
      body: { outcomeId: 'thumbs', backend: 'gpt-4-1-mini', tags: ['feature=chat'] },
    });
  });

  it('that comes before its decision waits, and is recorded with it in one transaction, once', async () => {
    const waiting = Array.from({ length: 20 }, (_, n) => `r-${n}`);
    for (const id of waiting) expect(await report(outcome(id))).toBe('pending');
    expect(await published()).toEqual([]);
    expect(await waitingOutcomes(db)).toEqual(new Map([['acme', 20]]));
    expect(await report(outcome('r-0'))).toBe('known');
    const records = waiting.map((id) => decision(id));
    const results = await Promise.all([keep(...records), keep(...records)]);
    expect(results.reduce((sum, r) => sum + r.joined, 0)).toBe(20);
    expect((await published()).map((e) => e.body.requestId).toSorted()).toEqual(waiting.toSorted());
    expect(await waitingOutcomes(db)).toEqual(new Map());
  });

  it('that comes at the same moment as its decision is recorded once, at the latest by the next round', async () => {
    const ids = Array.from({ length: 60 }, (_, n) => `r-${n}`);
    await Promise.all(ids.flatMap((id) => [report(outcome(id)), keep(decision(id))]));
    await joinMissed(db, HOUR, 1_000, eventOf);
    expect(await joinMissed(db, HOUR, 1_000, eventOf)).toBe(0);
    expect((await published()).map((e) => e.body.requestId).toSorted()).toEqual(ids.toSorted());
    expect(new Set((await published()).map((e) => e.message_id)).size).toBe(60);
  });

  it('goes to the attempt that answered: the latest with a choice, not one that failed', async () => {
    await keep(decision('r', { choice: 'first' }));
    await booked('r-a1', 'failed');
    // Its first attempt failed; the second is not on record yet.
    expect(await report(outcome('r'))).toBe('pending');
    await keep(decision('r', { attemptNumber: 2, choice: 'second' }));
    await keep(decision('r', { attemptNumber: 3, choice: null, attemptId: undefined }));
    expect(await report(outcome('r', { outcomeId: 'again' }))).toBe('recorded');
    expect((await published()).map((e) => e.body.backend)).toEqual(['second', 'second']);
  });

  it('goes to the first attempt of a request whose hedge lost, and to the hedge that won', async () => {
    for (const [id, loser] of [
      ['r', 2],
      ['s', 1],
    ] as const) {
      await keep(decision(id), decision(id, { attemptNumber: 2, attemptId: `${id}-a2`, hedgeOf: `${id}-a1` }));
      for (const n of [1, 2]) await booked(`${id}-a${n}`, n === loser ? 'cancelled' : 'finished');
      await db.query(`update attempt set code = 'hedge-lost' where attempt_id = $1`, [`${id}-a${loser}`]);
      expect(await report(outcome(id))).toBe('recorded');
      expect((await outcomesOf(db, 'acme', id))[0]!.attemptNumber).toBe(3 - loser);
    }
  });

  it('of a request whose every attempt failed goes to the last of them after a minute', async () => {
    await keep(decision('r', { choice: 'first' }));
    await booked('r-a1', 'failed');
    expect(await report(outcome('r'))).toBe('pending');
    expect(await joinMissed(db, HOUR, 100, eventOf)).toBe(0);
    await db.query(`update outcomes set reported_at = now() - interval '61 seconds'`);
    expect(await joinMissed(db, HOUR, 100, eventOf)).toBe(1);
    expect((await published()).map((e) => e.body.backend)).toEqual(['first']);
  });

  it("of another org's request waits as one of a request that never was", async () => {
    await keep(decision('r'));
    expect(await report(outcome('r', { org: 'globex' }))).toBe('pending');
    expect(await report(outcome('nothing', { org: 'globex' }))).toBe('pending');
    expect(await published()).toEqual([]);
    expect(await outcomesOf(db, 'acme', 'r')).toEqual([]);
  });

  it('that waited too long is forgotten and counted by org; one whose decision is there after all is recorded', async () => {
    for (const id of ['a', 'b', 'c']) await report(outcome(id, { reportedAt: ago(8 * 24 * HOUR) }));
    await report(outcome('d', { org: 'globex', reportedAt: ago(9 * 24 * HOUR) }));
    await report(outcome('e'));
    await db.query(
      `insert into decisions (org, request_id, decision_id, attempt_number, attempt_id, choice, decided_at, record)
       values ('acme', 'a', 'x', 1, 'x', 'gpt', now(), $1)`,
      [JSON.stringify(decision('a'))],
    );
    expect(await dropWaiting(db, 7 * 24 * HOUR, 100, eventOf)).toEqual(
      new Map([
        ['acme', 2],
        ['globex', 1],
      ]),
    );
    expect((await published()).map((e) => e.body.requestId)).toEqual(['a']);
    expect(await waitingOutcomes(db)).toEqual(new Map([['acme', 1]]));
  });

  it('too many of one request, or of an org that has too many waiting, is refused and not kept', async () => {
    await keep(decision('r'));
    for (let n = 0; n < MOST_OUTCOMES_PER_REQUEST; n++)
      expect(await report(outcome('r', { outcomeId: `o-${n}` }))).toBe('recorded');
    await expect(report(outcome('r', { outcomeId: 'more' }))).rejects.toThrow(OutcomesFull);
    expect(await report(outcome('r', { outcomeId: 'o-3' }))).toBe('known');
    await expect(report(outcome('unknown'), false)).rejects.toThrow(OutcomesFull);
    expect(await outcomesOf(db, 'acme', 'unknown')).toEqual([]);
    await keep(decision('s'));
    expect(await report(outcome('s'), false)).toBe('recorded');
  });
});

it('the shadow price of a candidate is what the budgets counted for each dollar that it adds: cash of cash, full of full cost', async () => {
  const [template] = decision('x').candidates;
  const candidate = (
    backend: string,
    expectedCashUsd: number,
    expectedFullUsd: number,
    numbers: { marginalUsd: number; shadowCash: number; shadowFull: number },
  ) => ({
    ...template!,
    backend,
    expectedCashUsd,
    expectedFullUsd,
    numbers: { ...numbers, gpuSeconds: 0, usdPerGpuSecond: 0, lateSeconds: 0, quality: 0.5, qualityVariance: 0 },
  });
  const made = (requestId: string, shadowCash: number, shadowFull: number) =>
    decision(requestId, {
      decidedAt: ago(HOUR),
      policy: { objective: 'margin' } as never,
      candidates: [
        candidate('cloud', 0.01, 0.01, { marginalUsd: 0.01, shadowCash, shadowFull }),
        candidate('own', 0, 0.004, { marginalUsd: 0.001, shadowCash, shadowFull }),
        candidate('free', 0, 0, { marginalUsd: 0, shadowCash, shadowFull }),
      ] as RoutingDecisionMadeV1['candidates'],
    });
  await keep(made('r1', 2, 0), made('r2', 1, 0.5));
  const means = await candidateMeans(db, ['acme'], { from: new Date(Date.now() - 2 * HOUR), to: new Date() });
  const pricesOf = Object.fromEntries(means.map((m) => [m.backend, Number(m.shadowPrice.toFixed(6))]));
  expect(pricesOf).toEqual({ cloud: 1.75, own: 1, free: 0 });
});

it('what was configured of a conversion is read apart from what the router took; null where no decision says', async () => {
  const made = (requestId: string, tier: string, revenue?: object): RoutingDecisionMadeV1 => {
    const made = decision(requestId, { decidedAt: ago(HOUR), policy: { revenueUsd: 9, revenue } as never });
    const candidates = made.candidates.map((c) => ({ ...c, numbers: { marginalUsd: 0.01, quality: 0.5 } as never }));
    return { ...made, attribution: { org: 'acme', tier }, candidates };
  };
  await keep(
    made('r1', 'free', { expectedUsd: 9, from: 'learned', configuredUsd: 0.0005 }),
    made('r2', 'old'),
    made('r3', 'pro', { expectedUsd: 9, from: 'learned' }),
  );
  const means = await candidateMeans(db, ['acme'], { from: new Date(Date.now() - 2 * HOUR), to: new Date() });
  const configuredOf = new Map(means.map((m) => [m.tier, [m.revenueUsd, m.revenueConfiguredUsd]]));
  expect(Object.fromEntries(configuredOf)).toEqual({ free: [9, 0.0005], old: [9, null], pro: [9, null] });
});
