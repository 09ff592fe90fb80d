import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import {
  costOfEnergy,
  costOfTime,
  energyOf,
  hourlyOfMonthly,
  hourlyOfPower,
  joules,
  joulesPerToken,
  kilowattHours,
  kilowatts,
  milliseconds,
  monthlyOfHourly,
  ofAllGpus,
  perGpuHour,
  perGpuSecond,
  ratioOf,
  roundHalfEven,
  tokensPerSecond,
  toNumber,
  usdPerGpuHour,
  usdPerHour,
  usdPerKilowattHour,
  usdPerMillionTokens,
  usdPerMonth,
  wattHours,
  watts,
} from './index.js';

const HOUR = milliseconds(3_600_000);

describe('units (pitfall 38: hour for month, kilo for one)', () => {
  it('$ a month is $ an hour times 730, there and back, for 1,000 amounts', () => {
    const random = seededRandom(38);
    for (let i = 0; i < 1_000; i++) {
      const usd = (random() * 100_000).toFixed(9);
      expect(monthlyOfHourly(hourlyOfMonthly(usdPerMonth(usd)))).toEqual(usdPerMonth(usd));
      expect(hourlyOfMonthly(monthlyOfHourly(usdPerHour(usd)))).toEqual(usdPerHour(usd));
      expect(perGpuHour(perGpuSecond(usdPerGpuHour(usd)))).toEqual(usdPerGpuHour(usd));
    }
    expect(toNumber(hourlyOfMonthly(usdPerMonth('1460')))).toBe(2e9);
  });

  it.each([
    ['a kilowatt is 1,000 watts', kilowatts(0.7), watts(700)],
    ['a kilowatt-hour is 1,000 watt-hours', kilowattHours(1.2), wattHours(1_200)],
    ['a watt-hour is 3,600 joules', wattHours(1), joules(3_600)],
    ['700 W for an hour are 700 Wh', energyOf(watts(700), HOUR), wattHours(700)],
    ['eight GPUs at $2.50 are $20 an hour', ofAllGpus(usdPerGpuHour('2.50'), 8), usdPerHour('20')],
    ['1 kW at $0.12/kWh is $0.12 an hour', hourlyOfPower(kilowatts(1), usdPerKilowattHour('0.12')), usdPerHour('0.12')],
    ['$2.50 per 1M tokens are 2,500,000 pico-USD per token', usdPerMillionTokens('2.50'), ratioOf(2_500_000)],
    ['350 W at 1,000 tokens/s are 0.35 J per token', joulesPerToken(watts(350), tokensPerSecond(1_000)), ratioOf(0.35)],
  ])('%s', (_name, actual, expected) => {
    expect(actual).toEqual(expected);
  });

  it('a kilowatt-hour costs its price', () => {
    expect(roundHalfEven(costOfEnergy(usdPerKilowattHour('0.31'), kilowattHours(1)))).toBe(310_000_000n);
  });

  it('the compiler refuses every slip', () => {
    const slips = [
      // @ts-expect-error a month's amount is not an hour's
      () => costOfTime(usdPerMonth('250'), HOUR),
      // @ts-expect-error nor is a GPU's the host's
      () => costOfTime(usdPerGpuHour('2.50'), HOUR),
      // @ts-expect-error an hour's amount is not a month's
      () => hourlyOfMonthly(usdPerHour('1')),
      // @ts-expect-error energy is not power
      () => energyOf(kilowattHours(1), HOUR),
      // @ts-expect-error a rate of tokens is not power
      () => joulesPerToken(tokensPerSecond(1), tokensPerSecond(1)),
      // @ts-expect-error a price of energy is not one of time
      () => perGpuSecond(usdPerKilowattHour('0.12')),
      // @ts-expect-error a bare number has no unit
      () => energyOf(700, HOUR),
      // @ts-expect-error nor has a bare fraction
      () => costOfEnergy(ratioOf(0.12), kilowattHours(1)),
    ];
    expect(slips).toHaveLength(8);
  });
});

describe('fractions', () => {
  it.each([
    [1.3, '13/10'],
    [0.1, '1/10'],
    [1e-7, '1/10000000'],
    [123456.7, '1234567/10'],
    [1 / 3, '333333333333/1000000000000'],
    [-2.5, '-5/2'],
    [0, '0/1'],
  ])('%d is %s, as it is written', (value, text) => {
    const { numerator, denominator } = ratioOf(value);
    expect(`${numerator}/${denominator}`).toBe(text);
  });

  it.each([NaN, Infinity, 1e15])('%d is refused', (value) => {
    expect(() => ratioOf(value)).toThrow(/exact/);
  });
});
