import { describe, expect, it } from 'vitest';
import { QuotasConfig, type MeritorderConfig } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { decide } from '@meritorder/routing-core';
import { config, FROM_MS, nothingListed, POLICY, requestsAt, withOwn } from '../fixture.for-tests.js';
import { generated } from '../workload/stretch.js';
import type { Workload } from '../workload/workload.js';
import { simulate, type SimulationSettings } from './simulate.js';
import type { PolicyOutcome } from './tally.js';

const ONE = { seed: 1, inputBoundFactor: 1, maxTokens: 100 };
const run = (of: MeritorderConfig, workload: Workload, settings: SimulationSettings = ONE): PolicyOutcome =>
  simulate(of, workload, settings, nothingListed);
const onlyDear = 'routes: [{ id: any, backends: [dear] }]\n';
const both = 'routes: [{ id: any, backends: [dear, plain], objective: value, usdPerQualityPoint: "1" }]\n';
const day = (limit: string, more = 'pacing: off'): string =>
  `budgets: [{ id: day, selector: { org: acme }, window: day, limitUsd: "${limit}", ${more} }]\n`;
const every = (seconds: number, count: number): number[] => Array.from({ length: count }, (_, i) => i * seconds);

describe('a ceiling of latency', () => {
  // Of 100 tokens: 0.6 s and 99 x 20 ms of a cloud backend, 100 x 20 ms and the prompt of own hardware that is idle.
  const under = (maxLatencyMs: number) =>
    withOwn(`routes: [{ id: any, backends: [own, dear], maxLatencyMs: ${maxLatencyMs}, exploration: false }]\n`);

  it('sends requests past own hardware as far as crowding makes it too slow, and refuses what nobody answers in time', () => {
    const crowd = requestsAt(Array.from({ length: 12 }, () => 0));
    const all = run(under(60_000), crowd);
    expect(all.answeredBy).toMatchObject({ own: 12 });
    const some = run(under(3_000), crowd);
    expect(some.answered).toBe(12);
    expect(some.answeredBy['own']).toBeGreaterThan(0);
    expect(some.answeredBy['dear']).toBeGreaterThan(0);
    expect(run(under(1_000), crowd)).toMatchObject({ answered: 0, rejected: { latency_ceiling: 12 } });
  });
});

describe('a deadline of the caller', () => {
  // Of 100 tokens: 0.6 s and 99 x 20 ms where nothing is said, which is 2.58 s; plain is configured to take 6 s.
  const paced = (own = '') => {
    const of = config('routes: [{ id: any, backends: [dear, plain], exploration: false }]\n', own);
    const plain = of.backends.find((b) => b.id === 'plain')!;
    return {
      ...of,
      backends: of.backends.map((b) =>
        b === plain ? { ...plain, latency: { firstTokenSeconds: 1.05, secondsPerToken: 0.05 } } : b,
      ),
    };
  };
  const wished = (deadline_ms: number | undefined, isJob?: boolean): Workload => {
    const workload = requestsAt([0, 10, 20]);
    const wishes = deadline_ms === undefined ? undefined : { deadline_ms };
    return { ...workload, profiles: [{ route: 'any', attributes: {}, wishes, isJob }] };
  };

  it('sends requests to who makes it, as a router does, and what comes after it is counted', () => {
    expect(run(paced(), wished(undefined))).toMatchObject({ answeredBy: { plain: 3 }, pastDeadline: 0 });
    expect(run(paced(), wished(9_000))).toMatchObject({ answeredBy: { plain: 3 }, pastDeadline: 0 });
    expect(run(paced(), wished(4_000))).toMatchObject({ answeredBy: { dear: 3 }, pastDeadline: 0 });
    expect(run(paced(), wished(1_000))).toMatchObject({ answeredBy: { dear: 3 }, pastDeadline: 3 });
  });

  it('breaks off no job', () => {
    expect(run(paced(), wished(4_000, true))).toMatchObject({ answeredBy: { plain: 3 }, pastDeadline: 0 });
  });
});

describe('a cap', () => {
  // 1,000 x $10 + 100 x $40 per million is $0.014, which is also its bound: three fit into $0.05, a fourth does not.
  it('that binds is reported with the instant of the first request that it refused, as worked out by hand', () => {
    const outcome = run(config(onlyDear + day('0.05')), requestsAt([0, 10, 20, 30, 40]));
    expect(outcome).toMatchObject({
      answered: 3,
      rejected: { budget_exhausted: 2 },
      cashNanos: '42000000',
      budgets: [
        {
          settledNanos: '42000000',
          peakShare: 0.84,
          overshootNanos: '0',
          firstBound: { at: '2026-09-01T00:00:30.000Z', window: '2026-09-01', kind: 'exhausted' },
          firstExhausted: { at: '2026-09-01T00:00:30.000Z', window: '2026-09-01' },
          boundWindows: 1,
          refusals: 2,
        },
      ],
    });
  });

  it('has room again in its next window', () => {
    const outcome = run(config(onlyDear + day('0.05')), requestsAt([0, 10, 20, 30, 86_400, 86_410]));
    expect(outcome).toMatchObject({ answered: 5, budgets: [{ windows: 2, boundWindows: 1, refusals: 1 }] });
  });

  describe('that was spent in part before the period', () => {
    const opening = (nanos: string, budget = 'day') => ({
      from: new Date(FROM_MS).toISOString(),
      spent: [{ budget, window: '2026-09-01', nanos }],
    });
    const after = (nanos: string, seconds: number[], limit = '0.05') =>
      run(config(onlyDear + day(limit)), {
        ...requestsAt(seconds),
        books: { prices: [], opening: opening(nanos) },
      });

    it('has what is left of it', () => {
      expect(after('30000000', [0, 10, 20])).toMatchObject({
        answered: 1,
        rejected: { budget_exhausted: 2 },
        budgets: [{ settledNanos: '14000000', spentBeforeNanos: '30000000', peakShare: 0.88, overshootNanos: '0' }],
      });
      expect(after('50000000', [0, 10])).toMatchObject({ answered: 0, rejected: { budget_exhausted: 2 } });
    });

    it('has all of it in the next window, and is not overrun by what was spent beyond a lower limit', () => {
      expect(after('50000000', [0, 86_400], '0.02')).toMatchObject({
        answered: 1,
        rejected: { budget_exhausted: 1 },
        budgets: [{ windows: 2, settledNanos: '14000000', overshootNanos: '0' }],
      });
    });

    it('may have no more instances than those of before leave', () => {
      const per = (maxInstances: number) =>
        config(
          `${onlyDear}budgets: [{ id: day, selector: { org: acme }, per: [customer], window: day, limitUsd: "1", maxInstances: ${maxInstances}, pacing: off }]\n`,
        );
      const profiles = [{ route: 'any', attributes: { customer: 'new' } }];
      const books = { prices: [], opening: opening('1', 'day--0123456789abcdef') };
      const of = (most: number) => run(per(most), { ...requestsAt([0]), profiles, books });
      expect(of(1).rejected).toEqual({ budget_instances: 1 });
      expect(of(2)).toMatchObject({ answered: 1, budgets: [{ instances: 1, spentBeforeNanos: '0' }] });
    });
  });

  it('that only requests in flight stand in the way of is held, and passes when they end', () => {
    // Each holds $0.05 for 1,000 tokens and costs $0.014; the second comes while the first is in flight.
    const settings = { ...ONE, maxTokens: 1_000 };
    const outcome = run(config(onlyDear + day('0.09')), requestsAt([0, 1, 10]), settings);
    expect(outcome).toMatchObject({
      answered: 3,
      rejected: {},
      clamped: 1,
      cutShort: 0,
    });
    const less = run(config(onlyDear + day('0.06')), requestsAt([0, 1, 10]), settings);
    expect(less).toMatchObject({
      answered: 2,
      rejected: { budget_held: 1 },
      budgets: [{ firstBound: { at: '2026-09-01T00:00:01.000Z', kind: 'held' }, firstExhausted: null }],
    });
  });

  it('on what is paid to others sends requests to the next that fits, and is said to have bound', () => {
    const dearOnly =
      'budgets: [{ id: cap, selector: { org: acme, backend: dear }, window: day, limitUsd: "0.03", pacing: off }]\n';
    const outcome = run(config(both + dearOnly), requestsAt([0, 10, 20, 30]));
    expect(outcome).toMatchObject({
      answered: 4,
      answeredBy: { dear: 2, plain: 2 },
      budgets: [{ refusals: 2, firstBound: { at: '2026-09-01T00:00:20.000Z' } }],
    });
  });

  it('with a stage that prefers own hardware sends requests there, and says since when', () => {
    const stage = day('0.05', 'pacing: off, stages: [{ at: 0.5, action: prefer-local }]');
    const route = 'routes: [{ id: any, backends: [dear, own], objective: quality, usdPerQualityPoint: "1" }]\n';
    const outcome = run(withOwn(route + stage), requestsAt([0, 10, 20, 30, 40]));
    expect(outcome).toMatchObject({
      answeredBy: { dear: 2, own: 3 },
      budgets: [{ firstBound: { at: '2026-09-01T00:00:20.000Z', kind: 'prefer-local' } }],
    });
  });

  const hybrid =
    'routes: [{ id: any, backends: [dear, own], objective: value, usdPerQualityPoint: "1", exploration: false }]\n';

  it('of cash that is spent sends traffic to own hardware and brings it back the next day, with no rule that says so', () => {
    const answeredBy = (seconds: number[]) => run(withOwn(hybrid + day('0.05')), requestsAt(seconds)).answeredBy;
    const [today, tomorrow] = [every(10, 9), every(10, 3).map((s) => 86_400 + s)];
    expect(answeredBy(today)).toEqual({ dear: 3, own: 6 });
    expect(answeredBy([...today, ...tomorrow])).toEqual({ dear: 6, own: 6 });
  });

  it('of cash that is paced shifts traffic to own hardware before it binds, all day long', () => {
    // All by the dear one would cost about $40 a day.
    const daily = withOwn(hybrid + day('20', 'pacing: always'));
    const perDay = 2_880;
    const workload = requestsAt(every(30, 3 * perDay));
    const random = seededRandom(3);
    workload.outputTokens.forEach((_, i) => (workload.outputTokens[i] = 1 + Math.floor(random() * 200)));
    workload.inputTokens.forEach((_, i) => (workload.inputTokens[i] = 1 + Math.floor(random() * 2_000)));
    /** Shares of the quarters of the days. */
    const byOwn = Array.from({ length: 12 }, () => 0);
    const outcome = run(daily, workload, {
      ...ONE,
      maxTokens: 200,
      onDecision: (index, _candidates, _draws, { order }) => {
        if (order[0]!.candidate.id === 'own') byOwn[Math.floor((4 * index) / perDay)]! += 1 / (perDay / 4);
      },
    });
    expect(outcome).toMatchObject({ answered: 3 * perDay, rejected: {} });
    expect(outcome.budgets[0]).toMatchObject({ firstBound: null, refusals: 0, windows: 3 });
    expect(outcome.budgets[0]!.peakShare).toBeGreaterThan(0.95);
    for (const share of byOwn) expect(share).toBeGreaterThan(0.1);
  });

  it('is never overrun, whatever comes: budgets of every kind under bursts', () => {
    const random = seededRandom(7);
    for (let trial = 0; trial < 20; trial++) {
      const limit = (): string => (0.005 + 0.2 * random()).toFixed(4);
      const budgets =
        `budgets:\n  - { id: org-day, selector: { org: acme }, window: day, limitUsd: "${limit()}", pacing: always }\n` +
        `  - { id: org-month, selector: { org: acme }, window: month, limitUsd: "${limit()}", pacing: projected }\n` +
        `  - { id: dear-week, selector: { org: acme, backend: dear }, window: week, limitUsd: "${limit()}", pacing: off }\n`;
      const workload = requestsAt(
        Array.from({ length: 400 }, () => Math.floor(random() * 200_000)).toSorted((a, b) => a - b),
      );
      workload.outputTokens.forEach((_, i) => (workload.outputTokens[i] = 1 + Math.floor(random() * 900)));
      workload.inputTokens.forEach((_, i) => (workload.inputTokens[i] = 1 + Math.floor(random() * 3_000)));
      const outcome = run(config(both + budgets), workload, { seed: trial, inputBoundFactor: 2 });
      for (const budget of outcome.budgets) {
        expect(budget.overshootNanos).toBe('0');
        expect(budget.peakShare).toBeLessThanOrEqual(1);
      }
      expect(outcome.budgets.reduce((n, b) => n + b.refusals, 0)).toBeGreaterThan(0);
    }
  });
});

describe("an org's quota", () => {
  const quota = (requestsPerMinute: number): MeritorderConfig => {
    const of = config(both);
    return { ...of, orgs: of.orgs.map((org) => ({ ...org, quotas: QuotasConfig.parse({ requestsPerMinute }) })) };
  };

  it('holds over all its backends, as the counters count it: a tenth at once, and of a minute no more than it says', () => {
    // 20 a minute: 2 at once, then one in 60/19 s.
    expect(run(quota(20), requestsAt(every(0, 5)))).toMatchObject({ answered: 2, rejected: { org_rate: 3 } });
    expect(run(quota(20), requestsAt(every(3.2, 100)))).toMatchObject({ answered: 100, rejected: {} });
    const { answered, rejected } = run(quota(10), requestsAt(every(0.6, 10_000)));
    // In 100 minutes and what may come at once.
    expect(answered).toBeGreaterThan(990);
    expect(answered).toBeLessThanOrEqual(1_001);
    expect(rejected).toEqual({ org_rate: 10_000 - answered });
  });

  it('of one org is not that of another', () => {
    const of = quota(20);
    const two = { ...of, orgs: [...of.orgs, { ...of.orgs[0]!, id: 'other' }] };
    const workload = requestsAt(every(0, 6));
    const profiles = [
      { route: 'any', attributes: {} },
      { org: 'other', route: 'any', attributes: {} },
    ];
    workload.profile.set([0, 1, 0, 1, 0, 1]);
    expect(run(two, { ...workload, profiles })).toMatchObject({ answered: 4, rejected: { org_rate: 2 } });
  });
});

describe('the books', () => {
  it('are exact: what the policy cost is what its budgets settled, and each answer what its tokens cost', () => {
    const workload = requestsAt(every(3, 500));
    workload.outputTokens.forEach((_, i) => (workload.outputTokens[i] = 1 + (i % 90)));
    const outcome = run(config(both + day('1000')), workload);
    const usd = workload.outputTokens.reduce((sum, tokens) => sum + 1_000 * 10_000 + tokens * 40_000, 0);
    expect(outcome.answeredBy).toEqual({ dear: 500 });
    expect(outcome.cashNanos).toBe(String(usd));
    expect(outcome.budgets[0]!.settledNanos).toBe(outcome.cashNanos);
  });

  it('take the price of the date: a cut in the middle halves what comes after it', () => {
    const cut = config(onlyDear);
    cut.backends[0]!.prices.push({
      effectiveFrom: new Date(FROM_MS + 100_000).toISOString(),
      source: 'test',
      cash: { inputUsdPerMillionTokens: '5', outputUsdPerMillionTokens: '20' },
    });
    const workload = requestsAt(every(50, 4));
    expect(run(config(onlyDear), workload).cashNanos).toBe('56000000');
    expect(run(cut, workload).cashNanos).toBe('42000000');
  });

  it('charge customers by their tier, to the nano-dollar', () => {
    const tiers = 'tiers: [{ id: gold, charge: { markup: "1.5", usdPerRequest: "0.001" } }]\n';
    const workload = { ...requestsAt([0, 10]), profiles: [{ attributes: { tier: 'gold' } }] };
    expect(run(config(onlyDear + tiers), workload)).toMatchObject({
      fullNanos: '28000000',
      chargedNanos: '44000000',
      marginNanos: '16000000',
    });
  });
});

describe('own hardware', () => {
  const spill = 'routes: [{ id: any, backends: [own, plain] }]\n';

  it('takes all that comes while it is idle, and what bursts beyond it goes to the cloud by its congestion price alone', () => {
    const calm = run(withOwn(spill), requestsAt(every(20, 50)));
    expect(calm.answeredBy).toEqual({ own: 50 });
    const burst = run(withOwn(spill), requestsAt(every(0.02, 400)));
    expect(burst.answeredBy['plain']).toBeGreaterThan(0);
    expect(burst.answeredBy['own']).toBeGreaterThan(0);
    expect(burst.rejected).toEqual({});
    expect(burst.latencySeconds!.p95).toBeGreaterThan(calm.latencySeconds!.p95);
  });

  it('alone is full at its concurrency, and with places to wait it makes requests wait in place of refusing them', () => {
    const alone = 'routes: [{ id: any, backends: [own] }]\n';
    const burst = requestsAt(every(0.001, 200));
    const refusing = run(withOwn(alone), burst);
    expect(refusing.rejected['backend_unavailable']).toBe(200 - 16);
    const queued = run(withOwn(alone), burst, { ...ONE, waitingPlaces: 1_000 });
    expect(queued.answered).toBe(200);
    expect(queued.latencySeconds!.p95).toBeGreaterThan(refusing.latencySeconds!.p95);
  });
});

describe('the simulator decides', () => {
  const mixed = `${both}${day('0.4', 'pacing: always')}`;
  const workload = generated(requestsAt(every(1, 7)), {
    requests: 300,
    fromMs: FROM_MS,
    toMs: FROM_MS + 86_400_000,
    seed: 3,
  });

  it('as the router does: every decision is what decide makes of the same numbers, and the first that fits is served', () => {
    let decisions = 0;
    const first = new Map<string, number>();
    const outcome = run(withOwn(mixed), workload, {
      ...ONE,
      onDecision: (_index, candidates, draws, decision) => {
        decisions += 1;
        const policy = { ...POLICY, objective: 'value' as const, usdPerQuality: 1 };
        const again = decide(
          policy,
          candidates.map((c) => c.numbers),
          draws,
        );
        expect(again.order.map((s) => s.candidate.id)).toEqual(decision.order.map((s) => s.candidate.id));
        const chosen = decision.order[0]!.candidate.id;
        first.set(chosen, (first.get(chosen) ?? 0) + 1);
        for (const { numbers, work } of candidates) {
          const [input, output] = numbers.id === 'dear' ? [10, 40] : [1, 4];
          // E[cost] is tokens times price; output is counted in whole tokens.
          expect(numbers.cashUsd).toBeCloseTo(
            ((numbers.id === 'own' ? 0 : 1) * (1_000 * input + Math.ceil(work.outputTokens) * output)) / 1e6,
            12,
          );
        }
      },
    });
    expect(decisions).toBe(300);
    expect(first.size).toBeGreaterThan(1);
    const served = Object.entries(outcome.answeredBy).map(([id, count]) => count - (first.get(id) ?? 0));
    expect(served.every((d) => Math.abs(d) <= outcome.budgets[0]!.refusals)).toBe(true);
  });

  it('the same, byte for byte, for the same seed', () => {
    const text = (): string => JSON.stringify(run(withOwn(mixed), workload));
    expect(text()).toBe(text());
  });

  it('so that money lasts the window where a budget is paced, and refuses none where unpaced it refuses many', () => {
    const long = generated(requestsAt([0]), { requests: 5_000, fromMs: FROM_MS, toMs: FROM_MS + 86_400_000, seed: 5 });
    // All dear would be $70, all plain $7.
    const unpaced = run(config(both + day('20')), long);
    const paced = run(config(both + day('20', 'pacing: always')), long);
    expect(unpaced.rejected['budget_exhausted']).toBeGreaterThan(1_000);
    expect(paced.rejected).toEqual({});
    expect(Number(paced.cashNanos)).toBeGreaterThan(0.8 * 20e9);
    expect(paced.policyChanges).toBeGreaterThan(0);
    const projected = run(config(both + day('20', 'pacing: projected')), long);
    expect(projected.rejected).toEqual({});
    const enough = run(config(both + day('100', 'pacing: projected')), long);
    expect(enough).toMatchObject({ policyChanges: 0, answeredBy: { dear: 5_000 } });
  });

  it('by the basis of a budget: one of full cost is paced towards what costs least in full, not towards hardware that costs no cash', () => {
    const of = (id: string, cash: string, more = ''): string =>
      `  - { id: ${id}, provider: ${id}, model: m, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 100000, maxOutputTokens: 1000, maxConcurrency: 1000, ` +
      `prices: [{ effectiveFrom: 2026-01-01T00:00:00Z, source: test, cash: { inputUsdPerMillionTokens: "0", outputUsdPerMillionTokens: "${cash}" }${more} }], `;
    const own = ', full: { inputUsdPerMillionTokens: "0", outputUsdPerMillionTokens: "12" }';
    const priced = config(
      `routes: [{ id: any, backends: [small, large, own], objective: value, usdPerQualityPoint: "0.1", exploration: false }]\n` +
        day('3.5', 'basis: full, pacing: always'),
      `${of('small', '4')} kind: cloud, quality: { prior: 0.8, outcomes: 1000 } }\n` +
        `${of('large', '20')} kind: cloud, quality: { prior: 0.9, outcomes: 1000 } }\n` +
        `${of('own', '0', own)} kind: local, host: h, quality: { prior: 0.8, outcomes: 1000 } }\n`,
    );
    // All by the small one would be $2, by the hardware $6, by the large one $10.
    const outcome = run(
      priced,
      generated(requestsAt([0]), { requests: 5_000, fromMs: FROM_MS, toMs: FROM_MS + 86_400_000, seed: 5 }),
    );
    expect(outcome).toMatchObject({ answered: 5_000, rejected: {} });
    expect(outcome.answeredBy['large']).toBeGreaterThan(500);
    expect(outcome.answeredBy['own'] ?? 0).toBeLessThan(100);
    expect(Number(outcome.fullNanos)).toBeGreaterThan(0.8 * 3.5e9);
  });

  it('by the tier that a request has, and refuses one that its org does not have', () => {
    const tiers = 'tiers: [{ id: free, backends: [plain] }]\n';
    const of = (tier: string) => ({ ...requestsAt([0, 1]), profiles: [{ attributes: { tier } }] });
    expect(run(config(both + tiers), of('free')).answeredBy).toEqual({ plain: 2 });
    expect(run(config(both + tiers), of('gold')).rejected).toEqual({ tier_unknown: 2 });
  });

  it('by the department that a request names, and refuses one that its org does not have', () => {
    const of = (department: string) => ({ ...requestsAt([0, 1]), profiles: [{ attributes: { department } }] });
    expect(run(config(both), of('sales')).answered).toBe(2);
    expect(run(config(both), of('slaes')).rejected).toEqual({ department_unknown: 2 });
  });

  it('with the quality of a table where one is given', () => {
    const quality = { plain: { 'task=sql': 1 } };
    const of = (task: string) => ({ ...requestsAt([0]), profiles: [{ attributes: { task } }] });
    expect(run(config(both), of('sql'), { ...ONE, quality })).toMatchObject({ quality: 1, answeredBy: { plain: 1 } });
    expect(run(config(both), of('poem'), { ...ONE, quality })).toMatchObject({ quality: 0.9, answeredBy: { dear: 1 } });
  });

  it.each([
    [{ plian: { '*': 1 } }, /"plian", which is no backend/],
    [{ plain: { 'taks=sql': 1 } }, /"taks=sql" of "plain"; a tag is/],
  ])('with no table that it would not read: %j', (quality, reason) => {
    expect(() => run(config(both), requestsAt([0]), { ...ONE, quality })).toThrow(reason);
  });
});
