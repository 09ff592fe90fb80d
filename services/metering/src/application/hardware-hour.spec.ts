import { describe, expect, it } from 'vitest';
import { HostConfig, ThroughputConfig, type BackendConfig } from '@meritorder/contracts';
import { EMPTY_FIT, observeSpeed, type ThroughputFit } from '@meritorder/hardware-core';
import type { BackendUsage, HostHourFacts } from '@meritorder/ledger-store';
import { CLOSING_GRACE_MS, hostHour, hoursToClose } from './hardware-hour.js';

const HOUR = 3_600_000;
const AT = new Date('2026-11-24T10:00:00Z');
/** $7.20 an hour for practically half of two GPUs: $2 a GPU-second times 1/1,000. */
const config = HostConfig.parse({ id: 'gpu-1', gpus: 2, rented: { usdPerGpuHour: '3.60' }, practicalCapacity: 0.5 });
const backend = {
  id: 'llama',
  throughput: ThroughputConfig.parse({ gpus: 2, prefillTokensPerSecond: 1_000, decodeTokensPerSecond: 100, batch: 8 }),
} as BackendConfig;
const none = { inputTokens: 0, cacheReadTokens: 0, cacheWrite5mTokens: 0, cacheWrite1hTokens: 0, outputTokens: 0 };
const usage = (over: Partial<BackendUsage>): BackendUsage => ({
  backend: 'llama',
  provider: 'acme-gpus',
  attempts: 1,
  lateAttempts: 0,
  absorbedNanos: 0n,
  tokens: none,
  timedReplicaMicroseconds: 0n,
  untimed: none,
  ...over,
});
const facts = (of: Partial<HostHourFacts>): HostHourFacts => ({
  host: 'gpu-1',
  hour: AT,
  usage: [],
  busyBeforeGpuMicroseconds: 0n,
  measured: undefined,
  lateMeasuredMs: 0,
  ...of,
});
const unfitted = { priced: () => undefined, latest: () => undefined };
const close = (of: Partial<HostHourFacts>, fits = unfitted as Parameters<typeof hostHour>[2]) =>
  hostHour(config, [backend], fits, facts(of));

describe('a host’s hour', () => {
  it('without use is all idle', () => {
    expect(close({})).toMatchObject({
      incurredNanos: 7_200_000_000n,
      allocatedNanos: 0n,
      idleNanos: 7_200_000_000n,
      busyGpuMicroseconds: 0n,
      availableGpuMicroseconds: 7_200_000_000n,
      practicalGpuMicroseconds: 3_600_000_000n,
      energyBasis: 'configured',
    });
  });

  it('standard work is tokens at the planned rates; work is what engines timed, and tokens where they did not', () => {
    const tokens = { ...none, inputTokens: 60_000, cacheReadTokens: 99_999, outputTokens: 9_000 };
    const untimed = { ...none, inputTokens: 10_000 };
    const hour = close({ usage: [usage({ tokens, untimed, timedReplicaMicroseconds: 200_000_000n })] });
    // (60 s + 90 s) of two GPUs; (200 s + 10 s) of two.
    expect(hour.standardGpuMicroseconds).toBe(300_000_000n);
    expect(hour.busyGpuMicroseconds).toBe(420_000_000n);
  });

  it('a slower engine is a line of its own, and all lines are the difference', () => {
    const tokens = { ...none, outputTokens: 10_000 };
    // Charged as planned: 200 GPU-seconds at $0.002.
    const hour = close({
      usage: [usage({ tokens, absorbedNanos: 400_000_000n, timedReplicaMicroseconds: 150_000_000n })],
    });
    expect(hour.variances).toEqual({
      unusedCapacity: 6_600_000_000n,
      rate: 200_000_000n,
      energy: 0n,
      spending: 0n,
      price: 0n,
    });
    expect(hour.idleNanos).toBe(6_800_000_000n);
  });

  it('prices and work each have their own fit', () => {
    const at = (decodeMs: number): ThroughputFit =>
      Array.from({ length: 40 }, () => ({
        timings: { prefillTokens: 0, prefillMs: 0, decodeTokens: 100, decodeMs },
        usage: undefined,
        concurrency: 8,
      })).reduce((fit, o) => observeSpeed(fit, o, 'uncached'), EMPTY_FIT);
    const tokens = { ...none, outputTokens: 8_000 };
    const hour = close(
      { usage: [usage({ tokens, untimed: tokens })] },
      // 100 tokens of one stream of eight in 8 s are 100 tokens/s together; in 4 s they are 200.
      { priced: () => at(8_000), latest: () => at(4_000) },
    );
    expect([hour.standardGpuMicroseconds, hour.busyGpuMicroseconds]).toEqual([160_000_000n, 80_000_000n]);
  });

  it('a backend that is gone from the configuration counts with what it was charged', () => {
    const gone = usage({ backend: 'gone', absorbedNanos: 5n, timedReplicaMicroseconds: 1_000n });
    expect(close({ usage: [gone] })).toMatchObject({
      allocatedNanos: 5n,
      idleNanos: 7_199_999_995n,
      busyGpuMicroseconds: 0n,
      variances: { price: -5n },
    });
  });
});

describe('which hours are closed', () => {
  const open = AT.getTime();
  const hours = (nowMs: number): number => [...hoursToClose(open, nowMs)].length;

  it.each([
    ['none before the hour is over', open + HOUR - 1, 0],
    ['none within the grace', open + HOUR + CLOSING_GRACE_MS - 1, 0],
    ['one after it', open + HOUR + CLOSING_GRACE_MS, 1],
    ['all that were missed', open + 49 * HOUR, 48],
  ])('%s', (_name, nowMs, expected) => {
    expect(hours(nowMs)).toBe(expected);
  });
});
