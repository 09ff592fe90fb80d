import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { entitledSlots, mayTakeSlot, type SlotDemand } from './slot-shares.js';
import { askedForSlot, CLAIM_WINDOW_MS, wantedSlots, type WantedSlots } from './wanted-slots.js';

const org = (weight: number, wanted: number, inFlight = 0): SlotDemand => ({ weight, wanted, inFlight });
const without = <T>(list: readonly T[], i: number): T[] => list.filter((_, j) => j !== i);

describe('slots that an org may have', () => {
  it.each<[string, number, SlotDemand, SlotDemand[], number]>([
    ['all, when it is alone', 8, org(1, 100), [], 8],
    ['what it wants, when all fits', 8, org(1, 3), [org(1, 5)], 3],
    ['half, of two that want everything', 8, org(1, 100), [org(1, 100)], 4],
    ['by weight', 9, org(2, 100), [org(1, 100)], 6],
    ['what a modest one leaves', 8, org(1, 100), [org(1, 2)], 6],
    ['its part, however much another wants', 8, org(1, 4), [org(1, 1_000_000)], 4],
    ['what it wants below its part, among greedy ones', 9, org(1, 2), [org(1, 100), org(1, 100)], 2],
    ['an equal part of what modest ones leave', 10, org(1, 100), [org(1, 1), org(1, 1), org(1, 100)], 4],
    ['a part of a slot, of fewer slots than orgs', 1, org(1, 1), [org(1, 1), org(2, 1)], 0.25],
  ])('%s', (_what, capacity, asker, others, slots) => {
    expect(entitledSlots(capacity, asker, others)).toBeCloseTo(slots, 9);
  });

  it('of 2,000 random fleets: parts add up to what is wanted or to all slots, and nobody who wants more has less per weight', () => {
    const random = seededRandom(7);
    for (let run = 0; run < 2_000; run++) {
      const capacity = 1 + Math.floor(random() * 40);
      const orgs = Array.from({ length: 1 + Math.floor(random() * 8) }, () =>
        org(0.25 + random() * 4, Math.floor(random() * 30)),
      );
      const parts = orgs.map((o, i) => entitledSlots(capacity, o, without(orgs, i)));
      const wanted = orgs.reduce((sum, o) => sum + o.wanted, 0);
      expect(parts.reduce((sum, p) => sum + p, 0)).toBeCloseTo(Math.min(capacity, wanted), 6);
      orgs.forEach((mine, i) => {
        expect(parts[i]).toBeLessThanOrEqual(mine.wanted + 1e-9);
        if (parts[i]! >= mine.wanted - 1e-9) return;
        // Nobody has more per weight than one that lacks something.
        orgs.forEach((_, j) => expect(parts[j]! / orgs[j]!.weight).toBeLessThanOrEqual(parts[i]! / mine.weight + 1e-6));
      });
    }
  });

  it('of 200 random races: who has less than its part always finds a slot as others end, and no slot stays idle that is wanted', () => {
    const random = seededRandom(11);
    for (let run = 0; run < 200; run++) {
      const capacity = 2 + Math.floor(random() * 14);
      const orgs = Array.from({ length: 2 + Math.floor(random() * 3) }, () => ({
        weight: 1 + Math.floor(random() * 3),
        inFlight: 0,
        wanted: capacity * 2,
      }));
      // One that was alone has everything when the others come.
      orgs[0]!.inFlight = capacity;
      for (let step = 0; step < 400; step++) {
        const busy = orgs.reduce((sum, o) => sum + o.inFlight, 0);
        if (busy === capacity) {
          const ends = orgs.filter((o) => o.inFlight > 0)[
            Math.floor(random() * orgs.filter((o) => o.inFlight > 0).length)
          ]!;
          ends.inFlight--;
        }
        const free = capacity - orgs.reduce((sum, o) => sum + o.inFlight, 0);
        const may = orgs.filter((o, i) => mayTakeSlot(capacity, o, without(orgs, i)));
        if (free > 0) {
          expect(may.length).toBeGreaterThan(0);
          may[Math.floor(random() * may.length)]!.inFlight++;
        }
      }
      const weights = orgs.reduce((sum, o) => sum + o.weight, 0);
      for (const o of orgs) {
        expect(o.inFlight).toBeLessThanOrEqual(Math.ceil((capacity * o.weight) / weights));
      }
    }
  });
});

describe('what an org wants', () => {
  const ask = (state: WantedSlots | undefined, inFlight: number, denied: boolean, nowMs: number) =>
    askedForSlot(state, inFlight, denied, nowMs);

  it('is the most it had and asked for at once', () => {
    let state = ask(undefined, 0, false, 0);
    expect(wantedSlots(state, 0)).toBe(1);
    state = ask(state, 4, false, 10);
    state = ask(state, 1, false, 20);
    expect(wantedSlots(state, 20)).toBe(5);
  });

  it('grows by what it was denied', () => {
    let state: WantedSlots | undefined;
    for (let i = 0; i < 3; i++) state = ask(state, 2, true, i);
    expect(wantedSlots(state!, 3)).toBe(5);
  });

  it('is forgotten after two windows in which it asked for nothing', () => {
    const state = ask(undefined, 5, false, 0);
    expect(wantedSlots(state, CLAIM_WINDOW_MS)).toBe(6);
    expect(wantedSlots(ask(state, 0, false, CLAIM_WINDOW_MS), CLAIM_WINDOW_MS)).toBe(6);
    expect(wantedSlots(state, 2 * CLAIM_WINDOW_MS)).toBe(0);
  });
});
