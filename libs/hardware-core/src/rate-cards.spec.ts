import { describe, expect, it } from 'vitest';
import { HostConfig, RateCard, ThroughputConfig } from '@meritorder/contracts';
import { rate } from '@meritorder/pricing-core';
import {
  cardsChangeAtMs,
  configuredThroughput,
  hardwareCards,
  hostOf,
  share,
  toNumber,
  unitPrices,
  type Host,
  type Throughput,
} from './index.js';

const AT = Date.parse('2026-11-24T10:00:00Z');
const host = (over: object = {}): Host =>
  hostOf(
    HostConfig.parse({
      id: 'gpu-1',
      gpus: 8,
      owned: { purchaseUsd: '250000', salvageUsd: '25000', lifeYears: 5, inServiceFrom: '2026-01-01T00:00:00Z' },
      power: { idleWattsPerGpu: 100, loadWattsPerGpu: 700, pue: 1.25, usdPerKilowattHour: '0.20' },
      practicalCapacity: 0.5,
      ...over,
    }),
  );
const throughput = (over: object = {}): Throughput =>
  configuredThroughput(
    ThroughputConfig.parse({
      gpus: 4,
      prefillTokensPerSecond: 20_000,
      decodeTokensPerSecond: [
        { batch: 8, tokensPerSecond: 470 },
        { batch: 256, tokensPerSecond: 4_900 },
      ],
      batch: 8,
      ...over,
    }),
  );
const usage = (inputTokens: number, cacheReadTokens: number, outputTokens: number) => ({
  inputTokens,
  cacheReadTokens,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens,
  requests: 1,
});

describe('two prices of a GPU-hour', () => {
  it('marginal is energy and wear, full is its share of everything at practical capacity', () => {
    const prices = unitPrices(host({ wearUsdPerGpuHour: '0.02' }), AT);
    // 600 W x 1.25 at $0.20 and $0.02; 5.136986 + 0.2 for idling, over four GPU-hours an hour.
    expect(toNumber(prices.marginal) * 3_600).toBeCloseTo(0.17e9, 3);
    expect(toNumber(prices.full!) * 3_600).toBeCloseTo((5.136986301 + 0.2) * 0.25e9 + 0.17e9, -1);
  });

  it('by units of production the lifetime is part of the marginal price', () => {
    const owned = {
      purchaseUsd: '250000',
      salvageUsd: '25000',
      lifeYears: 5,
      inServiceFrom: '2026-01-01T00:00:00Z',
      schedule: 'units-of-production',
      lifetimeGpuHours: 225_000,
    };
    const { marginal, fixedPerHour } = unitPrices(host({ owned }), AT);
    expect(toNumber(marginal) * 3_600).toBeCloseTo(1.15e9, 2);
    expect(toNumber(fixedPerHour)).toBe(0);
  });

  it('do not move with the hour, the day or how much the host is used', () => {
    const prices = [0, 5, 29].map((hours) => unitPrices(host(), AT + hours * 3_600_000));
    expect(prices[1]).toEqual(prices[0]);
    expect(prices[2]).toEqual(prices[0]);
  });

  it('a host that is not in service yet has the prices of its first month', () => {
    expect(unitPrices(host(), 0)).toEqual(unitPrices(host(), Date.UTC(2026, 0, 1)));
  });

  it('a host without capacity has no full price, and no cards', () => {
    for (const none of [{ practicalCapacity: share(0) }, { availability: share(0) }]) {
      expect(unitPrices({ ...host(), ...none }, AT).full).toBeUndefined();
      expect(hardwareCards({ ...host(), ...none }, throughput(), AT)).toBeUndefined();
    }
  });
});

describe('the price of a token', () => {
  it('is what the GPUs of a replica cost while they make one, in valid cards', () => {
    const cards = hardwareCards(host(), throughput(), AT)!;
    for (const card of Object.values(cards)) expect(RateCard.parse(card)).toEqual(card);
    const gpuSecond = toNumber(unitPrices(host(), AT).full!) * 1_000;
    expect(Number(cards.full.inputPicosPerToken)).toBe(Math.round((4 * gpuSecond) / 20_000));
    expect(Number(cards.full.outputPicosPerToken)).toBe(Math.round((4 * gpuSecond) / 470));
  });

  it('cash is zero, and the zero is written', () => {
    const { cash, full, marginal } = hardwareCards(host(), throughput(), AT)!;
    const cost = rate({ cash, full, marginal }, usage(1_000, 0, 100), { atMs: AT });
    expect(cost.cashNanos).toBe(0n);
    expect(cost.marginalNanos).toBeGreaterThan(0n);
    expect(cost.fullNanos).toBeGreaterThan(cost.marginalNanos);
  });

  it.each([
    ['uncached', '0'],
    ['all', 'as input'],
  ])('of a cache hit, where the prefill rate counts %s input tokens, is %s', (prefillCounts, expected) => {
    const { full } = hardwareCards(host(), throughput({ prefillCounts }), AT)!;
    expect(full.cacheReadPicosPerToken).toBe(expected === '0' ? '0' : full.inputPicosPerToken);
  });

  it('falls with the batch size that is stated', () => {
    const output = [1, 8, 32, 256, 4_096].map((batch) =>
      Number(hardwareCards(host(), throughput({ batch }), AT)!.full.outputPicosPerToken),
    );
    expect(output).toEqual(output.toSorted((a, b) => b - a));
    expect(output[0]! / output[1]!).toBeCloseTo(8, 3);
    expect(output[3]).toBe(output[4]);
  });
});

describe('energy by time of use', () => {
  const night = (timeZone: string, days?: string[]) => ({
    idleWattsPerGpu: 0,
    loadWattsPerGpu: 720,
    usdPerKilowattHour: '0.30',
    timeZone,
    tariff: [{ fromHour: 22, toHour: 6, usdPerKilowattHour: '0.10', ...(days ? { days } : {}) }],
  });
  const marginalUsd = (card: RateCard, at: string): number =>
    Number(rate({ cash: card, full: card }, usage(0, 0, 470_000_000), { atMs: Date.parse(at) }).cashNanos) / 1e9;

  it('is in the cards at the zone’s hours, in UTC, exactly where the days are alike', () => {
    const { marginal, full } = hardwareCards(host({ power: night('Europe/Berlin') }), throughput(), AT)!;
    // A million seconds of four GPUs at 720 W are 800 kWh.
    for (const [at, cost] of [
      ['2026-11-25T04:59:59Z', 80],
      ['2026-11-25T05:00:00Z', 240],
      ['2026-11-25T20:59:59Z', 240],
      ['2026-11-25T21:00:00Z', 80],
    ] as const)
      expect(marginalUsd(marginal, at)).toBeCloseTo(cost, 2);
    expect(marginalUsd(full, '2026-11-25T05:00:00Z') - marginalUsd(full, '2026-11-25T04:00:00Z')).toBeCloseTo(160, 2);
    expect(RateCard.parse(full)).toEqual(full);
  });

  it('keeps half hours of the zone', () => {
    const { marginal } = hardwareCards(host({ power: night('Asia/Kolkata') }), throughput(), AT)!;
    expect(marginal.timeBands!.map((b) => `${b.fromUtc}-${b.toUtc}`)).toEqual(['00:30-16:30', '16:30-00:30']);
  });

  it('where days differ has the average of the week, hour by hour', () => {
    const { marginal } = hardwareCards(host({ power: night('UTC', ['sat', 'sun']) }), throughput(), AT)!;
    expect(marginalUsd(marginal, '2026-11-25T03:00:00Z')).toBeCloseTo((5 * 240 + 2 * 80) / 7, 2);
  });

  it('says when clocks change, where that matters', () => {
    const change = Date.parse('2027-03-28T01:00:00Z');
    const summer = host({ power: night('Europe/Berlin') });
    expect(cardsChangeAtMs(summer, AT)).toBe(change);
    const { marginal } = hardwareCards(summer, throughput(), change)!;
    expect(marginal.timeBands!.map((b) => `${b.fromUtc}-${b.toUtc}`)).toEqual(['04:00-20:00', '20:00-04:00']);
    expect(cardsChangeAtMs(host(), AT)).toBeUndefined();
    expect(cardsChangeAtMs(host({ power: night('Asia/Tokyo') }), AT)).toBeUndefined();
  });
});
