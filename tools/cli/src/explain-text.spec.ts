import { describe, expect, it } from 'vitest';
import { EXAMPLES, RoutingDecisionMadeV1, type DecisionPolicy, type Objective } from '@meritorder/contracts';
import { decide, type ScoreCandidate } from '@meritorder/routing-core';
import { explanationText, type Decided } from './explain-text.js';
import { replayDecisions } from './replay-decision.js';

const candidate = (
  id: string,
  quality: number,
  costUsd: number,
  more: Partial<ScoreCandidate> = {},
): ScoreCandidate => ({
  id,
  quality,
  qualityVariance: 0.0004,
  priorQuality: quality,
  outcomes: 120,
  marginalUsd: costUsd,
  cashUsd: costUsd,
  fullUsd: costUsd,
  shadowCash: 0.9,
  shadowFull: 0,
  gpuSeconds: 0,
  usdPerGpuSecond: 0,
  lateSeconds: 0,
  ...more,
});
/** Economics, section 1: quality worth $0.40 a point, a shadow price of .9. */
const candidates = [
  candidate('llama-70b', 0.82, 0.0004, { gpuSeconds: 2, usdPerGpuSecond: 0.001, cashUsd: 0, fullUsd: 0.003 }),
  candidate('gpt-4-turbo', 0.87, 0.0124, { lateSeconds: 0.5 }),
  candidate('small', 0.4, 0.0001),
];
function recordOf(objective: Objective = 'value', over: Partial<RoutingDecisionMadeV1> = {}): RoutingDecisionMadeV1 {
  const policy: DecisionPolicy = {
    objective,
    tier: 'pro',
    usdPerQuality: 0.4,
    revenueUsd: 0,
    leastQuality: 0.6,
    maxCostUsd: null,
    usdPerSecondLate: 0.01,
    leastMarginShare: null,
    exploration: { spendShare: 0.02, leastCostUsd: 0.00001, requestShare: 0.1, holdOutShare: 0.01 },
  };
  const draws = { holdOut: 0.5, explore: 0.999, replica: 0 };
  const decision = decide(policy, candidates, draws);
  const order = decision.order.map((s) => s.candidate.id);
  return RoutingDecisionMadeV1.parse({
    ...(EXAMPLES.events['routing.decision-made.v1'] as RoutingDecisionMadeV1),
    requestId: 'r-1',
    objective,
    policy,
    draws,
    order,
    choice: order[0],
    choiceKind: decision.kind,
    probability: decision.probabilities[0],
    reason: 'llama-70b: the sentence',
    candidates: [
      ...candidates.map(({ id, cashUsd, fullUsd, ...numbers }) => {
        const place = order.indexOf(id);
        return {
          backend: id,
          priceVersion: 'pv-1',
          expectedCashUsd: cashUsd,
          expectedFullUsd: fullUsd,
          boundCashNanos: '1',
          boundFullNanos: '1',
          excluded: place < 0 ? 'quality .4 is below .6' : null,
          numbers,
          ...(place < 0
            ? {}
            : {
                scoreUsd: decision.order[place]!.scoreUsd,
                valueUsd: decision.order[place]!.valueUsd,
                probability: decision.probabilities[place],
              }),
          budgets: [
            { budget: 'eng-month', window: '2026-11', basis: 'cash', shadowPrice: id === 'llama-70b' ? 0 : 0.9 },
          ],
        };
      }),
      {
        backend: 'away',
        priceVersion: null,
        expectedCashUsd: null,
        expectedFullUsd: null,
        boundCashNanos: null,
        boundFullNanos: null,
        excluded: 'no live worker',
      },
    ],
    ...over,
  });
}
const decided = (record: RoutingDecisionMadeV1, over: Partial<Decided> = {}): Decided => ({
  org: 'acme',
  requestId: 'r-1',
  attempts: [{ record, booked: null }],
  outcomes: [],
  ...over,
});
const rowOf = (text: string, backend: string): string =>
  text.split('\n').find((line) => line.includes(`  ${backend} `))!;

describe('the explanation of a decision', () => {
  it('has every candidate in the order of the choice, with what each lacks', () => {
    const text = explanationText(decided(recordOf()));
    const lines = text.split('\n');
    const places = ['llama-70b', 'gpt-4-turbo', 'small', 'away'].map((id) => lines.indexOf(rowOf(text, id)));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(rowOf(text, 'llama-70b')).toMatch(/^1 .*0\.820 ±0\.020 \(120\).* chosen$/);
    expect(rowOf(text, 'gpt-4-turbo')).toMatch(/^2 .*0\.870 ±0\.020 .* % +stands by$/);
    expect(rowOf(text, 'small')).toMatch(/excluded: quality \.4 is below \.6$/);
    expect(rowOf(text, 'away')).toMatch(/excluded: no live worker$/);
    expect(text).toContain('llama-70b: the sentence');
    expect(text).toContain(
      'scarce budget eng-month (2026-11, cash): a dollar of it is worth $0.9 of value, felt by gpt-4-turbo, small',
    );
  });

  it('does not call the best what budgets alone have room for', () => {
    const record = recordOf();
    const [chosen, beyond, ...rest] = record.candidates;
    const better = { ...beyond!, scoreUsd: chosen!.scoreUsd! + 1, numbers: { ...beyond!.numbers!, beyondRoom: true } };
    const of = 'the best score of those that budgets have room for';
    expect(explanationText(decided({ ...record, candidates: [chosen!, better, ...rest] }))).toContain(of);
    expect(explanationText(decided(record))).not.toContain(of);
  });

  it('says of who was passed over what stood in its way, and does not call the choice the best', () => {
    const record = recordOf();
    const [first, second, ...rest] = record.candidates;
    const over = { kind: 'rate', account: 'limited', short: 'requests', limitPerMinute: 3 } as const;
    const text = explanationText(
      decided({ ...record, choice: second!.backend, candidates: [{ ...first!, passedOver: over }, second!, ...rest] }),
    );
    expect(text).toContain(`chose ${second!.backend}, the best score of those that fit\n`);
    expect(rowOf(text, first!.backend)).toMatch(
      new RegExp(
        `passed over: the account at limited is at its limit of 3 requests a minute, so not ${first!.backend}$`,
      ),
    );
  });

  it('says the deadline, who would miss it, and does not call the best who was chosen for making it, or for being the soonest', () => {
    const record = recordOf();
    const [chosen, other, ...rest] = record.candidates;
    const taking = (c: typeof chosen, latencySeconds: number) => ({
      ...c!,
      numbers: { ...c!.numbers!, latencySeconds },
    });
    const late = { ...taking(other, 4), scoreUsd: chosen!.scoreUsd! + 1 };
    const told = (deadlineSeconds: number) =>
      explanationText(
        decided({
          ...record,
          policy: { ...record.policy!, deadlineSeconds },
          candidates: [taking(chosen, 1), late, ...rest],
        }),
      );
    expect(told(3)).toContain('the best score of those that would be in time\n');
    expect(told(3)).toContain('; broken off after 3 s; ');
    expect(rowOf(told(3), other!.backend)).toMatch(/stands by, it would miss the deadline$/);
    expect(told(0.5)).toContain(', the soonest, as none is expected in time\n');
    expect(told(5)).not.toContain('in time');
  });

  it('says the ceiling of latency, and of who is above it by how much, with the code of the exclusion', () => {
    const record = recordOf();
    const text = explanationText(
      decided({
        ...record,
        policy: { ...record.policy!, maxLatencySeconds: 5 },
        candidates: record.candidates.map((c) =>
          c.backend === 'small' ? { ...c, excluded: 'is expected to answer in 8.20 s', exclusionCode: 'too-slow' } : c,
        ),
      }),
    );
    expect(text).toContain('; an answer expected within 5 s; ');
    expect(rowOf(text, 'small')).toMatch(/excluded \(too-slow\): is expected to answer in 8\.20 s$/);
  });

  it.each<Objective>(['value', 'quality', 'cheapest'])('has lines that add up to the score, under %s', (objective) => {
    const text = explanationText(decided(recordOf(objective)));
    const [names, rule, ...rows] = text.split('\n').slice(text.split('\n').findIndex((l) => l.startsWith('#')));
    // The rule has a dash under every cell of the widest row.
    const columns = [...rule!.matchAll(/-+/g)].map((m) => [m.index, m.index + m[0].length] as const);
    const column = (name: string): number => columns.findIndex(([from, to]) => names!.slice(from, to).trim() === name);
    for (const backend of ['llama-70b', 'gpt-4-turbo']) {
      const row = rows.find((line) => line.includes(`  ${backend} `))!;
      const cell = (name: string): number => Number(row.slice(...columns[column(name)]!));
      const sum = ['- marginal', '- budgets', '- congestion', '- lateness'].reduce(
        (left, n) => left - cell(n),
        cell('value'),
      );
      expect(sum).toBeCloseTo(cell('= score USD'), 6);
    }
    expect(names).toContain(' full ');
  });

  it('says what it cost, and what its caller made of it', () => {
    const attempts = [
      {
        record: recordOf(),
        booked: {
          state: 'confirmed' as const,
          outcome: 'finished',
          cashNanos: '0',
          fullNanos: '3100000',
          chargedNanos: '4650000',
        },
      },
    ];
    const at = '2026-11-24T10:00:00.000Z';
    const outcome = { occurredAt: at, reportedAt: at, attemptNumber: 1, value: null, revenueNanos: null };
    const outcomes: Decided['outcomes'] = [
      { ...outcome, outcomeId: 'thumbs', kind: 'thumbs', value: 0 },
      { ...outcome, outcomeId: 'sale', kind: 'conversion', value: 1, revenueNanos: '19990000000' },
      { ...outcome, outcomeId: 'edit', kind: 'edit', value: 0.4 },
      { ...outcome, outcomeId: 'retry', kind: 'retry', attemptNumber: null },
    ];
    const text = explanationText(decided(recordOf(), { attempts, outcomes }));
    expect(text).toMatch(
      /^booked: confirmed, finished, \$0 in cash, \$0\.0031 in full; expected was \$0\.00 in cash; the customer is charged \$0\.00465$/m,
    );
    expect(text).toMatch(/^thumbs +down +1 +2026-11-24 10:00:00/m);
    expect(text).toMatch(/^conversion \("sale"\) +converted, \$19\.99 +1 /m);
    expect(text).toMatch(/^edit +40 % kept +1 /m);
    expect(text).toMatch(/^retry +asked again +waits /m);
    expect(explanationText(decided(recordOf()))).toMatch(/^booked: nothing yet\n\nno outcome was reported$/m);
  });

  it('says of a refusal what it was refused as', () => {
    const refused = recordOf('value', { choice: null, refusal: 'budget_exhausted', reason: 'eng-month is spent' });
    const text = explanationText(decided(refused));
    expect(text).toMatch(/: refused as budget_exhausted\n {2}eng-month is spent$/m);
    expect(text).not.toContain('booked');
  });

  it('goes as far as an old record does, and says that it cannot be replayed', () => {
    const old = decided(EXAMPLES.events['routing.decision-made.v1'] as RoutingDecisionMadeV1);
    const text = explanationText(old);
    expect(rowOf(text, 'gpt-4-1-mini')).toMatch(/0\.000420.*chosen$/);
    expect(rowOf(text, 'llama-3-3-70b')).toMatch(/excluded: all workers are busy$/);
    expect(text).toContain('cannot be replayed');
    expect(replayDecisions(old)).toEqual({ exitCode: 2, lines: [expect.stringContaining('not replayable')] });
  });
});

describe('replaying a decision', () => {
  it('says that it is the same, or what is not, by the exit code too', () => {
    const record = recordOf();
    expect(replayDecisions(decided(record))).toEqual({
      exitCode: 0,
      lines: [expect.stringMatching(/^replay of attempt 1: the same order of 2 candidates, first llama-70b \(best\)/)],
    });
    const other = { ...record, order: record.order!.toReversed() };
    const both = decided(record, { attempts: [other, record].map((r) => ({ record: r, booked: null })) });
    expect(replayDecisions(both)).toMatchObject({
      exitCode: 1,
      lines: [
        'replay of attempt 1: NOT the same',
        expect.stringContaining('order: llama-70b gpt-4-turbo'),
        expect.anything(),
      ],
    });
  });
});
