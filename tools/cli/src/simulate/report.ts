import { nanosToUsd } from '@meritorder/kernel';
import type { BudgetOutcome, Difference, PolicyOutcome } from '@meritorder/simulation-core';
import { table } from '../table.js';
import { absolute, digitsFor, usd } from '../usd-text.js';

export interface SimulatedPolicy extends PolicyOutcome {
  /** Its name in tables. */
  policy: string;
  config: string;
}

/** All that a run found: the last line of the command. */
export interface SimulationReport {
  requests: number;
  from: string;
  to: string;
  inputTokens: number;
  outputTokens: number;
  seed: number;
  /** What the trace does not say of its period, and what of a policy is left out: a line each. */
  notes: string[];
  /** The first is the baseline. */
  policies: SimulatedPolicy[];
  /** Of each other policy, less the baseline. */
  differences: (Difference & { policy: string; baseline: string })[];
}

/** The report for people. */
export function reportText(report: SimulationReport): string {
  const { policies } = report;
  return [
    headline(report),
    '',
    comparison(policies),
    ...(policies.some((p) => p.budgets.length > 0) ? ['', budgetsTable(policies)] : []),
    ...[...report.notes, ...notes(policies)].flatMap((note) => ['', note]),
  ].join('\n');
}

function headline({ requests, from, to, inputTokens, outputTokens, seed }: SimulationReport): string {
  return (
    `${whole(requests)} requests from ${minute(from)} to ${minute(to)} UTC, ` +
    `${whole(inputTokens)} input and ${whole(outputTokens)} output tokens; seed ${seed}`
  );
}

interface Metric {
  name: string;
  of(policy: SimulatedPolicy): number | bigint | null;
  show(value: number | bigint): string;
  /** How a change is told; amounts in percent, shares and means by what they moved. */
  change: 'percent' | 'difference';
}

/** A column for each policy, and beside each but the first how far it is from the first. */
function comparison(policies: readonly SimulatedPolicy[]): string {
  const [baseline] = policies as [SimulatedPolicy];
  const head = ['', ...policies.flatMap((p, i) => (i === 0 ? [p.policy] : [p.policy, 'change']))];
  const rows = metricsOf(policies).map((metric) => [
    metric.name,
    ...policies.flatMap((p, i) => {
      const value = metric.of(p);
      const cell = value === null ? '-' : metric.show(value);
      return i === 0 ? [cell] : [cell, changeOf(metric, value, metric.of(baseline))];
    }),
  ]);
  return table(head, rows, { right: head.map((_, i) => i).slice(1) });
}

function metricsOf(policies: readonly SimulatedPolicy[]): Metric[] {
  const has = (of: Metric['of']): boolean => policies.some((p) => Number(of(p) ?? 0) !== 0);
  const counted = (name: string, of: Metric['of']): Metric => ({ name, of, show: whole, change: 'percent' });
  const moved = (name: string, of: Metric['of'], show: Metric['show']): Metric => ({
    name,
    of,
    show,
    change: 'difference',
  });
  const money = (name: string, of: (p: SimulatedPolicy) => bigint | null): Metric => {
    const digits = digitsFor(policies.map((p) => of(p) ?? 0n));
    return { name, of, show: (value) => usd(BigInt(value), digits), change: 'percent' };
  };
  const each = (of: (p: SimulatedPolicy) => Record<string, number>): Metric[] =>
    [...new Set(policies.flatMap((p) => Object.keys(of(p))))]
      .sort()
      .map((key) => counted(`  ${key}`, (p) => of(p)[key] ?? 0));
  const margin = policies.some((p) => p.chargedNanos !== null && p.chargedNanos !== '0');
  return [
    counted('answered', (p) => p.answered),
    counted('rejected', (p) => p.requests - p.answered),
    ...each((p) => p.rejected),
    money('cash cost, USD', (p) => BigInt(p.cashNanos)),
    money('full cost, USD', (p) => BigInt(p.fullNanos)),
    money('cash per 1,000 answers, USD', (p) => perThousand(p.cashNanos, p.answered)),
    money('full per 1,000 answers, USD', (p) => perThousand(p.fullNanos, p.answered)),
    ...(margin
      ? [
          money('charged to customers, USD', (p) => exact(p.chargedNanos)),
          money('margin on what is charged, USD', (p) => exact(p.marginNanos)),
        ]
      : []),
    moved('expected quality', (p) => p.quality, fixed(4)),
    ...(has((p) => p.valueUsd)
      ? [
          {
            name: 'value of answers, USD',
            of: (p: SimulatedPolicy) => p.valueUsd,
            show: fixed(2),
            change: 'percent' as const,
          },
        ]
      : []),
    moved('latency p50, s', (p) => p.latencySeconds?.p50 ?? null, fixed(2)),
    moved('latency p95, s', (p) => p.latencySeconds?.p95 ?? null, fixed(2)),
    ...(has((p) => p.pastDeadline) ? [counted('past their deadline', (p) => p.pastDeadline)] : []),
    moved(
      'on own hardware',
      (p) => 100 * p.localShare,
      (value) => `${Number(value).toFixed(1)} %`,
    ),
    ...each((p) => p.answeredBy),
    ...(has((p) => p.clamped)
      ? [counted('length held to a budget', (p) => p.clamped), counted('  cut short by it', (p) => p.cutShort)]
      : []),
    counted('changes of shadow prices', (p) => p.policyChanges),
  ];
}

function changeOf({ change, show }: Metric, value: number | bigint | null, base: number | bigint | null): string {
  if (value === null || base === null) return '-';
  const [a, b] = [Number(value), Number(base)];
  if (a === b) return '=';
  // Of nothing there is no percentage, and ten times as much is told better by how much it is.
  if (change === 'percent' && b !== 0 && Math.abs(a / b) < 10)
    return `${sign(a - b)}${Math.abs(100 * (a / b - 1)).toFixed(1)} %`;
  return `${sign(a - b)}${show(typeof value === 'bigint' ? absolute(value - BigInt(base)) : Math.abs(a - b))}`;
}

function budgetsTable(policies: readonly SimulatedPolicy[]): string {
  const ids = [...new Set(policies.flatMap((p) => p.budgets.map((b) => b.id)))];
  const matched = (id: string): boolean => policies.some((p) => p.budgets.some((b) => b.id === id && b.windows > 0));
  const rows = ids
    .filter(matched)
    .flatMap((id) => policies.flatMap((p) => p.budgets.filter((b) => b.id === id).map((b) => budgetRow(b, p.policy))));
  const unmatched = ids.filter((id) => !matched(id));
  return [
    ...(rows.length > 0 ? [table(BUDGET_HEAD, rows, { right: [2, 3, 4, 5, 10] })] : []),
    ...(unmatched.length > 0 ? [`no request matched the budgets ${unmatched.join(', ')}`] : []),
  ].join('\n');
}

const BUDGET_HEAD = [
  'budget',
  'policy',
  'USD a window',
  'settled USD',
  'peak use',
  'overshoot',
  'first bound (UTC)',
  'because',
  'windows bound',
  'spent from (UTC)',
  'price changes',
];

function budgetRow(b: BudgetOutcome, policy: string): string[] {
  const settled = BigInt(b.settledNanos);
  return [
    b.instances === undefined ? b.id : `${b.id} (${b.instances} instances)`,
    policy,
    nanosToUsd(BigInt(b.limitNanos)),
    usd(settled, digitsFor([settled])),
    `${(100 * b.peakShare).toFixed(1)} %`,
    nanosToUsd(BigInt(b.overshootNanos)),
    b.firstBound ? minute(b.firstBound.at) : 'never',
    b.firstBound?.kind ?? '',
    `${b.boundWindows} of ${b.windows}`,
    b.firstExhausted ? minute(b.firstExhausted.at) : '',
    String(b.policyChanges),
  ];
}

function notes(policies: readonly SimulatedPolicy[]): string[] {
  const unpriced = policies.filter((p) => (p.rejected['price_missing'] ?? 0) > 0).map((p) => p.policy);
  const unlearned = policies.filter((p) => p.conversionsUnlearned > 0);
  const full = policies.filter((p) => (p.rejected['backend_unavailable'] ?? 0) > 0).map((p) => p.policy);
  const begun = policies[0]!.budgets.filter((b) => b.spentBeforeNanos !== '0');
  return [
    ...(begun.length === 0
      ? []
      : [
          `spent before the period, of the windows that it is in: ${begun.map((b) => `${b.id} $${nanosToUsd(BigInt(b.spentBeforeNanos))}`).join(', ')}.`,
        ]),
    ...(full.length === 0
      ? []
      : [
          `${full.join(', ')}: requests were refused since all who could take them were full; a router lets them wait for limits.waitForSlotMs. --queue lets them wait before own hardware.`,
        ]),
    ...(unpriced.length === 0
      ? []
      : [
          `${unpriced.join(', ')}: requests were refused since no price was in force at their time; --from puts them at another.`,
        ]),
    ...unlearned.map(
      (p) =>
        `${p.policy}: conversions are not on record for the backends of ${whole(p.conversionsUnlearned)} answers; each is taken to convert as often as is expected before any was learned.`,
    ),
    ...policies.flatMap((p) => {
      const of = Object.entries(p.pricedOtherwise).map(([backend, count]) => `${whole(count)} of ${backend}`);
      return of.length === 0
        ? []
        : [
            `${p.policy}: answers cost what another price version says than they were decided by, for the configuration asks for other prices than the books had, or those were changed since: ${of.join(', ')}.`,
          ];
    }),
  ];
}

function exact(nanos: string | null): bigint | null {
  return nanos === null ? null : BigInt(nanos);
}

function perThousand(nanos: string, answered: number): bigint | null {
  return answered > 0 ? (BigInt(nanos) * 1_000n) / BigInt(answered) : null;
}

function whole(value: number | bigint): string {
  return Number(value).toLocaleString('en-US');
}

function fixed(digits: number): (value: number | bigint) => string {
  return (value) =>
    Number(value).toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function sign(difference: number): string {
  return difference > 0 ? '+' : '-';
}

function minute(instant: string): string {
  return instant.slice(0, 16).replace('T', ' ');
}
