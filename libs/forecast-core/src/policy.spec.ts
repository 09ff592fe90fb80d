import { describe, expect, it } from 'vitest';
import { decideStage, STEADY, type ForecastStage, type Override } from './index.js';

const dollars = (amount: number): string => `$${amount}`;
const decide = (stage: ForecastStage, chanceAboveLimit: number | undefined, override: Override = {}) =>
  decideStage({ stage }, { chanceAboveLimit, expected: 520, low: 480, high: 590, limit: 500 }, dollars, override);

describe('the policy that follows from a projection', () => {
  it.each([
    ['steady', 0.49, 'steady'],
    ['steady', 0.5, 'warn'],
    ['steady', 0.799, 'warn'],
    ['steady', 0.8, 'tighten'],
    ['warn', 0.35, 'warn'],
    ['warn', 0.349, 'steady'],
    ['warn', 0.8, 'tighten'],
    ['tighten', 0.79, 'tighten'],
    ['tighten', 0.5, 'tighten'],
    ['tighten', 0.35, 'tighten'],
    ['tighten', 0.349, 'steady'],
  ] as const)('%s at a chance of %s is %s', (before, chance, after) => {
    const { state, changed } = decide(before, chance);
    expect(state.stage).toBe(after);
    expect(changed).toBe(before !== after);
  });

  it('a chance that wavers between the thresholds changes nothing', () => {
    let state = STEADY;
    let changes = 0;
    for (const chance of [0.48, 0.52, 0.47, 0.53, 0.4, 0.6, 0.36, 0.79]) {
      const decision = decideStage(
        state,
        { chanceAboveLimit: chance, expected: 1, low: 1, high: 1, limit: 1 },
        dollars,
      );
      state = decision.state;
      changes += Number(decision.changed);
    }
    expect(changes).toBe(1);
    expect(state.stage).toBe('warn');
  });

  it('says why, with the numbers, and never rounds over a threshold', () => {
    expect(decide('steady', 0.86).reason).toBe(
      'tighten: $520 [$480, $590] expected by the end, 86 % likely above the limit of $500, which tightens from 80 %',
    );
    expect(decide('steady', 0.79999).reason).toContain('79.9 % likely');
    expect(decide('tighten', 0.2).reason).toContain('which relaxes below 35 %');
    expect(decide('tighten', 0.6).reason).toContain('it relaxes below 35 %');
  });

  it('an operator’s pin holds whatever comes, a pause keeps what is, and each is the reason', () => {
    expect(decide('steady', 0.1, { pinned: 'tighten' })).toEqual({
      state: { stage: 'tighten' },
      changed: true,
      reason: 'tighten: an operator pinned it',
    });
    expect(decide('warn', 0.99, { paused: true })).toMatchObject({ state: { stage: 'warn' }, changed: false });
    expect(decide('warn', 0.99, { paused: true }).reason).toContain('paused');
  });

  it('nothing changes where too little is known', () => {
    expect(decide('warn', undefined)).toMatchObject({ state: { stage: 'warn' }, changed: false });
  });
});
