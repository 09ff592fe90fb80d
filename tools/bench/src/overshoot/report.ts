import { nanosToUsd } from '@meritorder/kernel';
import { percentile } from '../replay/percentile.js';
import type { ReservationRate } from './bare-script.js';
import type { LoadResult } from './load.js';
import type { BudgetSpend } from './target.js';

/** Of one run under one fault. Amounts are integer nano-USD. */
export interface OvershootReport {
  fault: string;
  target: string;
  routers: number;
  clients: number;
  seconds: number;
  /** How often the fault struck. */
  strikes: number;
  /** The largest of the three below, never under 0. */
  maxOvershootNanos: number;
  /** settled + unconfirmed + reserved above the limit, at any window and any time, as grants saw it. */
  peakOvershootNanos: number | null;
  /** Of what the provider charged, and of what the target booked. Negative: the fullest budget has room left. */
  invoiceOvershootNanos: number;
  bookedOvershootNanos: number | null;
  falseRefusals: number;
  requests: number;
  admitted: number;
  unanswered: number;
  refused: Record<string, number>;
  refusedByBudget: Record<string, number>;
  requestsPerSecond: number;
  /** From publishing a request to hearing that a budget refuses it. */
  p50Ms: number;
  p99Ms: number;
  /** The call of the counters alone, beside the load. */
  reserveP50Ms: number | null;
  reserveP99Ms: number | null;
  ratioToBareScript: number | null;
  reservationsPerSecond: number | null;
  bareReservationsPerSecond: number | null;
  checks: Record<string, number>;
}

export interface Measured {
  load: LoadResult;
  /** Undefined when the target does not show its counters. */
  peakOvershoot: bigint | undefined;
  spends: BudgetSpend[];
  checks: Record<string, number>;
  reserveMs: number[];
  rate: ReservationRate | undefined;
  strikes: number;
}

export function reportOf(
  run: { fault: string; target: string; routers: number; clients: number },
  measured: Measured,
): OvershootReport {
  const { load, spends, rate, reserveMs } = measured;
  const invoiceOvershootNanos = most(spends.map((s) => s.invoiceNanos - s.limitNanos)) ?? 0;
  const bookedOvershootNanos = most(
    spends.flatMap((s) => (s.bookedNanos === undefined ? [] : s.bookedNanos - s.limitNanos)),
  );
  const peakOvershootNanos = measured.peakOvershoot === undefined ? null : Number(measured.peakOvershoot);
  const round = (n: number): number => Math.round(n * 1_000) / 1_000;
  return {
    ...run,
    seconds: round(load.seconds),
    strikes: measured.strikes,
    maxOvershootNanos: Math.max(0, invoiceOvershootNanos, bookedOvershootNanos ?? 0, peakOvershootNanos ?? 0),
    peakOvershootNanos,
    invoiceOvershootNanos,
    bookedOvershootNanos,
    falseRefusals: load.falseRefusals.length,
    requests: load.requests,
    admitted: load.admitted,
    unanswered: load.unanswered,
    refused: load.refused,
    refusedByBudget: load.refusedByBudget,
    requestsPerSecond: round(load.requests / load.seconds),
    p50Ms: round(percentile(load.refusalMs, 50)),
    p99Ms: round(percentile(load.refusalMs, 99)),
    reserveP50Ms: reserveMs.length === 0 ? null : round(percentile(reserveMs, 50)),
    reserveP99Ms: reserveMs.length === 0 ? null : round(percentile(reserveMs, 99)),
    ratioToBareScript: rate ? round(rate.ratioToBareScript) : null,
    reservationsPerSecond: rate ? Math.round(rate.perSecond) : null,
    bareReservationsPerSecond: rate ? Math.round(rate.barePerSecond) : null,
    checks: measured.checks,
  };
}

/** One line of several runs: the worst overshoot, the sums, and the times of the first run. */
export function summaryOf(reports: readonly OvershootReport[]): object {
  const [first] = reports;
  if (reports.length === 1) return first!;
  const sum = (of: (r: OvershootReport) => number): number => reports.reduce((total, r) => total + of(r), 0);
  return {
    maxOvershootNanos: Math.max(...reports.map((r) => r.maxOvershootNanos)),
    falseRefusals: sum((r) => r.falseRefusals),
    admitted: sum((r) => r.admitted),
    p50Ms: first!.p50Ms,
    p99Ms: first!.p99Ms,
    ratioToBareScript: first!.ratioToBareScript,
    runs: reports,
  };
}

export function tableOf(reports: readonly OvershootReport[]): string {
  const head = [
    'fault',
    'strikes',
    'overshoot',
    'false refusals',
    'admitted',
    'budget refusals',
    'other refusals',
    'unanswered',
    'requests/s',
    'refusal p50/p99 ms',
    'reserve p50/p99 ms',
    'counters = books',
  ];
  const rows = reports.map((r) => {
    const refused = Object.entries(r.refused);
    const byBudget = refused.filter(([code]) => code.startsWith('budget_')).reduce((n, [, count]) => n + count, 0);
    const all = refused.reduce((n, [, count]) => n + count, 0);
    const difference = r.checks['countersDifferenceNanos'];
    return [
      r.fault,
      r.strikes,
      `$${nanosToUsd(BigInt(r.maxOvershootNanos))}`,
      r.falseRefusals,
      r.admitted,
      byBudget,
      all - byBudget,
      r.unanswered,
      Math.round(r.requestsPerSecond),
      `${r.p50Ms} / ${r.p99Ms}`,
      r.reserveP50Ms === null ? '-' : `${r.reserveP50Ms} / ${r.reserveP99Ms}`,
      difference === undefined ? '-' : difference === 0 ? 'yes' : `off by ${difference}`,
    ].map(String);
  });
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  return [head, ...rows].map((row) => row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')).join('\n');
}

function most(values: readonly bigint[]): number | null {
  return values.length === 0 ? null : Number(values.reduce((a, b) => (b > a ? b : a)));
}
