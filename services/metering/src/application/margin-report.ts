import type { MarginCustomer, MarginReply, MarginRow, MarginSegment, UpgradeRow } from '@meritorder/contracts';
import type { CandidateMeans, CustomerCosts, RequestOutcome, SegmentCosts, SegmentKey } from '@meritorder/ledger-store';
import {
  conversionInterval,
  conversionSegment,
  emptyOrgConversion,
  learnConversion,
  learnTrial,
  predictConversion,
  predictRevenue,
  ripenConversion,
  upgradeVerdict,
  type Arm,
  type OrgConversion,
} from '@meritorder/margin-core';
import { losersFirst, MarginSums } from './margin-sums.js';

/** What the books and the record say of a span. */
export interface MarginFacts {
  costs: readonly SegmentCosts[];
  customers: readonly CustomerCosts[];
  /** In the order in which they happened. */
  outcomes: readonly RequestOutcome[];
  candidates: readonly CandidateMeans[];
}

export interface ReportSpan {
  from: Date;
  to: Date;
}

type Report = Exclude<MarginReply, { error: unknown }>;

const MOST_ROWS = 500;
const MOST_CUSTOMERS = 100;
const MOST_SEGMENTS = 100;
/** Of a segment: whoever has more candidates reads of the dearest. */
const MOST_UPGRADES = 16;

/** What requests brought and cost by segment and backend and by customer, and whether other backends would pay. Pure. */
export function marginReport(facts: MarginFacts, span: ReportSpan): Report {
  const conversions = learned(facts, span.to.getTime());
  const rows = rowsOf(facts, conversions);
  const customers = customersOf(facts);
  const segments = segmentsOf(facts, conversions);
  const total = new MarginSums();
  for (const costs of facts.costs) total.addCosts(costs);
  for (const { revenueNanos } of facts.outcomes) total.addRevenue(revenueNanos);
  const leftOff = (all: readonly unknown[], most: number): number => Math.max(0, all.length - most);
  return {
    from: span.from.toISOString(),
    to: span.to.toISOString(),
    rows: rows.slice(0, MOST_ROWS),
    customers: customers.slice(0, MOST_CUSTOMERS),
    segments: segments.slice(0, MOST_SEGMENTS),
    total: total.money(),
    leftOff: {
      rows: leftOff(rows, MOST_ROWS),
      customers: leftOff(customers, MOST_CUSTOMERS),
      segments: leftOff(segments, MOST_SEGMENTS),
    },
  };
}

interface Learned {
  /** Of orgs that reported conversions. */
  orgs: Map<string, OrgConversion>;
  /** By segment and backend, requests that converted as things stand. */
  converted: Map<string, number>;
}

/** All trials and outcomes of the span, as of its end: the order in which they are learned does not matter then. */
function learned({ costs, outcomes }: MarginFacts, nowMs: number): Learned {
  const orgs = new Map<string, OrgConversion>();
  for (const { org, isConversion } of outcomes) if (isConversion) orgs.set(org, emptyOrgConversion(nowMs));
  // Where there are more segments than are kept, the busiest are.
  for (const { org, backend, finished, atMs, ...of } of costs.toSorted((a, b) => a.finished - b.finished)) {
    const state = orgs.get(org);
    const trial = { segment: conversionSegment(of), backend, requestedAtMs: atMs, requests: finished };
    if (state && finished > 0) learnTrial(state, trial, nowMs);
  }
  const standing = new Map<string, boolean>();
  const converted = new Map<string, number>();
  for (const outcome of outcomes) {
    const { org, isConversion, backend, revenueNanos } = outcome;
    const state = orgs.get(org);
    if (!state || !isConversion) continue;
    const request = `${org}/${outcome.requestId}`;
    const wasConverted = standing.get(request) ?? false;
    standing.set(request, outcome.converted);
    learnConversion(
      state,
      {
        segment: conversionSegment(outcome),
        backend,
        requestedAtMs: outcome.decidedAtMs,
        occurredAtMs: outcome.occurredAtMs,
        converted: outcome.converted,
        wasConverted,
        ...(revenueNanos === null ? {} : { revenueUsd: Number(revenueNanos) / 1e9 }),
      },
      nowMs,
    );
    const cell = keyOf(outcome, backend);
    converted.set(cell, (converted.get(cell) ?? 0) + Number(outcome.converted) - Number(wasConverted));
  }
  for (const state of orgs.values()) ripenConversion(state, nowMs);
  return { orgs, converted };
}

interface Cell extends SegmentKey {
  backend: string;
  sums: MarginSums;
}

function cellsOf({ costs, outcomes }: MarginFacts): Cell[] {
  const cells = new Map<string, Cell>();
  const cellOf = ({ org, tier, feature }: SegmentKey, backend: string): Cell => {
    const key = keyOf({ org, tier, feature }, backend);
    const cell = cells.get(key) ?? { org, tier, feature, backend, sums: new MarginSums() };
    cells.set(key, cell);
    return cell;
  };
  for (const part of costs) cellOf(part, part.backend).sums.addCosts(part);
  for (const outcome of outcomes) cellOf(outcome, outcome.backend).sums.addRevenue(outcome.revenueNanos);
  return [...cells.values()];
}

function rowsOf(facts: MarginFacts, { orgs, converted }: Learned): MarginRow[] {
  return cellsOf(facts)
    .sort((a, b) => losersFirst(a.sums, b.sums))
    .map(({ sums, ...cell }) => {
      const state = orgs.get(cell.org);
      return {
        ...cell,
        ...sums.money(),
        conversion: state ? rateOf(state, cell, converted.get(keyOf(cell, cell.backend)) ?? 0) : null,
      };
    });
}

function rateOf(state: OrgConversion, cell: Omit<Cell, 'sums'>, converted: number): MarginRow['conversion'] {
  const predicted = predictConversion(state, conversionSegment(cell), cell.backend);
  return {
    converted: Math.max(0, converted),
    rate: predicted.conversion,
    ...conversionInterval(predicted),
    enough: predicted.enough,
  };
}

function customersOf({ customers, outcomes }: MarginFacts): MarginCustomer[] {
  const sums = new Map<string, { org: string; customer: string; sums: MarginSums }>();
  const sumsOf = (org: string, customer: string): MarginSums => {
    const key = JSON.stringify([org, customer]);
    const known = sums.get(key) ?? { org, customer, sums: new MarginSums() };
    sums.set(key, known);
    return known.sums;
  };
  for (const costs of customers) sumsOf(costs.org, costs.customer).addCosts(costs);
  for (const { org, customer, revenueNanos } of outcomes)
    if (customer !== null) sumsOf(org, customer).addRevenue(revenueNanos);
  return [...sums.values()]
    .sort((a, b) => losersFirst(a.sums, b.sums))
    .map(({ sums: of, ...who }) => ({ ...who, ...of.money() }));
}

/** Segments with what their candidates were expected to cost for the same requests, so that harder ones do not make one look dear. */
function segmentsOf(facts: MarginFacts, { orgs }: Learned): MarginSegment[] {
  const candidates = Map.groupBy(facts.candidates, (c) => keyOf(c, ''));
  const served = Map.groupBy(cellsOf(facts), (c) => keyOf(c, ''));
  return [...served]
    .flatMap(([key, cells]): MarginSegment[] => {
      const { org, tier, feature } = cells[0]!;
      const state = orgs.get(org);
      const able = candidates.get(key) ?? [];
      const usual = cells.reduce((a, b) => (b.sums.requests > a.sums.requests ? b : a)).backend;
      const from = able.find((c) => c.backend === usual);
      if (!state || !from) return [];
      const configuredUsd = from.revenueConfiguredUsd ?? undefined;
      const brings = predictRevenue(state, conversionSegment({ tier, feature }), configuredUsd);
      const isReported = brings.from === 'learned';
      // Of decisions that do not say what was configured, as the router took it.
      const revenueUsd = brings.from === 'unknown' ? Math.max(0, from.revenueUsd) : brings.usd;
      // Of what brings nobody knows what, no backend is better: not even a cheaper one, which may convert less.
      const others = revenueUsd > 0 ? able.filter((c) => c !== from) : [];
      const upgrades = others
        .map((to) => upgradeOf(state, from, to, revenueUsd))
        .sort((a, b) => b.extraUsd - a.extraUsd)
        .slice(0, MOST_UPGRADES);
      const requests = cells.reduce((sum, c) => sum + c.sums.requests, 0);
      return [
        { org, tier, feature, requests, revenueUsd, revenueFrom: isReported ? 'reported' : 'configured', upgrades },
      ];
    })
    .sort((a, b) => b.requests - a.requests);
}

function upgradeOf(state: OrgConversion, from: CandidateMeans, to: CandidateMeans, revenueUsd: number): UpgradeRow {
  const arm = ({ backend, quality, marginalUsd, shadowPrice, ...of }: CandidateMeans): Arm => {
    const { conversion, variance, trials } = predictConversion(state, conversionSegment(of), backend, { quality });
    return { backend, conversion, variance, trials, costUsd: marginalUsd, shadowPrice };
  };
  const verdict = upgradeVerdict({ from: arm(from), to: arm(to), revenueUsd });
  return {
    from: from.backend,
    to: to.backend,
    verdict: verdict.verdict,
    gainUsd: verdict.gainUsd,
    extraUsd: verdict.extraUsd,
    shadowPrice: to.shadowPrice,
    ...(from.shadowPrice === to.shadowPrice ? {} : { fromShadowPrice: from.shadowPrice }),
    requests: verdict.requests,
    requestsNeeded: Number.isFinite(verdict.requestsNeeded) ? verdict.requestsNeeded : null,
    sentence: verdict.sentence,
  };
}

function keyOf({ org, tier, feature }: SegmentKey, backend: string): string {
  return JSON.stringify([org, tier, feature, backend]);
}
