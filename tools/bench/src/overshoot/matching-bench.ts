import { enforcedAt, indexBudgets, matchingBudgets, type Attributes } from '@meritorder/budget-core';
import type { BudgetDefinition } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { percentile } from '../replay/percentile.js';

export interface MatchingFigures {
  budgets: number;
  /** Budgets that a request matched, on average. */
  matchedPerRequest: number;
  meanMicros: number;
  p50Micros: number;
  p99Micros: number;
  indexMs: number;
}

const BATCH = 100;

/**
 * How long it takes to find the budgets of a request, with the windows they are in, among many: orgs with departments, customers,
 * features, models, a template each, and accounts that span orgs.
 */
export function matchingBench(options: { budgets?: number; requests?: number; seed?: number } = {}): MatchingFigures {
  const { budgets = 100_000, requests = 200_000, seed = 1 } = options;
  const started = performance.now();
  const index = indexBudgets(definitions(budgets));
  const indexMs = performance.now() - started;
  const random = seededRandom(seed);
  const asked = Array.from({ length: 10_000 }, () => attributesOf(random, budgets));
  const nowMs = Date.parse('2026-11-24T10:00:00Z');
  const perRequest: number[] = [];
  let matched = 0;
  for (let i = 0; i < requests; i += BATCH) {
    const from = performance.now();
    for (let j = 0; j < BATCH; j++) {
      for (const budget of matchingBudgets(index, asked[(i + j) % asked.length]!)) {
        if (enforcedAt(budget, nowMs).asked.budget !== '') matched++;
      }
    }
    perRequest.push(((performance.now() - from) * 1_000) / BATCH);
  }
  return {
    budgets,
    matchedPerRequest: matched / requests,
    meanMicros: perRequest.reduce((a, b) => a + b, 0) / perRequest.length,
    p50Micros: percentile(perRequest, 50),
    p99Micros: percentile(perRequest, 99),
    indexMs,
  };
}

const PER_ORG = 1_000;

function definitions(count: number): BudgetDefinition[] {
  return Array.from({ length: count }, (_, i): BudgetDefinition => {
    const org = `org-${Math.floor(i / PER_ORG)}`;
    const place = i % PER_ORG;
    const selector: BudgetDefinition['selector'] =
      place === 0 || place === 1
        ? { org }
        : place < 20
          ? { org, department: `d${place}` }
          : place < 40
            ? { org, department: `d${place - 20}`, feature: `f${place % 5}` }
            : place < 60
              ? { org, provider: `p${place % 4}`, model: `m${place}` }
              : { org, customer: `c${place}` };
    return {
      id: `b-${i}`,
      name: `b-${i}`,
      selector: i < 4 ? { provider: `p${i}` } : selector,
      ...(place === 1 && i >= 4 ? { per: ['customer'] as const satisfies BudgetDefinition['per'] } : {}),
      window: (['day', 'week', 'month', 'total'] as const)[i % 4]!,
      timeZone: ['UTC', 'Asia/Kolkata', 'Europe/Berlin'][i % 3]!,
      limitNanos: '1000000000',
      limitVersion: 1,
      basis: 'cash',
      thresholds: [0.5, 1],
      stages: [{ at: 0.8, action: 'prefer-local' }],
    };
  });
}

function attributesOf(random: () => number, budgets: number): Attributes {
  const pick = (n: number): number => Math.floor(random() * n);
  return {
    org: `org-${pick(Math.max(1, budgets / PER_ORG))}`,
    key: 'k',
    department: `d${pick(20)}`,
    team: `t${pick(50)}`,
    customer: `c${60 + pick(PER_ORG - 60)}`,
    feature: `f${pick(5)}`,
    provider: `p${pick(4)}`,
    model: `m${40 + pick(20)}`,
    backend: 'b',
  };
}
