import { describe, expect, it } from 'vitest';
import { HostConfig, ThroughputConfig } from '@meritorder/contracts';
import { usdToNanos } from '@meritorder/kernel';
import {
  breakEven,
  configuredThroughput,
  gpuSecondsOf,
  hostOf,
  toNumber,
  unitPrices,
  type BreakEven,
  type TokenCounts,
} from './index.js';

const AT = Date.parse('2026-11-24T10:00:00Z');
const tokens = (inputTokens: number, outputTokens: number): TokenCounts => ({
  inputTokens,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens,
});
/** 4 H100 at $2.50 with Llama-3.1-70B, its rates as ml.energy measured them. */
const decode = [
  { batch: 8, tokensPerSecond: 469.689 },
  { batch: 256, tokensPerSecond: 4_915.1 },
];

function against(cloudUsdPerMillionOutput: string, batch: number, over: object = {}): BreakEven {
  const host = hostOf(HostConfig.parse({ id: 'h', gpus: 4, rented: { usdPerGpuHour: '2.50' }, ...over }));
  const throughput = configuredThroughput(
    ThroughputConfig.parse({ gpus: 4, prefillTokensPerSecond: 1e6, decodeTokensPerSecond: decode, batch }),
  );
  return breakEven({
    host,
    prices: unitPrices(host, AT),
    work: gpuSecondsOf(throughput, tokens(0, 1_000_000)),
    cloudNanos: usdToNanos(cloudUsdPerMillionOutput),
  });
}

describe('break-even use against a cloud backend', () => {
  it('is the use at which both cost the same, at the batch size it runs at', () => {
    // $10 an hour over 4,915 x 3,600 tokens is $0.565 per 1M at full use, so 62.8 % of that against $0.90.
    expect(against('0.90', 256)).toEqual({ verdict: 'from', use: expect.closeTo(0.5652 / 0.9, 3) });
    // The same GPUs at batch 8 cost $5.91 per 1M: more than six times what the cloud asks.
    expect(against('0.90', 8)).toEqual({ verdict: 'beyond-full-use', use: expect.closeTo(5.914 / 0.9, 2) });
  });

  it('needs more use where they can work less', () => {
    expect(against('0.90', 256, { availability: 0.5 })).toMatchObject({ use: expect.closeTo(2 * (0.5652 / 0.9), 3) });
  });

  it('is never, when what one more token costs here is what the cloud asks', () => {
    // 4 x 700 W at $0.50/kWh over 470 tokens/s is $0.83 per 1M in energy alone.
    const power = { idleWattsPerGpu: 0, loadWattsPerGpu: 700, usdPerKilowattHour: '0.50' };
    expect(against('0.82', 8, { power })).toEqual({ verdict: 'never' });
    expect(against('0.84', 8, { power })).toMatchObject({ verdict: 'beyond-full-use' });
    expect(against('0', 256)).toEqual({ verdict: 'never' });
  });

  it('nothing to compare, or no capacity, is never and divides by nothing', () => {
    const host = hostOf(HostConfig.parse({ id: 'h', gpus: 4, rented: { usdPerGpuHour: '2.50' } }));
    const prices = unitPrices(host, AT);
    const throughput = configuredThroughput(
      ThroughputConfig.parse({ prefillTokensPerSecond: 1, decodeTokensPerSecond: 1 }),
    );
    expect(breakEven({ host, prices, work: gpuSecondsOf(throughput, tokens(0, 0)), cloudNanos: 5n })).toEqual({
      verdict: 'never',
    });
    const dead = { ...host, availability: { ...host.availability, numerator: 0n } };
    expect(breakEven({ host: dead, prices, work: gpuSecondsOf(throughput, tokens(0, 9)), cloudNanos: 5n })).toEqual({
      verdict: 'never',
    });
  });

  it('at that use a mix of input and output costs the same here and there', () => {
    const host = hostOf(
      HostConfig.parse({
        id: 'h',
        gpus: 8,
        owned: { purchaseUsd: '300000', lifeYears: 4, inServiceFrom: '2026-01-01T00:00:00Z' },
        power: { idleWattsPerGpu: 90, loadWattsPerGpu: 650, pue: 1.3, usdPerKilowattHour: '0.18' },
        availability: 0.97,
      }),
    );
    const prices = unitPrices(host, AT);
    const throughput = configuredThroughput(
      ThroughputConfig.parse({ gpus: 8, prefillTokensPerSecond: 40_000, decodeTokensPerSecond: 3_000, batch: 64 }),
    );
    const mix = tokens(3_000_000, 1_000_000);
    const work = gpuSecondsOf(throughput, mix);
    const cloudNanos = usdToNanos('5.50');
    const answer = breakEven({ host, prices, work, cloudNanos });
    expect(answer.verdict).toBe('from');
    const { use } = answer as { use: number };
    const busySeconds = use * 3_600 * 0.97 * 8;
    const here =
      toNumber(prices.fixedPerHour) + toNumber(prices.idlePowerPerHour) + busySeconds * toNumber(prices.marginal);
    const there = (busySeconds / toNumber(work)) * Number(cloudNanos);
    expect(here / there).toBeCloseTo(1, 9);
  });
});
