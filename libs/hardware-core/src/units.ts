import { usdToNanos } from '@meritorder/kernel';
import { over, ratio, ratioOf, times, type Ratio } from './ratio.js';

/**
 * Quantities with their unit in the type: a per-month amount does not go where a per-hour one belongs, nor kilowatts where
 * watts do (pitfall 38: on-prem GPUs were 730 times too cheap). The only ways from one unit to another are the functions here.
 * Money is nano-USD.
 */
declare const unit: unique symbol;
export type Quantity<Unit extends string> = Ratio & { readonly [unit]: Unit };

export type NanosPerMonth = Quantity<'nano-USD per month of the host'>;
export type NanosPerHour = Quantity<'nano-USD per hour of the host'>;
export type NanosPerGpuHour = Quantity<'nano-USD per GPU-hour'>;
export type NanosPerGpuSecond = Quantity<'nano-USD per GPU-second'>;
export type NanosPerKilowattHour = Quantity<'nano-USD per kilowatt-hour'>;
export type PicosPerToken = Quantity<'pico-USD per token'>;
export type Watts = Quantity<'watts'>;
export type Joules = Quantity<'joules'>;
export type TokensPerSecond = Quantity<'tokens per second'>;
export type GpuSeconds = Quantity<'GPU-seconds'>;
export type Milliseconds = Quantity<'milliseconds'>;
/** 0 to 1. */
export type Share = Quantity<'share'>;

/** Gives a bare fraction its unit. Only for this library: elsewhere a unit comes from a constructor or a conversion. */
export function quantity<Unit extends string>(value: Ratio): Quantity<Unit> {
  return value as Quantity<Unit>;
}

/** A month is 730 hours: a year of 8,760 over twelve. */
export const HOURS_PER_MONTH = ratio(730n);
export const HOURS_PER_YEAR = ratio(8_760n);
const SECONDS_PER_HOUR = ratio(3_600n);
const MS_PER_SECOND = ratio(1_000n);
const MS_PER_HOUR = ratio(3_600_000n);
const JOULES_PER_KILOWATT_HOUR = ratio(3_600_000n);
const PICOS_PER_NANO = ratio(1_000n);
const TOKENS_PER_MILLION = ratio(1_000_000n);

const money = (usd: string): Ratio => ratio(usdToNanos(usd));

/** @throws RangeError unless decimal USD with at most nine digits after the point; so do the four below. */
export const usdPerMonth = (usd: string): NanosPerMonth => quantity(money(usd));
export const usdPerHour = (usd: string): NanosPerHour => quantity(money(usd));
export const usdPerGpuHour = (usd: string): NanosPerGpuHour => quantity(money(usd));
export const usdPerKilowattHour = (usd: string): NanosPerKilowattHour => quantity(money(usd));
/** The price in the unit that price lists use; pico-USD per token is the same number times 10^6. */
export const usdPerMillionTokens = (usd: string): PicosPerToken =>
  quantity(over(times(money(usd), PICOS_PER_NANO), TOKENS_PER_MILLION));

export const watts = (value: number): Watts => quantity(ratioOf(value));
export const kilowatts = (value: number): Watts => quantity(times(ratioOf(value), ratio(1_000n)));
export const joules = (value: number): Joules => quantity(ratioOf(value));
export const wattHours = (value: number): Joules => quantity(times(ratioOf(value), SECONDS_PER_HOUR));
export const kilowattHours = (value: number): Joules => quantity(times(ratioOf(value), JOULES_PER_KILOWATT_HOUR));
export const tokensPerSecond = (value: number): TokensPerSecond => quantity(ratioOf(value));
export const milliseconds = (value: number): Milliseconds => quantity(ratioOf(value));
export const gpuSeconds = (value: number): GpuSeconds => quantity(ratioOf(value));
export const gpuMicroseconds = (value: bigint): GpuSeconds => quantity(ratio(value, 1_000_000n));
export const share = (value: number): Share => quantity(ratioOf(value));

export const hourlyOfMonthly = (amount: NanosPerMonth): NanosPerHour => quantity(over(amount, HOURS_PER_MONTH));
export const monthlyOfHourly = (amount: NanosPerHour): NanosPerMonth => quantity(times(amount, HOURS_PER_MONTH));
export const perGpuSecond = (price: NanosPerGpuHour): NanosPerGpuSecond => quantity(over(price, SECONDS_PER_HOUR));
export const perGpuHour = (price: NanosPerGpuSecond): NanosPerGpuHour => quantity(times(price, SECONDS_PER_HOUR));
export const ofAllGpus = (price: NanosPerGpuHour, gpus: number): NanosPerHour => quantity(times(price, ratioOf(gpus)));

/** Nano-USD of a span of time at an hourly price. */
export const costOfTime = (price: NanosPerHour, time: Milliseconds): Ratio => over(times(price, time), MS_PER_HOUR);
/** Nano-USD of busy GPUs. */
export const costOfWork = (price: NanosPerGpuSecond, work: GpuSeconds): Ratio => times(price, work);
/** Nano-USD of energy. */
export const costOfEnergy = (price: NanosPerKilowattHour, energy: Joules): Ratio =>
  over(times(price, energy), JOULES_PER_KILOWATT_HOUR);
export const energyOf = (power: Watts, time: Milliseconds): Joules => quantity(over(times(power, time), MS_PER_SECOND));
/** What a power draw costs in an hour. */
export const hourlyOfPower = (power: Watts, price: NanosPerKilowattHour): NanosPerHour =>
  quantity(over(times(power, price), MS_PER_SECOND));
/** What a power draw costs in a second of one GPU that draws it. */
export const perGpuSecondOfPower = (power: Watts, price: NanosPerKilowattHour): NanosPerGpuSecond =>
  quantity(over(times(power, price), JOULES_PER_KILOWATT_HOUR));
export const joulesPerToken = (power: Watts, rate: TokensPerSecond): Ratio => over(power, rate);
