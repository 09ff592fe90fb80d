import { describe, expect, it } from 'vitest';
import type { BackendConfig } from '@meritorder/contracts';
import { holdOf, outputBound, type HoldingBudget, type HoldSettings } from './hold-of.js';
import type { Able } from './able-candidates.js';

const line = (fixedNanos: bigint, perOutputTokenNanos: bigint) => ({ fixedNanos, perOutputTokenNanos });
const candidate = (more: Partial<Able> = {}, backend: Partial<BackendConfig> = {}): Able =>
  ({
    backend: { capabilities: ['streaming'], ...backend } as BackendConfig,
    bound: { cash: line(400n, 4n), full: line(400n, 6n) },
    trustedBound: { cash: line(150n, 4n), full: line(150n, 6n) },
    estimate: { outputTokensP95: 90.2, outputTokensP99: 200 },
    maxTokens: 500,
    minTokens: 64,
    ...more,
  }) as Able;
const tolerant: HoldingBudget = { basis: 'cash', strictness: 'tolerant' };
const settings: HoldSettings = { streams: true, choices: 2, quantile: 'p95', sliceTokens: 256 };
const FULL = { bound: candidate().bound, maxTokens: 500, minTokens: 64 };

describe('a hold', () => {
  it('of tolerant budgets is the learned length of the answer with the trusted input', () => {
    expect(holdOf(candidate(), [tolerant, { ...tolerant, sliceTokens: 100 }], settings)).toEqual({
      bound: candidate().trustedBound,
      maxTokens: 91,
      minTokens: 64,
      governed: { maxTokens: 1_000, sliceTokens: 100 },
    });
    expect(holdOf(candidate(), [tolerant], { ...settings, quantile: 'p99' })).toMatchObject({
      maxTokens: 200,
      governed: { sliceTokens: 256 },
    });
  });

  it('is never more than the request allows, nor less than a slice', () => {
    expect(holdOf(candidate({ maxTokens: 20, minTokens: 20 }), [tolerant], settings)).toMatchObject({
      maxTokens: 20,
      minTokens: 20,
    });
    const nothing = { outputTokensP95: 0 } as Able['estimate'];
    expect(holdOf(candidate({ estimate: nothing }), [tolerant], settings)).toMatchObject({
      maxTokens: 128,
      minTokens: 64,
    });
  });

  it.each<[string, Able, HoldingBudget[], Partial<HoldSettings>]>([
    ['one strict budget', candidate(), [tolerant, { basis: 'cash', strictness: 'strict' }], {}],
    ['a budget that does not say', candidate(), [{ basis: 'cash' }], {}],
    ['no budget at all', candidate(), [], {}],
    ['an answer that comes whole', candidate(), [tolerant], { streams: false }],
    ['a backend that cannot stream', candidate({}, { capabilities: [] }), [tolerant], {}],
    ['a backend that bills what it does not stream', candidate({}, { hiddenOutput: true }), [tolerant], {}],
    [
      'output that costs nothing where the budget counts',
      candidate({ bound: { cash: line(0n, 0n), full: line(0n, 6n) } }),
      [tolerant],
      {},
    ],
  ])('is the upper bound with %s', (_name, ranked, budgets, more) => {
    expect(holdOf(ranked, budgets, { ...settings, ...more })).toEqual({ ...FULL, bound: ranked.bound });
  });

  it('grows by tokens of all choices together, rounded up', () => {
    const { bound } = candidate();
    // Per token of each of two choices: 4 and 6.
    expect(outputBound(bound, 10, 2)).toEqual({ cashNanos: 420n, fullNanos: 430n });
    expect(outputBound({ cash: line(1n, 3n), full: line(1n, 3n) }, 1, 2).cashNanos).toBe(3n);
  });
});
