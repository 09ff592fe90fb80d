import { WEEKDAYS, type HostConfig } from '@meritorder/contracts';
import { usdToNanos, type Nanos } from '@meritorder/kernel';
import { minus, ratioOf, times, type Ratio } from './ratio.js';
import {
  hourlyOfMonthly,
  ofAllGpus,
  quantity,
  share,
  usdPerGpuHour,
  usdPerKilowattHour,
  usdPerMonth,
  watts,
  type NanosPerGpuHour,
  type NanosPerHour,
  type NanosPerKilowattHour,
  type Share,
  type Watts,
} from './units.js';

export type ScheduleKind = NonNullable<HostConfig['owned']>['schedule'];

export interface Owned {
  purchaseNanos: Nanos;
  salvageNanos: Nanos;
  /** Milliseconds; a year is 8,760 hours. */
  lifeMs: bigint;
  inServiceFromMs: number;
  schedule: ScheduleKind;
  /** For units of production: all that its GPUs together can do in their life. */
  lifetimeGpuMicroseconds: bigint;
  /** A share of the book value. */
  capitalChargePerYear: Ratio;
}

export interface TariffBand {
  /** 1 is Monday. */
  days: ReadonlySet<number>;
  fromHour: number;
  toHour: number;
  price: NanosPerKilowattHour;
}

/** What energy costs, by local hours. */
export interface Tariff {
  timeZone: string;
  price: NanosPerKilowattHour;
  /** The first that holds counts. */
  bands: readonly TariffBand[];
}

export interface Power {
  idlePerGpu: Watts;
  /** What a busy GPU draws above idling. */
  busyPerGpu: Watts;
  unmeasured: Watts;
  pue: Ratio;
  tariff: Tariff;
}

/** Costs of the whole host that pass with time alone. */
export const MONTHLY_LINES = ['maintenance', 'hosting', 'staff', 'licences'] as const;
export type MonthlyLine = (typeof MONTHLY_LINES)[number];

/** A host's costs in units that cannot be mixed up. */
export interface Host {
  id: string;
  gpus: number;
  owned: Owned | undefined;
  rent: NanosPerHour;
  monthly: Record<MonthlyLine, NanosPerHour>;
  power: Power | undefined;
  wear: NanosPerGpuHour;
  availability: Share;
  practicalCapacity: Share;
}

export const MS_PER_YEAR = 8_760n * 3_600_000n;
const MICROSECONDS_PER_HOUR = 3_600_000_000;

/** The configuration's numbers, each with its unit. */
export function hostOf(config: HostConfig): Host {
  const { owned, power } = config;
  return {
    id: config.id,
    gpus: config.gpus,
    owned: owned && {
      purchaseNanos: usdToNanos(owned.purchaseUsd),
      salvageNanos: usdToNanos(owned.salvageUsd),
      lifeMs: BigInt(Math.max(1, Math.round(owned.lifeYears * Number(MS_PER_YEAR)))),
      inServiceFromMs: Date.parse(owned.inServiceFrom),
      schedule: owned.schedule,
      lifetimeGpuMicroseconds: BigInt(Math.round((owned.lifetimeGpuHours ?? 0) * MICROSECONDS_PER_HOUR)),
      capitalChargePerYear: times(ratioOf(owned.capitalChargePercentPerYear), ratioOf(0.01)),
    },
    rent: ofAllGpus(usdPerGpuHour(config.rented?.usdPerGpuHour ?? '0'), config.gpus),
    monthly: {
      maintenance: hourlyOfMonthly(usdPerMonth(config.usdPerMonth.maintenance)),
      hosting: hourlyOfMonthly(usdPerMonth(config.usdPerMonth.hosting)),
      staff: hourlyOfMonthly(usdPerMonth(config.usdPerMonth.staff)),
      licences: hourlyOfMonthly(usdPerMonth(config.usdPerMonth.licences)),
    },
    power: power && powerOf(power),
    wear: usdPerGpuHour(config.wearUsdPerGpuHour),
    availability: share(config.availability),
    practicalCapacity: share(config.practicalCapacity),
  };
}

function powerOf(power: NonNullable<HostConfig['power']>): Power {
  return {
    idlePerGpu: watts(power.idleWattsPerGpu),
    busyPerGpu: quantity(minus(watts(power.loadWattsPerGpu), watts(power.idleWattsPerGpu))),
    unmeasured: watts(power.unmeasuredWatts),
    pue: ratioOf(power.pue),
    tariff: {
      timeZone: power.timeZone,
      price: usdPerKilowattHour(power.usdPerKilowattHour),
      bands: power.tariff.map((band) => ({
        days: new Set(band.days.map((day) => WEEKDAYS.indexOf(day) + 1)),
        fromHour: band.fromHour,
        toHour: band.toHour,
        price: usdPerKilowattHour(band.usdPerKilowattHour),
      })),
    },
  };
}
