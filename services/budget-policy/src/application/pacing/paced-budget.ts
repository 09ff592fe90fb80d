import type { Basis, PolicyShadowPriceChangedV1 } from '@meritorder/contracts';
import type { ForecastStage } from '@meritorder/forecast-core';
import type { ShadowPrice } from '@meritorder/pacing-core';
import type { Outlook } from './project-window.js';

/** A word of an operator as it was taken up. */
export interface Word {
  stage: ForecastStage | null;
  shadowPrice: number | null;
  paused: boolean;
  reason: string;
  by: string;
  changedAt: string;
}

/** What is known of one budget between ticks. Plain JSON of constant size; its traffic by the hour is kept apart. */
export interface PacedBudget {
  version: 1;
  budget: string;
  template: string | null;
  values: Record<string, string> | null;
  /** Of the window that is paced; null before the first tick. */
  windowId: string | null;
  windowStart: string | null;
  windowEnd: string | null;
  /** Null: no window with an end. */
  price: ShadowPrice | null;
  /** Whether the price counts for routers. */
  inForce: boolean;
  stage: ForecastStage;
  stageReason: string;
  /** What routers were told. */
  shown: number;
  shownWhy: PolicyShadowPriceChangedV1['why'] | null;
  shownReason: string;
  /** The largest bound that it can spare for any but a request's cheapest attempt; null: no rule. */
  roomNanos: string | null;
  word: Word | null;
  projectedAtMs: number | null;
  unconstrained: Outlook | null;
  withPacing: Outlook | null;
  /** The expected end that was told last. */
  toldUsd: number | null;
  /** Of its last event. */
  sequence: number;
  changedAtMs: number | null;
  /** Since when its traffic is counted, and how much was, of decisions and of charges. */
  sinceMs: number;
  decisions: number;
  charges: number;
  /** Requests of about the last hour: who is busiest. */
  busy: number;
  busyAtMs: number;
  /** E[cost] of attempts of this window that are decided and not settled, USD. */
  inFlightUsd: number;
  /** Decaying mean of the cheapest candidates, USD. */
  cheapestUsd: number;
  limitNanos: string;
  spentNanos: string;
}

/** An attempt, or a refusal, that was heard of. */
export interface SeenAttempt {
  atMs: number;
  decided: boolean;
  settled: boolean;
  /** Charged windows with what was expected of them; empty when nothing of it is needed any more. */
  charges: { budget: string; window: string; basis: Basis; expectedUsd: number }[];
  /** What it cost, where that was heard before the decision. */
  actual?: { cashUsd: number; fullUsd: number };
}

export function newPacedBudget(budget: string, nowMs: number): PacedBudget {
  return {
    version: 1,
    budget,
    template: null,
    values: null,
    windowId: null,
    windowStart: null,
    windowEnd: null,
    price: null,
    inForce: false,
    stage: 'steady',
    stageReason: 'nothing is projected yet',
    shown: 0,
    shownWhy: null,
    shownReason: '',
    roomNanos: null,
    word: null,
    projectedAtMs: null,
    unconstrained: null,
    withPacing: null,
    toldUsd: null,
    sequence: 0,
    changedAtMs: null,
    sinceMs: nowMs,
    decisions: 0,
    charges: 0,
    busy: 0,
    busyAtMs: nowMs,
    inFlightUsd: 0,
    cheapestUsd: 0,
    limitNanos: '0',
    spentNanos: '0',
  };
}
