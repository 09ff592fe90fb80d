import { describe, expect, it } from 'vitest';
import { HostConfig, ThroughputConfig, type RateCard, type Usage } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { rate } from '@meritorder/pricing-core';
import {
  closePeriod,
  configuredThroughput,
  costOfWork,
  gpuMicroseconds,
  gpuSecondsOf,
  hardwareCards,
  hostOf,
  ratio,
  roundHalfEven,
  share,
  times,
  toNumber,
  unitPrices,
  VARIANCES,
  type Host,
  type HostPeriod,
} from './index.js';

const HOUR = 3_600_000;
const FROM = Date.parse('2026-11-24T10:00:00Z');
const random = seededRandom(12);
const pick = <T>(...of: T[]): T => of[Math.floor(random() * of.length)]!;

function randomHost(): Host {
  const gpus = 1 + Math.floor(random() * 16);
  const cost =
    random() < 0.3
      ? { rented: { usdPerGpuHour: (random() * 5).toFixed(4) } }
      : {
          owned: {
            purchaseUsd: (1_000 + random() * 400_000).toFixed(2),
            salvageUsd: (random() * 1_000).toFixed(2),
            lifeYears: 1 + random() * 7,
            inServiceFrom: '2025-05-05T05:05:05Z',
            schedule: pick('straight-line', 'declining-balance', 'sum-of-years', 'units-of-production'),
            lifetimeGpuHours: 10_000 + random() * 400_000,
            capitalChargePercentPerYear: pick(0, 5.5),
          },
        };
  const power = {
    idleWattsPerGpu: random() * 150,
    loadWattsPerGpu: 200 + random() * 800,
    pue: 1 + random(),
    usdPerKilowattHour: (random() * 0.4).toFixed(4),
    timeZone: pick('UTC', 'America/New_York', 'Asia/Kathmandu'),
    tariff: pick([], [{ fromHour: 20, toHour: 7, usdPerKilowattHour: '0.0712' }]),
  };
  return hostOf(
    HostConfig.parse({
      id: 'h',
      gpus,
      ...cost,
      ...(random() < 0.8 ? { power } : {}),
      usdPerMonth: { staff: (random() * 5_000).toFixed(2), hosting: pick('0', '199.99') },
      wearUsdPerGpuHour: pick('0', '0.013'),
      availability: pick(1, 0.97, 0.5),
      practicalCapacity: pick(1, 0.6, 0.33),
    }),
  );
}

/** One whose cost is the same in every hour, so that the plan is what it costs. */
function steadyHost(): Host {
  return hostOf(
    HostConfig.parse({
      id: 'h',
      gpus: 1 + Math.floor(random() * 16),
      owned: {
        purchaseUsd: (5_000 + random() * 400_000).toFixed(2),
        lifeYears: 3 + random() * 4,
        inServiceFrom: '2025-05-05T05:05:05Z',
      },
      power: {
        idleWattsPerGpu: random() * 150,
        loadWattsPerGpu: 200 + random() * 800,
        pue: 1 + random(),
        usdPerKilowattHour: (random() * 0.4).toFixed(4),
      },
      usdPerMonth: { hosting: (random() * 900).toFixed(2) },
      wearUsdPerGpuHour: '0.013',
      availability: pick(1, 0.9),
      practicalCapacity: pick(1, 0.6, 0.33),
    }),
  );
}

const expectExact = (period: HostPeriod): void => {
  expect(period.allocatedNanos + period.idleNanos).toBe(period.totalNanos);
  expect(VARIANCES.reduce((sum, line) => sum + period.variances[line], 0n)).toBe(period.idleNanos);
};

describe('invariant 12: incurred = allocated + idle, to the nano-dollar', () => {
  it('for 300 random hosts with random traffic, charged by their price cards and measured otherwise', () => {
    for (let i = 0; i < 300; i++) {
      const host = randomHost();
      const throughput = configuredThroughput(
        ThroughputConfig.parse({
          gpus: 1 + Math.floor(random() * host.gpus),
          prefillTokensPerSecond: 500 + random() * 50_000,
          prefillCounts: pick('all', 'uncached'),
          decodeTokensPerSecond: 20 + random() * 5_000,
        }),
      );
      const cards = hardwareCards(host, throughput, FROM)!;
      let [allocated, standard] = [0n, 0n];
      let [attempts, counted] = [Math.floor(random() * 60), 0];
      for (let n = attempts; n > 0; n--) {
        const tokens = randomUsage();
        counted += tokens.inputTokens + tokens.cacheReadTokens + tokens.cacheWrite5mTokens + tokens.outputTokens;
        allocated += rate(cards, tokens, { atMs: FROM + random() * HOUR }).fullNanos;
        standard += roundHalfEven(times(gpuSecondsOf(throughput, tokens), ratio(1_000_000n)));
      }
      const period = closePeriod(host, unitPrices(host, FROM), {
        fromMs: FROM,
        toMs: FROM + HOUR,
        standardGpuMicroseconds: standard,
        allocatedNanos: allocated,
        use: {
          busyGpuMicroseconds: (standard * BigInt(Math.floor(random() * 3_000))) / 1_000n,
          busyBeforeGpuMicroseconds: BigInt(Math.floor(random() * 1e15)),
          measured: pick(undefined, {
            millijoules: BigInt(Math.floor(random() * 1e10)),
            coveredMs: Math.floor(random() * HOUR * 1.2),
          }),
        },
      });
      expectExact(period);
      // Charged by the plan's own cards, what is left over for `price` is rounding: half a pico-dollar a token, a nano-dollar an
      // attempt, and the nano-dollars of the lines. By a tariff's bands it is also the hours that attempts fell in.
      if (!cards.full.timeBands)
        expect(Math.abs(Number(period.variances.price))).toBeLessThan(counted / 1_000 + 3 * attempts + 4);
    }
  });

  it('holds for whatever was charged, corrections below zero too', () => {
    for (let i = 0; i < 100; i++) {
      const host = randomHost();
      const allocatedNanos = BigInt(Math.floor((random() - 0.3) * 1e13));
      expectExact(closePeriod(host, unitPrices(host, FROM), { ...NOTHING, allocatedNanos }));
    }
  });
});

const NOTHING = {
  fromMs: FROM,
  toMs: FROM + HOUR,
  standardGpuMicroseconds: 0n,
  allocatedNanos: 0n,
  use: { busyGpuMicroseconds: 0n, busyBeforeGpuMicroseconds: 0n },
};

describe('what stands idle', () => {
  const host = hostOf(
    HostConfig.parse({ id: 'h', gpus: 8, rented: { usdPerGpuHour: '2.50' }, practicalCapacity: 0.6 }),
  );
  const plan = unitPrices(host, FROM);
  /** Charged exactly at the full price, for a share of practical capacity. */
  const atShare = (share: number): HostPeriod => {
    const busy = BigInt(Math.round(toNumber(plan.practicalGpuSecondsPerHour) * share)) * 1_000_000n;
    return closePeriod(host, plan, {
      ...NOTHING,
      standardGpuMicroseconds: busy,
      allocatedNanos: roundHalfEven(costOfWork(plan.full!, gpuMicroseconds(busy))),
      use: { busyGpuMicroseconds: busy, busyBeforeGpuMicroseconds: 0n },
    });
  };

  it.each([
    [0, 20e9],
    [0.25, 15e9],
    [1, 0],
    [1.25, -5e9],
    [1 / 0.6, -13_333_333_333],
  ])('at %d of practical capacity is %d nano-dollars of $20 an hour', (share, idle) => {
    expect(Number(atShare(share).idleNanos)).toBe(idle);
    expect(atShare(share).variances.unusedCapacity).toBe(atShare(share).idleNanos);
  });

  it('use is charged no more than was allocated to it up to practical capacity, and above it the excess is over-absorbed', () => {
    for (let i = 0; i < 200; i++) {
      const any = steadyHost();
      const prices = unitPrices(any, FROM);
      const used = random() * 1.6;
      const busy = BigInt(Math.round(toNumber(prices.practicalGpuSecondsPerHour) * used * 1e6));
      const { idleNanos } = closePeriod(any, prices, {
        ...NOTHING,
        standardGpuMicroseconds: busy,
        allocatedNanos: roundHalfEven(costOfWork(prices.full!, gpuMicroseconds(busy))),
        use: { busyGpuMicroseconds: busy, busyBeforeGpuMicroseconds: 0n },
      });
      // Lines are rounded to the nano-dollar each; exactly at capacity that may be either way.
      if (used < 0.999) expect(idleNanos).toBeGreaterThan(0n);
      if (used > 1.001) expect(idleNanos).toBeLessThan(0n);
    }
  });

  it('a new host, an unused one and one without capacity divide by nothing', () => {
    for (const one of [host, { ...host, practicalCapacity: share(0) }, { ...host, availability: share(0) }]) {
      const period = closePeriod(one, unitPrices(one, FROM), NOTHING);
      expect(period).toMatchObject({ allocatedNanos: 0n, idleNanos: 20_000_000_000n });
      expectExact(period);
      expectExact(closePeriod(one, unitPrices(one, FROM), { ...NOTHING, toMs: FROM }));
    }
  });
});

describe('planned against actual, a line each', () => {
  const host = hostOf(
    HostConfig.parse({
      id: 'h',
      gpus: 1,
      rented: { usdPerGpuHour: '3' },
      power: { idleWattsPerGpu: 0, loadWattsPerGpu: 1_000, usdPerKilowattHour: '0.36' },
      practicalCapacity: 0.5,
    }),
  );
  const plan = unitPrices(host, FROM);
  const close = (standardSeconds: number, busySeconds: number, over: object = {}): Record<string, number> => {
    const standard = BigInt(standardSeconds * 1e6);
    const { variances } = closePeriod(host, plan, {
      ...NOTHING,
      standardGpuMicroseconds: standard,
      allocatedNanos: roundHalfEven(costOfWork(plan.full!, gpuMicroseconds(standard))),
      ...over,
      use: {
        busyGpuMicroseconds: BigInt(busySeconds * 1e6),
        busyBeforeGpuMicroseconds: 0n,
        ...('use' in over ? (over.use as object) : {}),
      },
    });
    return Object.fromEntries(VARIANCES.map((line) => [line, Number(variances[line]) / 1e9]));
  };
  const none = { unusedCapacity: 0, rate: 0, energy: 0, spending: 0, price: 0 };

  it('as planned there is none', () => {
    expect(close(1_800, 1_800)).toEqual(none);
  });

  it('an engine that needs 1,800 s for the work of 1,500 costs the difference at the full price', () => {
    // ($3 / 1,800 + $0.0001) x 300 s.
    expect(close(1_500, 1_800)).toEqual({ ...none, rate: 0.53 });
  });

  it('unused capacity is at the fixed price alone', () => {
    expect(close(600, 600)).toEqual({ ...none, unusedCapacity: 2 });
  });

  it('a meter that says 0.7 kWh where 0.5 were planned', () => {
    const measured = { millijoules: 2_520_000_000n, coveredMs: HOUR };
    expect(close(1_800, 1_800, { use: { measured } })).toEqual({ ...none, energy: 0.072 });
  });

  it('attempts that were charged at another price', () => {
    expect(close(1_800, 1_800, { allocatedNanos: 2_000_000_000n })).toEqual({ ...none, price: 1.18 });
  });

  it('a host that costs other than planned', () => {
    const dearer = {
      ...host,
      rent: hostOf(HostConfig.parse({ id: 'd', gpus: 1, rented: { usdPerGpuHour: '4' } })).rent,
    };
    const { variances } = closePeriod(dearer, plan, {
      ...NOTHING,
      standardGpuMicroseconds: 1_800_000_000n,
      allocatedNanos: roundHalfEven(costOfWork(plan.full!, gpuMicroseconds(1_800_000_000n))),
      use: { busyGpuMicroseconds: 1_800_000_000n, busyBeforeGpuMicroseconds: 0n },
    });
    expect(variances).toEqual({ unusedCapacity: 0n, rate: 0n, energy: 0n, spending: 1_000_000_000n, price: 0n });
  });
});

function randomUsage(): Usage {
  const tokens = (most: number): number => Math.floor(random() * most);
  return {
    inputTokens: tokens(8_000),
    cacheReadTokens: tokens(4_000),
    cacheWrite5mTokens: pick(0, tokens(100)),
    cacheWrite1hTokens: 0,
    outputTokens: tokens(2_000),
    requests: 1,
  };
}

// Cards are what attempts are charged by, so a card that charged cash would be counted twice.
it('the cards that charge attempts have no cash in them', () => {
  const { cash } = hardwareCards(
    randomHost(),
    configuredThroughput(ThroughputConfig.parse({ prefillTokensPerSecond: 1, decodeTokensPerSecond: 1 })),
    FROM,
  )!;
  expect(Object.values(cash satisfies RateCard)).toEqual(Array.from({ length: 6 }, () => '0'));
});
