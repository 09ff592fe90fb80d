import { describe, expect, it } from 'vitest';
import { BudgetExhaustedV1, BudgetRecoveredV1, PolicyStageChangedV1, type BudgetStage } from '@meritorder/contracts';
import type { BudgetState, StoredBudget } from '@meritorder/ledger-store';
import { decideState } from './decide-states.js';
import { ORG, state, stored } from './fixture.for-tests.js';

const now = Date.parse('2026-11-24T10:00:00Z');
const stages: BudgetStage[] = [
  { at: 0.6, action: 'prefer-local' },
  { at: 0.7, action: 'throttle', requestsPerMinute: 60 },
  { at: 0.8, action: 'throttle', requestsPerMinute: 6 },
  { at: 0.9, action: 'local-only' },
  { at: 1.2, action: 'reject' },
];
const staged = stored({ thresholds: [0.5], stages });

function decide(spentNanos: bigint, known: BudgetState | undefined = undefined, of: StoredBudget = staged) {
  return decideState(ORG, of, known, { settledNanos: spentNanos, unconfirmedNanos: 0n }, now);
}
const told = (spentNanos: bigint, known?: BudgetState, of?: StoredBudget): string[] =>
  (decide(spentNanos, known, of)?.transitions ?? []).map((t) =>
    t.kind === 'stage'
      ? `${t.event.direction} ${t.event.from} -> ${t.event.to} (${t.event.why})`
      : t.kind === 'exhausted'
        ? 'exhausted'
        : `recovered (${t.event.why})`,
  );

describe('what a change of spend, window, limit or definition leads to', () => {
  const acting = state({ stage: 'local-only', at: 0.9, requestsPerMinute: 6, spentNanos: 950n });
  const spent = state({ ...acting, exhausted: true });
  it.each<[string, bigint, BudgetState | undefined, StoredBudget, string[]]>([
    ['nothing spent', 0n, undefined, staged, []],
    ['half', 500n, undefined, staged, ['tightened none -> notify (spend)']],
    ['prefer local', 600n, state({ stage: 'notify' }), staged, ['tightened notify -> prefer-local (spend)']],
    ['throttle', 700n, state({ stage: 'prefer-local' }), staged, ['tightened prefer-local -> throttle (spend)']],
    [
      'a slower throttle',
      800n,
      state({ stage: 'throttle', requestsPerMinute: 60 }),
      staged,
      ['tightened throttle -> throttle (spend)'],
    ],
    ['the same again', 950n, acting, staged, []],
    ['the limit', 1_000n, acting, staged, ['exhausted']],
    ['beyond', 1_200n, spent, staged, ['tightened local-only -> reject (spend)']],
    [
      'a raised limit',
      1_000n,
      spent,
      stored({ thresholds: [0.5], stages, limitNanos: '10000', limitVersion: 4 }),
      ['relaxed local-only -> none (limit)', 'recovered (limit)'],
    ],
    [
      'a lowered limit',
      600n,
      state({ stage: 'prefer-local' }),
      stored({ thresholds: [0.5], stages, limitNanos: '600', limitVersion: 4 }),
      ['tightened prefer-local -> local-only (limit)', 'exhausted'],
    ],
    [
      'other stages',
      950n,
      acting,
      stored({ thresholds: [0.5], stages: [], limitVersion: 4 }),
      ['relaxed local-only -> notify (definition)'],
    ],
    [
      'a charge that became smaller',
      400n,
      spent,
      staged,
      ['relaxed local-only -> none (correction)', 'recovered (correction)'],
    ],
    [
      'the next window',
      0n,
      { ...spent, window: '2026-10' },
      staged,
      ['relaxed local-only -> none (window)', 'recovered (window)'],
    ],
    [
      'the next window, spent before anybody looked',
      1_000n,
      { ...spent, window: '2026-10' },
      staged,
      ['recovered (window)', 'exhausted'],
    ],
    [
      'no budget any more',
      1_000n,
      spent,
      { ...staged, retired: true },
      ['relaxed local-only -> none (definition)', 'recovered (limit)'],
    ],
  ])('%s', (_name, spentNanos, known, of, expected) => {
    expect(told(spentNanos, known, of)).toEqual(expected);
  });
});

it('each transition has the next number, and its event is valid and says enough to act on', () => {
  const decided = decide(1_300n, undefined)!;
  expect(decided.transitions.map((t) => t.event.sequence)).toEqual([1, 2]);
  expect(decided.state).toMatchObject({ sequence: 2, stage: 'reject', exhausted: true });
  const [stage, exhausted] = decided.transitions;
  expect(PolicyStageChangedV1.parse(stage!.event)).toMatchObject({
    budget: 'org',
    org: 'acme',
    window: '2026-11',
    windowEnd: '2026-11-30T18:30:00.000Z',
    basis: 'cash',
    limitNanos: '1000',
    settledNanos: '1300',
    at: 1.2,
    requestsPerMinute: 6,
  });
  expect(BudgetExhaustedV1.parse(exhausted!.event)).toMatchObject({ spentUsd: '0.0000013', limitUsd: '0.000001' });
  const recovered = decide(0n, decided.state)!.transitions[1]!;
  expect(BudgetRecoveredV1.parse(recovered.event)).toMatchObject({ sequence: 4, why: 'correction' });
});

it('deciding again from what was decided gives nothing', () => {
  const decided = decide(1_300n)!;
  expect(decide(1_300n, decided.state)).toBeUndefined();
});

it('an instance that has seen an older definition or window decides nothing', () => {
  expect(decide(0n, state({ limitVersion: 4, stage: 'reject' }))).toBeUndefined();
  expect(decide(0n, state({ window: '2026-12', stage: 'reject' }))).toBeUndefined();
});

it('what goes on acting in another window is noted without an event', () => {
  const decided = decide(950n, state({ window: '2026-10', stage: 'local-only', requestsPerMinute: 6 }))!;
  expect(decided.transitions).toEqual([]);
  expect(decided.state).toMatchObject({ window: '2026-11', sequence: 4 });
});
