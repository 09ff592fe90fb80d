import { describe, expect, it } from 'vitest';
import { HardwareRow, MeritorderConfig, type PriceVersion } from '@meritorder/contracts';
import { hardwareReport, monthSpan } from './hardware-report.js';
import type { ClosedHour } from '@meritorder/ledger-store';

const NOW = Date.parse('2026-11-24T10:00:00Z');
const zero = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' };
const config = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'acme' }],
  hosts: [
    { id: 'gpu-1', name: 'The big one', gpus: 4, rented: { usdPerGpuHour: '2.50' }, practicalCapacity: 0.5 },
    { id: 'gpu-2', gpus: 1, rented: { usdPerGpuHour: '1' } },
  ],
  backends: [
    ...['near', 'elsewhere', 'unpriced'].map((id) => ({
      id,
      kind: 'cloud',
      provider: 'p',
      model: id,
      baseUrl: 'http://127.0.0.1:1/v1',
      contextTokens: 10,
      maxOutputTokens: 5,
    })),
    {
      id: 'llama',
      kind: 'local',
      provider: 'acme-gpus',
      host: 'gpu-1',
      model: 'llama',
      baseUrl: 'http://127.0.0.1:1/v1',
      contextTokens: 10,
      maxOutputTokens: 5,
      throughput: { gpus: 4, prefillTokensPerSecond: 40_000, decodeTokensPerSecond: 4_915.1, batch: 256 },
    },
    {
      id: 'written',
      kind: 'local',
      provider: 'acme-gpus',
      host: 'gpu-2',
      model: 'llama',
      baseUrl: 'http://127.0.0.1:1/v1',
      contextTokens: 10,
      maxOutputTokens: 5,
      prices: [{ effectiveFrom: '2025-01-01T00:00:00Z', cash: zero, full: zero }],
    },
  ],
  routes: [
    { id: 'auto', backends: ['llama', 'near', 'unpriced'] },
    { id: 'cloud', backends: ['near', 'elsewhere'] },
  ],
});
const price = (backend: string, inputPicosPerToken: string, outputPicosPerToken: string): PriceVersion => {
  const rates = {
    inputPicosPerToken,
    cacheReadPicosPerToken: inputPicosPerToken,
    cacheWrite5mPicosPerToken: inputPicosPerToken,
    cacheWrite1hPicosPerToken: inputPicosPerToken,
    outputPicosPerToken,
    requestPicos: '0',
  };
  return {
    id: `pv-${backend}`,
    backend,
    effectiveFrom: '2025-01-01T00:00:00.000Z',
    cash: rates,
    full: rates,
    source: 't',
  };
};
const published = new Map([
  ['near', [price('near', '200000', '900000')]],
  ['elsewhere', [price('elsewhere', '1', '1')]],
  ['llama', [price('llama', '0', '0')]],
]);
const hour = (n: number, over: Partial<ClosedHour> = {}): ClosedHour => ({
  host: 'gpu-1',
  hour: new Date(Date.UTC(2026, 10, 1, n)),
  incurred: { rent: 10_000_000_000n },
  incurredNanos: 10_000_000_000n,
  allocatedNanos: 4_000_000_000n,
  idleNanos: 6_000_000_000n,
  variances: { unusedCapacity: 6_000_000_000n },
  availableGpuMicroseconds: 14_400_000_000n,
  practicalGpuMicroseconds: 7_200_000_000n,
  standardGpuMicroseconds: 3_600_000_000n,
  busyGpuMicroseconds: 7_200_000_000n,
  energyBasis: 'configured',
  attempts: 10,
  lateAttempts: 1,
  measuredMs: 0,
  measuredMillijoules: 0n,
  gpuUtilization: undefined,
  backends: [],
  ...over,
});
const tokens = {
  backend: 'llama',
  attempts: 10,
  inputTokens: 3_000,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 1_000,
};
const report = (hours: ClosedHour[], host?: string): HardwareRow[] =>
  hardwareReport({ config, host, ...monthSpan('2026-11'), nowMs: NOW, hours, published, priced: () => undefined });

describe('what own hardware cost in a month', () => {
  it('is the sum of its closed hours, and fits the contract', () => {
    const measured = {
      energyBasis: 'measured' as const,
      measuredMs: 3_600_000,
      measuredMillijoules: 7_200_000_000n,
      gpuUtilization: 0.5,
    };
    const [row] = report([hour(0), hour(1, measured), hour(2, { idleNanos: -1n, allocatedNanos: 10_000_000_001n })]);
    expect(HardwareRow.parse(row)).toEqual(row);
    expect(row).toMatchObject({
      host: 'gpu-1',
      name: 'The big one',
      from: '2026-11-01T00:00:00.000Z',
      to: '2026-12-01T00:00:00.000Z',
      hoursClosed: 3,
      incurredNanos: '30000000000',
      allocatedNanos: '18000000001',
      idleNanos: '11999999999',
      incurred: { rent: '30000000000', depreciation: '0' },
      attempts: 30,
      lateAttempts: 3,
      gpuHours: { available: 12, practical: 6, standard: 3, busy: 6 },
      energy: {
        measuredHours: 1,
        partlyMeasuredHours: 0,
        configuredHours: 2,
        measuredKilowattHours: 2,
        gpuUtilization: 0.5,
      },
      marginalUsdPerGpuHour: '0',
      fullUsdPerGpuHour: '5',
      absorbedAtActualUseUsdPerGpuHour: '5',
    });
  });

  it('a new or unused host has prices, and nothing is divided by its use', () => {
    const rows = report([]);
    expect(rows.map((r) => r.host)).toEqual(['gpu-1', 'gpu-2']);
    expect(rows[0]).toMatchObject({ hoursClosed: 0, fullUsdPerGpuHour: '5', absorbedAtActualUseUsdPerGpuHour: null });
    expect(rows[0]!.backends[0]!.mix).toEqual({ inputTokens: 0, cacheReadTokens: 0, outputTokens: 1_000_000 });
  });

  it('one host alone can be asked for', () => {
    expect(report([hour(0)], 'gpu-2').map((r) => r.host)).toEqual(['gpu-2']);
  });
});

describe('break-even', () => {
  it('is against the priced cloud backends of the same routes', () => {
    expect(report([])[0]!.backends[0]!.breakEven).toEqual([
      // $10 an hour over 4,915.1 x 3,600 tokens is $0.5652 per 1M.
      { cloud: 'near', verdict: 'from', use: expect.closeTo(0.628, 3), cloudUsd: '0.9', marginalUsd: '0' },
    ]);
  });

  it('is for the mix of tokens that came', () => {
    const { mix, breakEven } = report([hour(0, { backends: [tokens] })])[0]!.backends[0]!;
    expect(mix).toEqual({ inputTokens: 750_000, cacheReadTokens: 0, outputTokens: 250_000 });
    // $0.375 there; 18.75 s + 50.86 s of four GPUs here, $0.1934 at full use.
    expect(breakEven).toMatchObject([{ cloudUsd: '0.375', use: expect.closeTo(0.1934 / 0.375, 3) }]);
  });

  it('is not asked of a backend whose speed nobody gave', () => {
    expect(report([])[1]!.backends).toMatchObject([{ backend: 'written', breakEven: [] }]);
  });
});
