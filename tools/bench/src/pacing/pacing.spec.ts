import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { newWindow, overspendNanos, reserve, settle } from './budget-holds.js';
import { estimator } from './estimates.js';
import { interval95 } from './interval.js';
import { readRewards, type JudgedPrompt } from './rewards.js';
import { runScenario, SCENARIOS, usdPerRequest } from './scenarios.js';
import { makeTraffic, OFFICE } from './traffic.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

/** A dear model is better at tag `b` only, a middle one slightly better at all. */
function generated(count: number): JudgedPrompt[] {
  const random = seededRandom(11);
  return Array.from({ length: count }, (_, index) => {
    const tag = index % 2 ? 'a' : 'b';
    return {
      tag,
      characters: 50 + Math.floor(random() * 500),
      rewards: [0.6 + 0.1 * random(), 0.7 + 0.1 * random(), tag === 'b' ? 0.95 : 0.72],
      costsNanos: [20_000, 300_000, 6_000_000].map((mean) => Math.ceil(mean * (0.5 + random()))),
    };
  });
}

describe('holds', () => {
  it('are in all windows of a path or in none, and never beyond a limit', () => {
    const [org, team] = [newWindow(1_000), newWindow(500)];
    expect(reserve([org, team], 400)).toBe(true);
    expect(reserve([org, team], 101)).toBe(false);
    expect([org.reservedNanos, team.reservedNanos]).toEqual([400, 400]);
    settle([org, team], 400, 250);
    expect(org).toEqual({ limitNanos: 1_000, settledNanos: 250, reservedNanos: 0, peakNanos: 400 });
    expect(overspendNanos([org, team])).toBe(0);
    settle([team], 0, 300);
    expect(overspendNanos([org, team])).toBe(50);
  });
});

describe('estimates', () => {
  it('expect in sum what was seen, for quality and for cost, and learn what a tag says', () => {
    const known = generated(1_000);
    const expected = known.map(estimator(known, 3, 1));
    for (const model of [0, 1, 2]) {
      const seen = known.reduce((sum, p) => sum + p.costsNanos[model]! / 1e9, 0);
      expect(expected.reduce((sum, c) => sum + c[model]!.expectedUsd, 0) / seen).toBeCloseTo(1, 9);
    }
    const value = (tag: string): number => expected[known.findIndex((p) => p.tag === tag)]![2]!.valueUsd;
    expect(value('b') - value('a')).toBeGreaterThan(0.2);
  });
});

describe('traffic', () => {
  it('has the demand that was planned, in order of time, and the forecast knows nothing of its changes', () => {
    const prompts = [{ tag: '', candidates: [] }];
    const plan = { requestsPerDay: 1_000, teams: [1], demand: (day: number) => (day < 10 ? 1 : 2), shape: OFFICE };
    const traffic = makeTraffic(plan, prompts, seededRandom(5));
    const times = traffic.requests.map((r) => r.atMs);
    expect(times.length / 50_000).toBeCloseTo(1, 1);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(traffic.forecastUntil(0, 30 * 86_400_000) / 30_000).toBeGreaterThan(0.6);
    expect(traffic.forecastUntil(0, 30 * 86_400_000) / 30_000).toBeLessThan(1.6);
  });
});

describe('a restless shape', () => {
  it('has bursts that its forecast does not know, and sleeps at night', () => {
    const shape = { weekend: 0.1, swing: 0.98, bursts: { chance: 0.02, factor: 6 } };
    const plan = { requestsPerDay: 1_000, teams: [1], demand: () => 1, shape };
    const { requests } = makeTraffic(plan, [{ tag: '', candidates: [] }], seededRandom(5));
    const byHour = Array.from({ length: 720 }, () => 0);
    for (const { atMs } of requests) byHour[Math.floor(atMs / 3_600_000)]! += 1;
    const calm = makeTraffic(
      { ...plan, shape: { weekend: 0.1, swing: 0.98 } },
      [{ tag: '', candidates: [] }],
      seededRandom(5),
    );
    expect(requests.length).toBeGreaterThan(calm.requests.length);
    expect(Math.max(...byHour)).toBeGreaterThan(300);
    expect(byHour.filter((_, hour) => hour % 24 === 2).reduce((a, b) => a + b)).toBeLessThan(0.01 * requests.length);
  });
});

describe('an interval', () => {
  it('is that of Student', () => {
    const { mean, low, high } = interval95([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(mean).toBe(5.5);
    // 2.262 x 3.0277 / sqrt(10)
    expect((high - low) / 2).toBeCloseTo(2.1659, 2);
  });
});

describe('a file of rewards', () => {
  it('is refused with the line where a model has no reward and cost', () => {
    const folder = mkdtempSync(join(tmpdir(), 'rewards-'));
    try {
      const line = { prompt: 'p', source: 's', arms: { a: { reward: 1, cost: 1e-5 }, b: { reward: 1, cost: 1e-3 } } };
      const file = join(folder, 'rewards.jsonl');
      writeFileSync(file, Array.from({ length: 40 }, () => JSON.stringify(line)).join('\n'));
      expect(readRewards(file)).toMatchObject({ models: ['a', 'b'], prompts: { length: 40 } });
      writeFileSync(file, `${JSON.stringify(line)}\n${JSON.stringify({ ...line, arms: { a: line.arms.a } })}\n`);
      expect(() => readRewards(file)).toThrow('line 2 has no reward and cost for each of a, b');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe.each(SCENARIOS.map((s) => s.name))('%s', (name) => {
  it('overspends nothing and is the same again with the same seed', () => {
    const judged = { models: ['cheap', 'middle', 'dear'], prompts: generated(200) };
    const scenario = SCENARIOS.find((s) => s.name === name)!;
    const setting = { requestsPerDay: 15, usdPerPoint: 1 };
    const { paced, hindsight } = runScenario(scenario, judged, setting, 3);
    expect(paced.overspendNanos).toBe(0);
    expect(hindsight.overspendNanos).toBe(0);
    expect(runScenario(scenario, judged, setting, 3).paced).toEqual(paced);
  });
});

if (!data) it.skip('real rewards of several models (MERITORDER_TEST_DATA is not set)');
else
  it('real rewards of several models are read, and their budget lies between the cheapest and the dearest', () => {
    const files = readdirSync(join(data, 'routing')).filter((file) => /^paretobandit.*\.jsonl$/.test(file));
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const judged = readRewards(join(data, 'routing', file));
      const means = judged.models.map(
        (_, m) => judged.prompts.reduce((sum, p) => sum + p.costsNanos[m]!, 0) / judged.prompts.length / 1e9,
      );
      expect(usdPerRequest(judged)).toBeGreaterThan(Math.min(...means));
      expect(usdPerRequest(judged)).toBeLessThan(Math.max(...means));
    }
  });
