import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { SharedReplica, Slots, type Station } from './station.js';

const rates = { prefillTokensPerSecond: 1_000, decodeTokensPerSecond: [10, 10, 20] };

/** All ends, ms, in order. */
function ends(station: Station): [attempt: number, atMs: number][] {
  const all: [number, number][] = [];
  while (station.nextEndMs < Infinity) {
    const atMs = Math.round(station.nextEndMs);
    all.push([station.finish(), atMs]);
  }
  return all;
}

describe('a replica', () => {
  it('works on one request for its prefill and its decode', () => {
    const replica = new SharedReplica(rates);
    replica.enter(1, { inputTokens: 500, outputTokens: 10 }, 0);
    expect(ends(replica)).toEqual([[1, 1_500]]);
  });

  it('is shared by two, which each slow down as the engine says, from when the second comes', () => {
    const replica = new SharedReplica(rates);
    const work = { inputTokens: 500, outputTokens: 10 };
    replica.enter(1, work, 0);
    // Half done alone by .75 s; then at a batch of two each takes 2 x (.5 + .5) s as a whole, so the rest of the first 1 s.
    replica.enter(2, work, 750);
    // The second is half done by then, and alone takes half of 1.5 s.
    expect(ends(replica)).toEqual([
      [1, 1_750],
      [2, 2_500],
    ]);
  });

  it('lets those beyond its slots wait, first come, first served', () => {
    const replica = new SharedReplica(rates);
    for (const attempt of [1, 2, 3, 4]) replica.enter(attempt, { inputTokens: 1, outputTokens: 10 * attempt }, attempt);
    expect([replica.inFlight, replica.waiting]).toEqual([2, 2]);
    expect(ends(replica).map(([attempt]) => attempt)).toEqual([1, 2, 3, 4]);
  });
});

it('slots end in the order of their times, and lose nobody', () => {
  const random = seededRandom(2);
  const slots = new Slots(8, ({ outputTokens }) => outputTokens);
  const done: [number, number][] = [];
  for (let i = 0; i < 500; i++) {
    while (slots.nextEndMs <= i * 100) {
      const atMs = slots.nextEndMs;
      done.push([slots.finish(), atMs]);
    }
    slots.enter(i, { inputTokens: 1, outputTokens: 1 + Math.floor(random() * 9) }, i * 100);
    expect(slots.inFlight).toBeLessThanOrEqual(8);
  }
  done.push(...ends(slots));
  expect(done.map(([attempt]) => attempt).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, i) => i));
  expect(done.map(([, at]) => at)).toEqual(done.map(([, at]) => at).toSorted((a, b) => a - b));
});
