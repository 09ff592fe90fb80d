import { describe, expect, it } from 'vitest';
import { SpendGovernor } from './spend-governor.js';

const HOLD = { heldTokens: 400, maxTokens: 2_000, sliceTokens: 100 };
const governor = (more: Partial<typeof HOLD> = {}): SpendGovernor => new SpendGovernor({ ...HOLD, ...more });
/** The first token at 0, then so many by then: 50 tokens a second are 5 of a cancel's travel. */
const at = (g: SpendGovernor, tokens: number, atMs: number): SpendGovernor => {
  if (atMs > 0) g.saw({ tokens: 0, atMs: 0 });
  g.saw({ tokens, atMs });
  return g;
};

describe('the spend governor', () => {
  it.each<[string, number, number, number | undefined]>([
    ['early on nothing is asked for', 100, 2_000, undefined],
    ['half a slice before the end a slice is asked for', 350, 7_000, 500],
    ['at a higher speed it is asked for half a second ahead', 320, 2_000, 500],
    ['but not before three quarters of what is held are used', 299, 1_000, undefined],
    ['and so much that the time to the next question is covered too', 390, 1_000, 590],
    ['a burst has no speed', 390, 0, 540],
  ])('%s', (_name, tokens, atMs, wanted) => {
    expect(at(governor(), tokens, atMs).wanted()).toBe(wanted);
  });

  it('what is held is used up a little before its end: what a cancel lets through is held', () => {
    expect(at(governor(), 391, 8_000).usedUp()).toBe(false);
    expect(at(governor(), 393, 8_000).usedUp()).toBe(true);
    expect(at(governor(), 347, 1_000).usedUp()).toBe(false);
    expect(at(governor(), 348, 1_000).usedUp()).toBe(true);
    // At most half of it, however fast.
    expect(at(governor(), 199, 10).usedUp()).toBe(false);
    expect(at(governor(), 200, 10).usedUp()).toBe(true);
  });

  it('a hold of all that the request allows is never used up, and no more is asked for', () => {
    const g = at(governor({ heldTokens: 2_000 }), 2_000, 1_000);
    expect([g.wanted(), g.usedUp(), g.spareTokens()]).toEqual([undefined, false, Number.POSITIVE_INFINITY]);
    expect(at(governor({ heldTokens: 1_960 }), 1_950, 1_000).wanted()).toBe(2_000);
  });

  it('an answer that comes late or again changes nothing', () => {
    const g = at(governor(), 350, 7_000);
    g.extended(600);
    g.extended(500);
    g.extended(600);
    expect(g.heldTokens).toBe(600);
  });

  it('a hold that is smaller than a slice is asked for more before it is used up', () => {
    const g = at(governor({ heldTokens: 4 }), 3, 10);
    expect(g.usedUp()).toBe(true);
    expect(g.wanted()).toBeGreaterThanOrEqual(104);
  });

  it('whoever heard nothing asks for the same a little later', () => {
    const g = at(governor(), 390, 1_000);
    const wanted = g.wanted();
    g.unanswered(1_000);
    expect(g.wanted()).toBeUndefined();
    g.saw({ tokens: 390, atMs: 1_250 });
    expect(g.wanted()).toBe(wanted);
  });

  it('whoever was refused asks at once for a slice alone, and for that again a little later', () => {
    const g = at(governor(), 390, 1_000);
    g.refused(1_000);
    expect(g.wanted()).toBe(500);
    g.refused(1_000);
    g.saw({ tokens: 391, atMs: 1_200 });
    expect(g.wanted()).toBeUndefined();
    g.saw({ tokens: 392, atMs: 1_250 });
    expect(g.wanted()).toBe(500);
    g.extended(500);
    expect(g.wanted()).toBeGreaterThan(600);
  });

  it('nobody needs to count before something is to be decided', () => {
    for (const [tokens, atMs] of [
      [10, 1_000],
      [100, 2_000],
      [349, 7_000],
    ] as const) {
      const g = at(governor(), tokens, atMs);
      expect(g.wanted()).toBeUndefined();
      expect(g.spareTokens()).toBeGreaterThan(0);
      expect(at(governor(), tokens + g.spareTokens(), atMs).wanted()).toBeDefined();
    }
  });
});
