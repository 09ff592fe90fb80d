import { describe, expect, it } from 'vitest';
import { HostConfig, ThroughputConfig } from './hosts-config.js';
import { parseConfig } from './load-config.js';

const owned = { purchaseUsd: '1000', salvageUsd: '100', lifeYears: 5, inServiceFrom: '2026-01-01T00:00:00Z' };
const power = { idleWattsPerGpu: 100, loadWattsPerGpu: 700, usdPerKilowattHour: '0.20' };
const problems = (schema: typeof HostConfig | typeof ThroughputConfig, value: object): string[] => {
  const parsed = schema.safeParse(value);
  return parsed.success ? [] : parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`);
};
const host = (over: object): string[] => problems(HostConfig, { id: 'h', gpus: 1, owned, power, ...over });
const band = (over: object): string[] =>
  host({ power: { ...power, tariff: [{ fromHour: 22, toHour: 6, usdPerKilowattHour: '0.1', ...over }] } });

describe('a host', () => {
  it('has defaults that are said: GPUs are read, practical capacity is .6 of available time, a tariff is in UTC', () => {
    expect(HostConfig.parse({ id: 'h', gpus: 1, owned, power })).toMatchObject({
      practicalCapacity: 0.6,
      availability: 1,
      owned: { schedule: 'straight-line' },
      power: { pue: 1, timeZone: 'UTC', meters: ['nvidia-smi'], unmeasuredWatts: 0 },
    });
  });

  it.each<[string, string[], RegExp]>([
    ['that is neither bought nor rented', host({ owned: undefined }), /exactly one of owned and rented/],
    ['that is both', host({ rented: { usdPerGpuHour: '2' } }), /exactly one/],
    ['that is worth more at its end than at first', host({ owned: { ...owned, salvageUsd: '1000.01' } }), /salvageUsd/],
    [
      'by units of production without a lifetime',
      host({ owned: { ...owned, schedule: 'units-of-production' } }),
      /lifetimeGpuHours/,
    ],
    ['that draws less when it works', host({ power: { ...power, loadWattsPerGpu: 99 } }), /idleWattsPerGpu/],
    ['whose tariff is on Mars', host({ power: { ...power, timeZone: 'Mars/Base' } }), /IANA/],
    ['with a band of no hours', band({ toHour: 22 }), /0 to 24/],
    ['that never works', host({ availability: 0 }), /availability/],
    ['with more than all of its capacity', host({ practicalCapacity: 1.1 }), /practicalCapacity/],
    ['with a field that nobody reads', host({ usdPerYear: '5' }), /usdPerYear/],
    ['whose price is negative', host({ wearUsdPerGpuHour: '-1' }), /negative/],
  ])('%s is refused', (_name, found, expected) => {
    expect(found.join('\n')).toMatch(expected);
  });

  it('a band over midnight is fine', () => {
    expect(band({})).toEqual([]);
    expect(band({ toHour: 0 })).toEqual([]);
  });
});

it('a decode rate cannot have two values for one batch size', () => {
  const point = { batch: 8, tokensPerSecond: 100 };
  expect(
    problems(ThroughputConfig, { prefillTokensPerSecond: 1, decodeTokensPerSecond: [point, point] }).join(),
  ).toMatch(/twice/);
});

it.each([
  ['a host that is not there', 'gpu-2', 1, /needs its host "gpu-2" in hosts/],
  ['more GPUs than its host has', 'gpu-1', 9, /backends.0.throughput.gpus: the host "gpu-1" has 8/],
])('a throughput on %s is refused', (_name, id, gpus, expected) => {
  const text = JSON.stringify({
    version: 1,
    orgs: [{ id: 'acme' }],
    hosts: [{ id: 'gpu-1', gpus: 8, owned }],
    backends: [
      {
        id: 'b',
        kind: 'local',
        host: id,
        provider: 'p',
        model: 'm',
        baseUrl: 'http://127.0.0.1:1/v1',
        contextTokens: 10,
        maxOutputTokens: 5,
        throughput: { gpus, prefillTokensPerSecond: 1, decodeTokensPerSecond: 1 },
      },
    ],
  });
  expect(() => parseConfig(text, 'my.yaml', {})).toThrow(expected);
});
