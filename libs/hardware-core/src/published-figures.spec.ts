import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HostConfig, ThroughputConfig, type RateCard } from '@meritorder/contracts';
import { rate } from '@meritorder/pricing-core';
import {
  configuredThroughput,
  costOfWork,
  decodeAtBatch,
  gpuSeconds,
  gpuSecondsOf,
  hardwareCards,
  hostOf,
  joulesPerToken,
  roundHalfEven,
  tokensPerSecond,
  toNumber,
  unitPrices,
  watts,
} from './index.js';

const AT = Date.parse('2026-11-24T10:00:00Z');
const usage = (inputTokens: number, cacheReadTokens: number, outputTokens: number) => ({
  inputTokens,
  cacheReadTokens,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens,
  requests: 0,
});
const dollars = (nanos: bigint): string => (Number(nanos) / 1e9).toFixed(2);

describe('DeepSeek’s disclosure: 226.75 nodes of 8 GPUs at $2, 608 B input and 168 B output tokens in a day', () => {
  const node = hostOf(HostConfig.parse({ id: 'node', gpus: 8, rented: { usdPerGpuHour: '2' }, practicalCapacity: 1 }));
  // 73.7k tokens/s of prefill count hits too; so all 608 B input tokens do.
  const throughput = configuredThroughput(
    ThroughputConfig.parse({
      gpus: 8,
      prefillTokensPerSecond: 73_700,
      prefillCounts: 'all',
      decodeTokensPerSecond: 14_800,
    }),
  );
  const { full } = unitPrices(node, AT);
  const cost = (input: number, hits: number, output: number): bigint =>
    roundHalfEven(costOfWork(full!, gpuSecondsOf(throughput, usage(input, hits, output))));

  it('by tokens it is $36,665.16 + $50,450.45 = $87,115.61', () => {
    const [input, output] = [cost(266e9, 342e9, 0), cost(0, 0, 168e9)];
    expect([input, output, input + output].map(dollars)).toEqual(['36665.16', '50450.45', '87115.61']);
    expect(Math.abs(Number(cost(266e9, 342e9, 168e9) - input - output))).toBeLessThanOrEqual(1);
  });

  it('by node-hours it is $87,072.00, 0.05 % less', () => {
    const day = roundHalfEven(costOfWork(full!, gpuSeconds(226.75 * 8 * 24 * 3_600)));
    expect(dollars(day)).toBe('87072.00');
    expect(Number(cost(266e9, 342e9, 168e9)) / Number(day) - 1).toBeCloseTo(0.0005, 4);
  });

  it('per 1M tokens it is $0.0603 in and $0.3003 out, cached or not', () => {
    const cards = hardwareCards(node, throughput, AT)!;
    expect(Number(cards.full.inputPicosPerToken) / 1e6).toBeCloseTo(0.0603, 4);
    expect(Number(cards.full.outputPicosPerToken) / 1e6).toBeCloseTo(0.3003, 4);
    // A card's price is a whole number of pico-dollars, so 776 B tokens may be off by half of one each.
    const { fullNanos } = rate(cards, usage(266e9, 342e9, 168e9), { atMs: AT });
    expect(Math.abs(Number(fullNanos) / 1e9 - 87_115.61)).toBeLessThan(0.5 * 0.776 + 0.01);
  });
});

interface LoadPoint {
  gpus: number;
  batch: number;
  tokensPerSecond: number;
  watts: number;
}

/** What 1M output tokens cost at a load point: GPUs by the hour, electricity as drawn (PUE 1, idle not subtracted). */
function atLoad(point: LoadPoint): { rent: number; electricity: number } {
  const host = hostOf(
    HostConfig.parse({
      id: 'h',
      gpus: point.gpus,
      rented: { usdPerGpuHour: '2.50' },
      power: { idleWattsPerGpu: 0, loadWattsPerGpu: point.watts / point.gpus, usdPerKilowattHour: '0.12' },
      practicalCapacity: 1,
    }),
  );
  const throughput = configuredThroughput(
    ThroughputConfig.parse({
      gpus: point.gpus,
      prefillTokensPerSecond: 1,
      decodeTokensPerSecond: point.tokensPerSecond,
      batch: point.batch,
    }),
  );
  const cards = hardwareCards(host, throughput, AT)!;
  const perMillion = (card: RateCard): number =>
    Number(rate({ cash: card, full: card }, usage(0, 0, 1_000_000), { atMs: AT }).cashNanos) / 1e9;
  return { rent: perMillion(cards.full) - perMillion(cards.marginal), electricity: perMillion(cards.marginal) };
}

describe('4 x H100 with Llama-3.1-70B at $2.50 a GPU-hour and $0.12/kWh, as ml.energy measured it', () => {
  it.each([
    // batch, tokens/s, watts; $ per 1M output tokens for the GPUs and for electricity, as published.
    [8, 469.6893, 1_765.4279, '5.9', '0.125'],
    [256, 4_915.1035, 2_354.2984, '0.57', '0.016'],
  ])('batch %d', (batch, tokensPerSecond, power, rent, electricity) => {
    const cost = atLoad({ gpus: 4, batch, tokensPerSecond, watts: power });
    expect(cost.rent.toPrecision(2)).toBe(rent);
    expect(cost.electricity.toFixed(3)).toBe(electricity);
  });
});

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

interface MeasuredPoint extends LoadPoint {
  joulesPerToken: number;
  /** What was measured: points of one series differ in their load alone. */
  series: string;
}

/** Every table of this kind in the folder: columns by name, in any order. */
function measuredPoints(folder: string): MeasuredPoint[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.csv'))
    .flatMap((name) => {
      const [head, ...lines] = readFileSync(join(folder, name), 'utf8').trim().split(/\r?\n/);
      const columns = head!.split(',');
      return lines.map((line) => {
        const cells = line.split(',');
        const text = (column: string): string => cells[columns.indexOf(column)] ?? '';
        const number = (column: string): number => {
          const value = Number(text(column) || NaN);
          if (!Number.isFinite(value)) throw new Error(`${name}: "${line}" has no number in ${column}`);
          return value;
        };
        return {
          series: [name, text('task'), text('model_id'), text('gpu_model'), text('num_gpus')].join(' '),
          gpus: number('num_gpus'),
          batch: number('avg_batch_size'),
          tokensPerSecond: number('output_throughput_tokens_per_sec'),
          watts: number('avg_power_watts'),
          joulesPerToken: number('energy_per_token_joules'),
        };
      });
    });
}

describe.skipIf(!data)('every load point of the measured tables (MERITORDER_TEST_DATA)', () => {
  const points = data ? measuredPoints(join(data, 'energy')) : [];

  it('has the table’s joules per token, and costs what they and the GPUs do', () => {
    expect(points.length).toBeGreaterThan(0);
    for (const point of points) {
      const joules = toNumber(joulesPerToken(watts(point.watts), tokensPerSecond(point.tokensPerSecond)));
      expect(joules / point.joulesPerToken).toBeCloseTo(1, 6);
      const { rent, electricity } = atLoad(point);
      // Half a pico-dollar a token is $0.0000005 per 1M; the tables have more digits than a configuration keeps.
      expect(Math.abs(electricity - (point.joulesPerToken * 1e6 * 0.12) / 3.6e6)).toBeLessThan(2e-6);
      expect(Math.abs(rent - (point.gpus * 2.5 * 1e6) / (3_600 * point.tokensPerSecond))).toBeLessThan(2e-6);
    }
  });

  it('is met within 25 % by interpolation between the others of its series', () => {
    let worst = 0;
    for (const series of Map.groupBy(points, (p) => p.series).values()) {
      const sorted = series.toSorted((a, b) => a.batch - b.batch);
      for (const point of sorted.slice(1, -1)) {
        const others = sorted.filter((p) => p !== point);
        worst = Math.max(worst, Math.abs(decodeAtBatch(others, point.batch) / point.tokensPerSecond - 1));
      }
    }
    if (process.env['MERITORDER_PRINT'] === '1')
      console.log(`interpolation: at most ${(100 * worst).toFixed(1)} % off`);
    expect(worst).toBeLessThan(0.25);
  });
});
