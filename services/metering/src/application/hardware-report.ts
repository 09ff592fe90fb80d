import type {
  BackendConfig,
  HardwareBackend,
  HardwareBreakEven,
  HardwareRow,
  HostConfig,
  MeritorderConfig,
  PriceVersion,
  RateCard,
} from '@meritorder/contracts';
import {
  breakEven,
  COST_LINES,
  costOfWork,
  gpuSecondsOf,
  hostOf,
  perGpuHour,
  roundHalfEven,
  throughputOf,
  unitPrices,
  VARIANCES,
  type Host,
  type Throughput,
  type ThroughputFit,
  type TokenCounts,
  type UnitPrices,
} from '@meritorder/hardware-core';
import { formatDecimal, nanosToUsd, type Nanos } from '@meritorder/kernel';
import type { ClosedHour } from '@meritorder/ledger-store';
import { priceInForce, rate } from '@meritorder/pricing-core';

export interface ReportQuestion {
  config: Pick<MeritorderConfig, 'hosts' | 'backends' | 'routes'>;
  host?: string | undefined;
  /** UTC; the first instant that is in and the first that is not. */
  fromMs: number;
  toMs: number;
  nowMs: number;
  hours: readonly ClosedHour[];
  published: ReadonlyMap<string, readonly PriceVersion[]>;
  /** The state that a backend's prices rest on. */
  priced(backend: string): ThroughputFit | undefined;
}

/** `2026-11` to its first millisecond and that of the month after, UTC. */
export function monthSpan(month: string): { fromMs: number; toMs: number } {
  const [year, number] = month.split('-').map(Number) as [number, number];
  return { fromMs: Date.UTC(year, number - 1), toMs: Date.UTC(year, number) };
}

/** What own hardware cost in a month, what of it was charged and what was not, and whether it pays. Closed hours alone are summed. */
export function hardwareReport(question: ReportQuestion): HardwareRow[] {
  return question.config.hosts
    .filter((host) => question.host === undefined || host.id === question.host)
    .map((host) => hostRow(question, host));
}

function hostRow(question: ReportQuestion, config: HostConfig): HardwareRow {
  const host = hostOf(config);
  const hours = question.hours.filter((h) => h.host === config.id);
  const prices = unitPrices(host, Math.min(question.nowMs, question.toMs - 1));
  const total = (of: (hour: ClosedHour) => bigint): bigint => hours.reduce((sum, hour) => sum + of(hour), 0n);
  const count = (of: (hour: ClosedHour) => number): number => hours.reduce((sum, hour) => sum + of(hour), 0);
  const byName = (names: readonly string[], of: (hour: ClosedHour) => Record<string, Nanos>): Record<string, string> =>
    Object.fromEntries(names.map((name) => [name, total((h) => of(h)[name] ?? 0n).toString()]));
  const [incurred, busy] = [total((h) => h.incurredNanos), total((h) => h.busyGpuMicroseconds)];
  return {
    host: config.id,
    name: config.name ?? config.id,
    from: new Date(question.fromMs).toISOString(),
    to: new Date(question.toMs).toISOString(),
    hoursClosed: hours.length,
    incurred: byName(COST_LINES, (h) => h.incurred),
    incurredNanos: incurred.toString(),
    allocatedNanos: total((h) => h.allocatedNanos).toString(),
    idleNanos: total((h) => h.idleNanos).toString(),
    variances: byName(VARIANCES, (h) => h.variances),
    attempts: count((h) => h.attempts),
    lateAttempts: count((h) => h.lateAttempts),
    gpuHours: {
      available: gpuHours(total((h) => h.availableGpuMicroseconds)),
      practical: gpuHours(total((h) => h.practicalGpuMicroseconds)),
      standard: gpuHours(total((h) => h.standardGpuMicroseconds)),
      busy: gpuHours(busy),
    },
    energy: {
      measuredHours: count((h) => (h.energyBasis === 'measured' ? 1 : 0)),
      partlyMeasuredHours: count((h) => (h.energyBasis === 'partly-measured' ? 1 : 0)),
      configuredHours: count((h) => (h.energyBasis === 'configured' ? 1 : 0)),
      measuredKilowattHours: Number(total((h) => h.measuredMillijoules)) / 3.6e9,
      gpuUtilization: meanUtilization(hours),
    },
    marginalUsdPerGpuHour: nanosToUsd(roundHalfEven(perGpuHour(prices.marginal))),
    fullUsdPerGpuHour: prices.full ? nanosToUsd(roundHalfEven(perGpuHour(prices.full))) : null,
    absorbedAtActualUseUsdPerGpuHour: busy > 0n ? nanosToUsd((incurred * MICROSECONDS_PER_HOUR) / busy) : null,
    backends: question.config.backends
      .filter((b) => b.host === config.id)
      .map((backend) => backendPart(question, host, prices, backend, hours)),
  };
}

const MICROSECONDS_PER_HOUR = 3_600_000_000n;

function gpuHours(microseconds: bigint): number {
  return Number(microseconds) / Number(MICROSECONDS_PER_HOUR);
}

function meanUtilization(hours: readonly ClosedHour[]): number | null {
  const known = hours.filter((h) => h.gpuUtilization !== undefined && h.measuredMs > 0);
  const weight = known.reduce((sum, h) => sum + h.measuredMs, 0);
  return weight === 0 ? null : known.reduce((sum, h) => sum + h.gpuUtilization! * h.measuredMs, 0) / weight;
}

function backendPart(
  question: ReportQuestion,
  host: Host,
  prices: UnitPrices,
  backend: BackendConfig,
  hours: readonly ClosedHour[],
): HardwareBackend {
  const seen = hours.flatMap((h) => h.backends.filter((b) => b.backend === backend.id));
  const count = (of: (part: (typeof seen)[number]) => number): number => seen.reduce((sum, part) => sum + of(part), 0);
  const tokens = {
    inputTokens: count((p) => p.inputTokens + p.cacheWrite5mTokens + p.cacheWrite1hTokens),
    cacheReadTokens: count((p) => p.cacheReadTokens),
    outputTokens: count((p) => p.outputTokens),
  };
  const throughput = backend.throughput && throughputOf(backend.throughput, question.priced(backend.id));
  const price = priceInForce(question.published.get(backend.id) ?? [], question.nowMs);
  const mix = mixOf(tokens);
  return {
    backend: backend.id,
    attempts: count((p) => p.attempts),
    ...tokens,
    ...(throughput ? { throughput: shown(throughput) } : {}),
    ...(price ? { full: perMillion(price.full), marginal: perMillion(price.marginal ?? price.cash) } : {}),
    mix,
    breakEven: throughput
      ? cloudsBeside(question.config, backend).flatMap(
          (cloud) => against(question, host, prices, throughput, cloud, mix) ?? [],
        )
      : [],
  };
}

function shown({ prefillCounts: _counts, ...throughput }: Throughput): HardwareBackend['throughput'] {
  return throughput;
}

function perMillion(card: RateCard): NonNullable<HardwareBackend['full']> {
  const usd = (picos: string): string => formatDecimal(BigInt(picos), 6);
  return {
    inputUsdPerMillionTokens: usd(card.inputPicosPerToken),
    cacheReadUsdPerMillionTokens: usd(card.cacheReadPicosPerToken),
    outputUsdPerMillionTokens: usd(card.outputPicosPerToken),
  };
}

const MILLION = 1_000_000;

/** A million tokens in the proportion that came. */
function mixOf(tokens: HardwareBackend['mix']): HardwareBackend['mix'] {
  const all = tokens.inputTokens + tokens.cacheReadTokens + tokens.outputTokens;
  if (all === 0) return { inputTokens: 0, cacheReadTokens: 0, outputTokens: MILLION };
  const inputTokens = Math.round((tokens.inputTokens / all) * MILLION);
  const cacheReadTokens = Math.round((tokens.cacheReadTokens / all) * MILLION);
  return { inputTokens, cacheReadTokens, outputTokens: Math.max(0, MILLION - inputTokens - cacheReadTokens) };
}

/** Cloud backends that a route offers beside this one. */
function cloudsBeside(config: ReportQuestion['config'], backend: BackendConfig): BackendConfig[] {
  const beside = new Set(config.routes.filter((r) => r.backends.includes(backend.id)).flatMap((r) => r.backends));
  return config.backends.filter((b) => b.kind === 'cloud' && beside.has(b.id));
}

/** Undefined while the cloud backend has no price: there is nothing to compare with. */
function against(
  { published, nowMs }: ReportQuestion,
  host: Host,
  prices: UnitPrices,
  throughput: Throughput,
  cloud: BackendConfig,
  mix: HardwareBackend['mix'],
): HardwareBreakEven | undefined {
  const price = priceInForce(published.get(cloud.id) ?? [], nowMs);
  if (!price) return undefined;
  const tokens: TokenCounts = { ...mix, cacheWrite5mTokens: 0, cacheWrite1hTokens: 0 };
  const cloudNanos = rate(price, { ...tokens, requests: 0 }, { atMs: nowMs }).fullNanos;
  const work = gpuSecondsOf(throughput, tokens);
  const answer = breakEven({ host, prices, work, cloudNanos });
  return {
    cloud: cloud.id,
    ...answer,
    cloudUsd: nanosToUsd(cloudNanos),
    marginalUsd: nanosToUsd(roundHalfEven(costOfWork(prices.marginal, work))),
  };
}
