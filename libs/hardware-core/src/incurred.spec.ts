import { describe, expect, it } from 'vitest';
import { HostConfig } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { COST_LINES, hostOf, incurredCost, monthlyOfHourly, toNumber, unitPrices, type HostUse } from './index.js';

const HOUR = 3_600_000;
const START = Date.UTC(2026, 0, 1);
const UNUSED: HostUse = { busyGpuMicroseconds: 0n, busyBeforeGpuMicroseconds: 0n };
const usd = (nanos: bigint): number => Number(nanos) / 1e9;

/** Eight GPUs for $250,000 over five years, ten percent left: pitfall 38 asks for a cost that can be checked by hand. */
const server = (over: object = {}) =>
  hostOf(
    HostConfig.parse({
      id: 'gpu-1',
      gpus: 8,
      owned: { purchaseUsd: '250000', salvageUsd: '25000', lifeYears: 5, inServiceFrom: '2026-01-01T00:00:00Z' },
      usdPerMonth: { maintenance: '730', hosting: '1460', staff: '365', licences: '73' },
      power: { idleWattsPerGpu: 100, loadWattsPerGpu: 700, pue: 1.25, usdPerKilowattHour: '0.20' },
      availability: 0.95,
      wearUsdPerGpuHour: '0.01',
      ...over,
    }),
  );
const busy = (gpuHours: number): HostUse => ({
  busyGpuMicroseconds: BigInt(Math.round(gpuHours * 3_600e6)),
  busyBeforeGpuMicroseconds: 0n,
});

describe('what an hour of an eight-GPU server costs', () => {
  it('line by line, with three GPU-hours of work', () => {
    const { lines, totalNanos } = incurredCost(server(), START, START + HOUR, busy(3));
    expect(Object.fromEntries(COST_LINES.map((line) => [line, usd(lines[line])]))).toEqual({
      depreciation: 5.136986301, // 225,000 / 43,800 h
      capital: 0,
      maintenance: 1,
      hosting: 2,
      staff: 0.5,
      licences: 0.1,
      rent: 0,
      idlePower: 0.19, // .95 x 8 x 100 W x 1.25 at $0.20
      energy: 0.45, // 3 h x 600 W x 1.25 at $0.20
      wear: 0.03,
    });
    expect(usd(totalNanos)).toBeCloseTo(9.406986301, 9);
  });

  it('a month of 730 hours is what the bill says', () => {
    const { lines } = incurredCost(server(), START, START + 730 * HOUR, UNUSED);
    expect([lines.maintenance, lines.hosting, lines.staff, lines.licences].map(usd)).toEqual([730, 1460, 365, 73]);
    expect(usd(lines.depreciation)).toBeCloseTo(3_750, 6);
    expect(toNumber(monthlyOfHourly(unitPrices(server(), START).fixedPerHour)) / 1e9).toBeCloseTo(3_750 + 2_628, 4);
  });

  it('rented GPUs cost their rent whether they work or not, and power only where it is not in it', () => {
    const rented = hostOf(HostConfig.parse({ id: 'r', gpus: 8, rented: { usdPerGpuHour: '2' }, availability: 0.5 }));
    const { lines, totalNanos } = incurredCost(rented, START, START + 24 * HOUR, busy(10));
    expect(usd(lines.rent)).toBe(384);
    expect(totalNanos).toBe(lines.rent);
  });

  it('nothing before it is in service', () => {
    expect(incurredCost(server(), START - 9 * HOUR, START, UNUSED).totalNanos).toBe(0n);
    const half = incurredCost(server(), START - HOUR / 2, START + HOUR / 2, UNUSED).lines;
    expect(usd(half.hosting)).toBeCloseTo(1, 8);
  });
});

describe('any split of time', () => {
  it('sums exactly, line by line, through days of 23 and 25 hours', () => {
    const random = seededRandom(23);
    const host = server({
      owned: {
        purchaseUsd: '250000',
        salvageUsd: '25000',
        lifeYears: 4.5,
        inServiceFrom: '2026-02-11T10:20:30Z',
        schedule: 'declining-balance',
        capitalChargePercentPerYear: 7.5,
      },
      power: {
        idleWattsPerGpu: 123.4,
        loadWattsPerGpu: 700,
        pue: 1.37,
        usdPerKilowattHour: '0.2911',
        timeZone: 'Europe/Berlin',
        tariff: [{ days: ['mon', 'tue', 'wed'], fromHour: 22, toHour: 6, usdPerKilowattHour: '0.1117' }],
      },
    });
    for (const around of [Date.UTC(2026, 1, 11), Date.UTC(2026, 2, 29), Date.UTC(2026, 9, 25)]) {
      const [from, to] = [around - 20 * HOUR, around + 31 * HOUR];
      const whole = incurredCost(host, from, to, UNUSED).lines;
      const parts = Object.fromEntries(COST_LINES.map((line) => [line, 0n]));
      for (let at = from; at < to;) {
        const next = Math.min(to, at + 1 + Math.floor(random() * 3 * HOUR));
        const { lines } = incurredCost(host, at, next, UNUSED);
        for (const line of COST_LINES) parts[line]! += lines[line];
        at = next;
      }
      expect(parts).toEqual(whole);
    }
  });
});

describe('measured energy', () => {
  const hour = (coveredMs: number, millijoules: bigint, gpuHours = 3) =>
    incurredCost(server(), START, START + HOUR, { ...busy(gpuHours), measured: { millijoules, coveredMs } });
  /** 3 kWh at 1.25 and $0.20. */
  const MEASURED = 3n * 3_600_000_000n;

  it.each([
    ['covers the hour: the meters count', HOUR, MEASURED, 'measured', 0.75],
    ['covers almost all of it: the missing seconds are as configured', HOUR * 0.995, MEASURED, 'measured', 0.7532],
    // Half of .19 + .45 as configured and 1.5 kWh as measured.
    ['covers half of it: the other half is as configured', HOUR / 2, MEASURED / 2n, 'partly-measured', 0.695],
    ['is not there: as configured', 0, 0n, 'configured', 0.64],
  ] as const)('%s', (_name, coveredMs, millijoules, basis, cost) => {
    const { lines, energyBasis } = hour(coveredMs, millijoules);
    expect(energyBasis).toBe(basis);
    expect(usd(lines.idlePower + lines.energy)).toBeCloseTo(cost, 9);
  });

  it('of it, idle power comes first; less than idling leaves nothing for work', () => {
    expect(usd(hour(HOUR, MEASURED).lines.idlePower)).toBe(0.19);
    const dozing = hour(HOUR, 1_000_000_000n).lines;
    expect(usd(dozing.idlePower)).toBeCloseTo(1e6 / 3.6e6 / 4, 9);
    expect(dozing.energy).toBe(0n);
  });

  it('what meters do not see is added', () => {
    const blind = server({
      power: { idleWattsPerGpu: 100, loadWattsPerGpu: 700, pue: 1, usdPerKilowattHour: '0.20', unmeasuredWatts: 500 },
    });
    const { lines } = incurredCost(blind, START, START + HOUR, {
      ...busy(3),
      measured: { millijoules: MEASURED, coveredMs: HOUR },
    });
    expect(usd(lines.idlePower + lines.energy)).toBeCloseTo(0.7, 9);
  });
});
