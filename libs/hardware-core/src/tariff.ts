import { Temporal } from 'temporal-polyfill';
import type { Tariff } from './host.js';
import { over, plus, ratio, sum, times, ZERO, type Ratio } from './ratio.js';
import { quantity, type NanosPerKilowattHour } from './units.js';

/** A stretch of time at one price. */
export interface TariffSpan {
  fromMs: number;
  toMs: number;
  price: NanosPerKilowattHour;
}

const HOUR_MS = 3_600_000;
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const WEEKDAYS = [1, 2, 3, 4, 5, 6, 7];

/** What a kilowatt-hour costs in a local hour. @param weekday 1 is Monday. */
export function priceAtHour(tariff: Tariff, weekday: number, hour: number): NanosPerKilowattHour {
  const band = tariff.bands.find(
    ({ days, fromHour, toHour }) =>
      days.has(weekday) && (fromHour < toHour ? hour >= fromHour && hour < toHour : hour >= fromHour || hour < toHour),
  );
  return band?.price ?? tariff.price;
}

/**
 * The prices in [from, to), in order and without gaps. Local hours are those of the tariff's zone, whatever its offset: a day
 * on which clocks change has 23 or 25 of them.
 */
export function tariffSpans(tariff: Tariff, fromMs: number, toMs: number): TariffSpan[] {
  if (toMs <= fromMs) return [];
  if (tariff.bands.length === 0) return [{ fromMs, toMs, price: tariff.price }];
  const spans: TariffSpan[] = [];
  let changeMs = nextChange(tariff, fromMs);
  for (let atMs = fromMs; atMs < toMs;) {
    if (atMs >= changeMs) changeMs = nextChange(tariff, atMs);
    const local = Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(tariff.timeZone);
    const intoHourMs = local.minute * 60_000 + local.second * 1_000 + local.millisecond;
    const endMs = Math.min(toMs, atMs + HOUR_MS - intoHourMs, changeMs);
    const price = priceAtHour(tariff, local.dayOfWeek, local.hour);
    const last = spans.at(-1);
    if (last?.price === price) last.toMs = endMs;
    else spans.push({ fromMs: atMs, toMs: endMs, price });
    atMs = endMs;
  }
  return spans;
}

/** When the zone's offset changes next; infinity where it never does. */
export function nextChange({ timeZone }: Tariff, afterMs: number): number {
  const next = Temporal.Instant.fromEpochMilliseconds(afterMs)
    .toZonedDateTimeISO(timeZone)
    .getTimeZoneTransition('next');
  return next?.epochMilliseconds ?? Number.POSITIVE_INFINITY;
}

/** The average over [from, to); zero for no time at all. */
export function meanPrice(tariff: Tariff, fromMs: number, toMs: number): NanosPerKilowattHour {
  if (toMs <= fromMs) return quantity(ZERO);
  const priceTime = sum(
    tariffSpans(tariff, fromMs, toMs).map((span) => times(span.price, ratio(BigInt(span.toMs - span.fromMs)))),
  );
  return quantity(over(priceTime, ratio(BigInt(toMs - fromMs))));
}

/** For each local hour of the day the average over the days of a week: what prices per token can follow. */
export function dayProfile(tariff: Tariff): NanosPerKilowattHour[] {
  return HOURS.map((hour) =>
    quantity(over(sum(WEEKDAYS.map((day) => priceAtHour(tariff, day, hour))), ratio(BigInt(WEEKDAYS.length)))),
  );
}

/** The average over a week of load that never changes: what is planned with. */
export function weekMean(tariff: Tariff): NanosPerKilowattHour {
  return quantity(over(dayProfile(tariff).reduce<Ratio>(plus, ZERO), ratio(24n)));
}
