import type { Basis } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import type { StageAmounts } from './stages.js';

/** A budget window that a candidate would be charged to, with the terms that the asker knows. */
export interface CandidateWindow {
  budget: string;
  window: string;
  basis: Basis;
  limitNanos: Nanos;
  /** The newest version of a limit is in force for everyone. */
  limitVersion: number;
  stages?: StageAmounts | undefined;
  /** Of a template's instance (`<template>--<16 hex>`): how many the template may have in this window. */
  maxInstances?: number | undefined;
}

/** What is left of a provider account's limits is counted where budgets are; only the granted candidate uses it up. */
export interface AccountRate {
  account: string;
  requestsPerMinute?: number | undefined;
  tokensPerMinute?: number | undefined;
  /** What is expected of this request. */
  tokens: number;
}

export interface CostLine {
  fixedNanos: Nanos;
  perOutputTokenNanos: Nanos;
}

export interface ReserveCandidate {
  backend: string;
  maxTokens: number;
  minTokens: number;
  cash: CostLine;
  full: CostLine;
  windows: readonly CandidateWindow[];
  local?: boolean | undefined;
  accountRate?: AccountRate | undefined;
}

export interface ReserveCommand {
  attemptId: string;
  /** How long the hold lasts without being opened, by Redis' clock. */
  leaseMs: number;
  /** In order of preference; the first that fits in all its windows is granted. */
  candidates: readonly ReserveCandidate[];
  /** The quota of the org that asks, counted where budgets are; only a grant uses it up. */
  orgRate?: OrgRate | undefined;
}

export interface OrgRate {
  org: string;
  requestsPerMinute: number;
}

/**
 * Why a candidate is refused. What lasts until the window ends, the limit rises or a charge is corrected: `exhausted` (no room,
 * whatever is in flight), `stage` (local-only or reject), `instances` (a template has too many). What passes by itself: `held`
 * (it would fit, were the requests in flight over), `throttled`, `rate` (of the provider's account), `org-rate` (the org's quota).
 */
export const REFUSAL_KINDS = ['exhausted', 'stage', 'instances', 'held', 'throttled', 'rate', 'org-rate'] as const;
export type RefusalKind = (typeof REFUSAL_KINDS)[number];
