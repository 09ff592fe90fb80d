import type { EvaluatedMetric, EvaluatedPolicy, LeftOut, Metric } from '@meritorder/simulation-core';
import { table } from './table.js';

export interface Evaluation extends EvaluatedPolicy {
  policy: string;
  /** Of the first and the last decision; null: there was none. */
  from: string | null;
  to: string | null;
}

/** The evaluation for people. */
export function evaluationText(of: Evaluation): string {
  const { policy, requests, from, to, metrics } = of;
  if (requests === 0) return `${policy} cannot be evaluated: ${metrics[0]?.refusal}`;
  const span = from === null || to === null ? '' : `, decided from ${minute(from)} to ${minute(to)} UTC`;
  return [
    `${policy} on ${requests} requests${span}`,
    '',
    table(HEAD, metrics.map(row), { right: HEAD.map((_, i) => i).slice(1) }),
    '',
    ...metrics.filter((m) => m.refusal !== null).map((m) => `${NAMES[m.metric]}: ${m.refusal}`),
    ...summary(metrics),
    ...notes(of),
  ].join('\n');
}

const NAMES: Record<Metric, string> = {
  quality: 'quality',
  cashUsd: 'cash, USD a request',
  fullUsd: 'full cost, USD a request',
};

const HEAD = ['', 'then', 'IPS', 'SNIPS', 'doubly robust', 'change', 'requests', 'effective'];

function row({ metric, requests, effectiveSample, estimate }: EvaluatedMetric): string[] {
  const sizes = [String(requests), String(Math.floor(effectiveSample))];
  if (estimate === null) return [NAMES[metric], '', '', '', '', '', ...sizes];
  const { logged, ips, snips, doublyRobust, change } = estimate;
  const digits = metric === 'quality' ? 3 : digitsFor(Math.abs(logged.value));
  return [
    NAMES[metric],
    logged.value.toFixed(digits),
    ...[ips, snips, doublyRobust].map((e) => interval(e, digits)),
    interval(change.doublyRobust, digits, '+'),
    ...sizes,
  ];
}

interface Estimate {
  value: number;
  low: number;
  high: number;
}

function interval({ value, low, high }: Estimate, digits: number, plus = ''): string {
  const text = (of: number): string => `${of > 0 ? plus : ''}${of.toFixed(digits)}`;
  return `${text(value)} [${text(low)}, ${text(high)}]`;
}

/** Three digits of it, at most nine decimals. */
function digitsFor(usd: number): number {
  return usd === 0 ? 6 : Math.max(2, Math.min(9, 2 - Math.floor(Math.log10(usd))));
}

/** What an owner wants to read, where both are known. */
function summary(metrics: readonly EvaluatedMetric[]): string[] {
  const of = (metric: Metric) => metrics.find((m) => m.metric === metric)?.estimate;
  const [cash, quality] = [of('cashUsd'), of('quality')];
  if (!cash || !quality) return [];
  const { doublyRobust: saved } = cash.change;
  const cheaper = saved.value <= 0;
  const digits = digitsFor(Math.abs(cash.logged.value));
  const amount = cheaper ? { value: -saved.value, low: -saved.high, high: -saved.low } : saved;
  return [
    `${cheaper ? 'saves' : 'costs'} $${interval(amount, digits)}${cheaper ? '' : ' more'} in cash a request at a change of quality of ${interval(quality.change.doublyRobust, 3, '+')} (doubly robust, 95 %)`,
  ];
}

const LEFT_OUT: Record<LeftOut, string> = {
  'refused-then': 'were refused then',
  'refused-now': 'it would refuse',
  'too-old': 'are of a version that kept too little',
  'nothing-came-of-it': 'have neither a cost nor an outcome on record',
};

function notes({ leftOut, untriedShare, untried, unknown, conversionsUnlearned, metrics }: Evaluation): string[] {
  const clipped = Math.max(0, ...metrics.map((m) => m.estimate?.clippedShare ?? 0));
  return [
    ...(Object.keys(LEFT_OUT) as LeftOut[])
      .filter((why) => leftOut[why] > 0)
      .map((why) => `left out: ${leftOut[why]} that ${LEFT_OUT[why]}`),
    ...(untriedShare > 0
      ? [
          `of its choices ${percent(untriedShare)} had no chance then: ${[...new Set([...Object.keys(untried), ...Object.keys(unknown)])].join(', ')}`,
        ]
      : []),
    ...(conversionsUnlearned > 0
      ? [
          `conversions are not on record for ${conversionsUnlearned} requests: every backend is taken to convert as often as is expected before any was learned`,
        ]
      : []),
    ...(clipped > 0
      ? [`${percent(clipped)} of the weights were above 50 and are cut: estimates are off by what that hides`]
      : []),
  ];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function minute(instant: string): string {
  return instant.slice(0, 16).replace('T', ' ');
}
