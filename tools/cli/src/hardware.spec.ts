import { describe, expect, it } from 'vitest';
import type { HardwareRow } from '@meritorder/contracts';
import { hardwareText } from './hardware.js';

const prices = {
  inputUsdPerMillionTokens: '0.234500',
  cacheReadUsdPerMillionTokens: '0.000000',
  outputUsdPerMillionTokens: '2.413900',
};
const row: HardwareRow = {
  host: 'gpu-1',
  name: 'The big one',
  from: '2026-11-01T00:00:00.000Z',
  to: '2026-12-01T00:00:00.000Z',
  hoursClosed: 552,
  incurred: { depreciation: '4000000000000', rent: '0', idlePower: '123456789' },
  incurredNanos: '4000123456789',
  allocatedNanos: '1000000000001',
  idleNanos: '3000123456788',
  variances: { unusedCapacity: '3100000000000', rate: '-99876543212', energy: '0', spending: '0', price: '0' },
  attempts: 1_200,
  lateAttempts: 3,
  gpuHours: { available: 4_416, practical: 2_649.6, standard: 600, busy: 550.04 },
  energy: {
    measuredHours: 500,
    partlyMeasuredHours: 2,
    configuredHours: 50,
    measuredKilowattHours: 1_234.567,
    gpuUtilization: 0.131,
  },
  marginalUsdPerGpuHour: '0.1464',
  fullUsdPerGpuHour: '4.345',
  absorbedAtActualUseUsdPerGpuHour: '7.272727272',
  backends: [
    {
      backend: 'llama',
      attempts: 1_200,
      inputTokens: 3,
      cacheReadTokens: 0,
      outputTokens: 1,
      throughput: {
        gpus: 4,
        prefillTokensPerSecond: 20_123.4,
        prefillBasis: 'fitted',
        decodeTokensPerSecond: 2_000,
        decodeBasis: 'configured',
        batch: 32,
        attempts: 812,
      },
      full: prices,
      marginal: prices,
      mix: { inputTokens: 750_000, cacheReadTokens: 0, outputTokens: 250_000 },
      breakEven: [
        { cloud: 'near', verdict: 'from', use: 0.628, cloudUsd: '0.9', marginalUsd: '0.0123' },
        { cloud: 'cheap', verdict: 'beyond-full-use', use: 6.57, cloudUsd: '0.09', marginalUsd: '0.0123' },
        { cloud: 'free', verdict: 'never', cloudUsd: '0', marginalUsd: '0.0123' },
      ],
    },
  ],
};

describe('the report of a host', () => {
  const text = hardwareText([row]);

  it.each([
    'gpu-1 (The big one), 2026-11: 552 hours closed',
    /^incurred +4000\.123456789$/m,
    /^ {4}depreciation +4000\.0000$/m,
    /^ {4}idle power +0\.123456789$/m,
    /^allocated to 1200 attempts, 3 of them late +1000\.000000001$/m,
    /^idle +3000\.123456788$/m,
    /^ {4}unused capacity +3100\.0000$/m,
    /^ {4}engine slower \(-: faster\) than prices assume +-99\.876543212$/m,
    'busy 550.0 GPU-hours (12.5 % of available time), 600.0 at the rates that prices rest on; practical capacity 2649.6 of 4416.0',
    'power: measured in 500 hours, partly measured in 2, as configured in 50; 1234.57 kWh by the meters, whose GPUs say they were busy 13.1 % of the time',
    'a GPU-hour costs $0.1464 more when it is busy (marginal), $4.345 with its share of everything (full); spread over actual use it was $7.272727272',
    /^llama +1200 +0\.2345 +0\.00 +2\.4139/m,
    'llama: prefill 20120 tokens/s (fitted), decode 2000 tokens/s at batch 32 (configured), from 812 attempts',
    'llama against near: pays from 62.8 % of available time on, at equal quality; 1M tokens (75.0 % input, 0.0 % cached, 25.0 % output) are $0.90 there and add $0.0123 here',
    'llama against cheap: does not pay even at full use (it would from 657.0 %)',
    'llama against free: never pays',
  ])('says %s', (line) => {
    if (typeof line === 'string') expect(text).toContain(line);
    else expect(text).toMatch(line);
  });

  it('leaves lines without anything out', () => {
    expect(text).not.toMatch(/^ *rent/m);
  });

  it('shows over-absorption as such', () => {
    expect(hardwareText([{ ...row, idleNanos: '-5' }])).toMatch(/^over-absorbed +0\.000000005$/m);
  });

  it('of a new host divides by nothing', () => {
    const fresh = hardwareText([
      {
        ...row,
        hoursClosed: 0,
        fullUsdPerGpuHour: null,
        absorbedAtActualUseUsdPerGpuHour: null,
        gpuHours: { available: 0, practical: 0, standard: 0, busy: 0 },
        energy: {
          measuredHours: 0,
          partlyMeasuredHours: 0,
          configuredHours: 0,
          measuredKilowattHours: 0,
          gpuUtilization: null,
        },
        backends: [],
      },
    ]);
    expect(fresh).not.toMatch(/NaN|Infinity|undefined|null/);
    expect(fresh).toContain('power: nothing yet');
  });
});

it('without hosts there is nothing to report', () => {
  expect(hardwareText([])).toBe('the configuration has no hosts');
});
