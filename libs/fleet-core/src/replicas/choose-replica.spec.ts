import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { chooseReplica, saturationOf, type Replica } from './choose-replica.js';
import { homesOf } from './prefix-home.js';

const replica = (id: string, more: Partial<Replica> = {}): Replica => ({
  id,
  inFlight: 0,
  capacity: 10,
  predictedSeconds: 1,
  costUsd: 0.001,
  idleCostUsd: 0.001,
  ...more,
});
const fleet = (count: number, more: Partial<Replica> = {}): Replica[] =>
  Array.from({ length: count }, (_, i) => replica(`gpu-${i}`, more));

describe('two choices', () => {
  it('pick as often as they say', () => {
    const replicas = [0.5, 0.2, 0.9, 0.5, 0.1].map((predictedSeconds, i) => replica(`gpu-${i}`, { predictedSeconds }));
    const random = seededRandom(11);
    const counts = replicas.map(() => 0);
    const draws = 50_000;
    let probabilities: readonly number[] = [];
    for (let i = 0; i < draws; i++) {
      const choice = chooseReplica(replicas, undefined, [random(), random()]);
      counts[choice.index]!++;
      probabilities = choice.probabilities;
      expect(choice.why).toBe('two-choices');
    }
    expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    // Of 20 ordered pairs: the fastest wins 8, the slowest none.
    expect(probabilities[4]).toBeCloseTo(8 / 20, 12);
    expect(probabilities[2]).toBe(0);
    for (const [i, p] of probabilities.entries()) {
      expect(Math.abs(counts[i]! / draws - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / draws) + 1e-9);
    }
  });

  it('take the only replica, and any draw in [0, 1)', () => {
    expect(chooseReplica([replica('a')], 'p', [0, 0])).toEqual({ index: 0, probabilities: [1], why: 'only' });
    const last = 1 - 2 ** -53;
    for (const draws of [
      [0, 0],
      [last, last],
      [0, last],
      [last, 0],
    ] as const) {
      expect(chooseReplica(fleet(3), undefined, draws).index).toBeLessThan(3);
    }
    expect(() => chooseReplica([], undefined, [0, 0])).toThrow(/replicas/);
  });
});

describe('a prefix', () => {
  const names = fleet(8).map((r) => r.id);
  const keys = Array.from({ length: 4_000 }, (_, i) => `conversation ${i}`);

  it('has the same home each time, and every replica is home to its share', () => {
    const counts = names.map(() => 0);
    for (const key of keys) {
      expect(homesOf(key, names)).toEqual(homesOf(key, names));
      counts[homesOf(key, names)[0]!]!++;
    }
    for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(4 * Math.sqrt(500));
    expect(homesOf(42, names)).toEqual(homesOf('42', names));
  });

  it('stays at home when another replica goes, and its second home takes over when its own goes', () => {
    const gone = names.slice(0, -1);
    for (const key of keys) {
      const [first, second] = homesOf(key, names);
      const after = gone[homesOf(key, gone)[0]!];
      expect(after).toBe(names[first === names.length - 1 ? second! : first!]);
    }
  });

  it('goes home while home is neither saturated nor far above its share', () => {
    const replicas = fleet(8, { inFlight: 4 });
    const [home, second] = homesOf('p', names);
    expect(chooseReplica(replicas, 'p', [0, 0])).toMatchObject({ index: home, why: 'prefix' });
    expect(chooseReplica(replicas, 'p', [0, 0]).probabilities[home!]).toBe(1);
    const at = (change: Partial<Replica>): Replica[] => replicas.map((r, i) => (i === home ? { ...r, ...change } : r));
    for (const change of [{ inFlight: 7 }, { waiting: 5 }, { kvCacheUse: 0.8 }]) {
      expect(chooseReplica(at(change), 'p', [0, 0])).toMatchObject({ index: second, why: 'prefix' });
    }
    expect(saturationOf({ waiting: 4, kvCacheUse: 0.4 })).toBe(0.8);
  });

  it('with every home saturated it is two choices', () => {
    expect(chooseReplica(fleet(4, { kvCacheUse: 0.9 }), 'p', [0.3, 0.6]).why).toBe('two-choices');
  });

  it('that everybody asks for loads no replica beyond 1.25 times its share', () => {
    const loads = names.map(() => 0);
    for (let i = 0; i < 400; i++) {
      const replicas = loads.map((inFlight, n) => replica(names[n]!, { inFlight, capacity: 100 }));
      loads[chooseReplica(replicas, 'hot', [0.5, 0.5]).index]!++;
    }
    expect(Math.max(...loads)).toBeLessThanOrEqual(Math.ceil((1.25 * 400) / 8));
  });
});

describe('hardware that is no equal', () => {
  const costs = (costUsd: number, idleCostUsd = costUsd): Partial<Replica> => ({ costUsd, idleCostUsd });
  /** How many of 2,000 prefixes are sent to each of two. */
  const sent = (one: Partial<Replica>, other: Partial<Replica>): number[] => {
    const counts = [0, 0];
    for (let i = 0; i < 2_000; i++) {
      const { index, probabilities } = chooseReplica([replica('l0', one), replica('l1', other)], `prefix ${i}`, [0, 0]);
      expect(probabilities[index]).toBe(1);
      counts[index]!++;
    }
    return counts;
  };

  it('is home to no prefix while the better one is better now', () => {
    expect(sent(costs(0.001), costs(0.04))).toEqual([2_000, 0]);
    expect(sent(costs(0.01, 0.001), costs(0.04))).toEqual([2_000, 0]);
    expect(chooseReplica([replica('l0'), replica('l1', costs(0.04))], 'p', [0, 0]).probabilities).toEqual([1, 0]);
  });

  it('takes part again when the better one is so full that it is no better now', () => {
    const [full, slow] = sent({ ...costs(0.05, 0.001), inFlight: 9 }, costs(0.04));
    expect([full, slow]).toEqual([0, 2_000]);
    expect(sent(costs(0.05, 0.001), costs(0.04)).every((count) => count > 900)).toBe(true);
  });

  it('is what load does not make: equals keep their prefixes whoever is fuller this moment', () => {
    expect(sent(costs(0.004, 0.001), costs(0.001)).every((count) => count > 900)).toBe(true);
    expect(sent(costs(0.001), costs(0.00124)).every((count) => count > 900)).toBe(true);
  });

  it('keeps a prefix as far as its warmth is worth the loss', () => {
    expect(sent(costs(0.001), { ...costs(0.002), warmUsd: 0.0011 }).every((count) => count > 900)).toBe(true);
    expect(sent(costs(0.001), { ...costs(0.002), warmUsd: 0.0009 })).toEqual([2_000, 0]);
  });

  it('is drawn by nobody, and of the others two are, as often as they say', () => {
    const replicas = [replica('slow', costs(0.04)), ...fleet(3)].map((r, i) => ({ ...r, predictedSeconds: 1 + i }));
    const random = seededRandom(12);
    const counts = replicas.map(() => 0);
    for (let i = 0; i < 6_000; i++) counts[chooseReplica(replicas, undefined, [random(), random()]).index]!++;
    const { probabilities, why } = chooseReplica(replicas, undefined, [0, 0]);
    expect([why, counts[0], probabilities[0]]).toEqual(['two-choices', 0, 0]);
    expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    for (const [i, p] of probabilities.entries()) expect(Math.abs(counts[i]! / 6_000 - p)).toBeLessThan(0.03);
    expect(chooseReplica(replicas.slice(0, 2), undefined, [0, 0])).toEqual({
      index: 1,
      probabilities: [0, 1],
      why: 'only',
    });
  });
});
