import type { RateCard, Rates } from '@meritorder/contracts';
import { Temporal } from 'temporal-polyfill';
import type { Host } from './host.js';
import { compare, plus, roundHalfEven, ZERO, type Ratio } from './ratio.js';
import { dayProfile, nextChange } from './tariff.js';
import { perToken, type Throughput } from './throughput.js';
import { marginalAt, unitPrices } from './unit-prices.js';
import { quantity, type NanosPerGpuSecond } from './units.js';

export interface HardwareCards {
  /** Nothing is paid to others per request, and that zero is written down. */
  cash: RateCard;
  full: RateCard;
  marginal: RateCard;
}

const MINUTES_PER_DAY = 1_440;

/**
 * What a token costs on a host at an instant, in integer pico-USD, each rounded once. Undefined where the host has no capacity
 * that its fixed cost could be spread over.
 *
 * Where energy has a tariff, each local hour has the average of its seven days, as a band in UTC at the offset of `atMs`: exact
 * where the days are alike, and on average over a week where they are not. A change of clocks needs a card of its own.
 */
export function hardwareCards(host: Host, throughput: Throughput, atMs: number): HardwareCards | undefined {
  const { fixedPerGpuSecond, marginal } = unitPrices(host, atMs);
  if (!fixedPerGpuSecond) return undefined;
  const bands = energyBands(host, atMs);
  const card = (fixed: Ratio): RateCard => {
    const at = (variable: NanosPerGpuSecond): Rates => ratesAt(quantity(plus(fixed, variable)), throughput);
    const timeBands = bands.map(({ fromUtc, toUtc, marginal }) => ({ fromUtc, toUtc, rates: at(marginal) }));
    return timeBands.length > 0 ? { ...at(marginal), timeBands } : at(marginal);
  };
  return { cash: NOTHING, full: card(fixedPerGpuSecond), marginal: card(ZERO) };
}

/** When cards of an instant stop being right because clocks change; undefined where they do not. */
export function cardsChangeAtMs(host: Host, atMs: number): number | undefined {
  if (!host.power || energyBands(host, atMs).length === 0) return undefined;
  const next = nextChange(host.power.tariff, atMs);
  return Number.isFinite(next) ? next : undefined;
}

const NOTHING: RateCard = {
  inputPicosPerToken: '0',
  cacheReadPicosPerToken: '0',
  cacheWrite5mPicosPerToken: '0',
  cacheWrite1hPicosPerToken: '0',
  outputPicosPerToken: '0',
  requestPicos: '0',
};

function ratesAt(price: NanosPerGpuSecond, throughput: Throughput): Rates {
  const { gpus, prefillCounts, prefillTokensPerSecond, decodeTokensPerSecond } = throughput;
  const input = roundHalfEven(perToken(price, gpus, prefillTokensPerSecond)).toString();
  return {
    inputPicosPerToken: input,
    // A prefill rate that was measured on uncached tokens knows nothing of hits: they take no time.
    cacheReadPicosPerToken: prefillCounts === 'all' ? input : '0',
    cacheWrite5mPicosPerToken: input,
    cacheWrite1hPicosPerToken: input,
    outputPicosPerToken: roundHalfEven(perToken(price, gpus, decodeTokensPerSecond)).toString(),
    requestPicos: '0',
  };
}

interface EnergyBand {
  fromUtc: string;
  toUtc: string;
  marginal: NanosPerGpuSecond;
}

/** None where energy costs the same at all hours, or where the zone's offset is not in whole minutes. */
function energyBands(host: Host, atMs: number): EnergyBand[] {
  if (!host.power) return [];
  const { tariff } = host.power;
  const byHour = dayProfile(tariff);
  const starts = byHour.flatMap((price, hour) => (compare(price, byHour[(hour + 23) % 24]!) === 0 ? [] : [hour]));
  const offsetMs =
    Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(tariff.timeZone).offsetNanoseconds / 1e6;
  if (starts.length === 0 || offsetMs % 60_000 !== 0) return [];
  const utc = (hour: number): string => timeOfDay(hour * 60 - offsetMs / 60_000);
  return starts.map((hour, i) => ({
    fromUtc: utc(hour),
    toUtc: utc(starts[(i + 1) % starts.length]!),
    marginal: marginalAt(host, byHour[hour]!),
  }));
}

function timeOfDay(minute: number): string {
  const inDay = ((minute % MINUTES_PER_DAY) + MINUTES_PER_DAY) % MINUTES_PER_DAY;
  return `${String(Math.floor(inDay / 60)).padStart(2, '0')}:${String(inDay % 60).padStart(2, '0')}`;
}
