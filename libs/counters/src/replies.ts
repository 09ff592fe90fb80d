import type { Basis } from '@meritorder/contracts';
import type { HoldState } from '@meritorder/budget-core';
import type { Nanos } from '@meritorder/kernel';

export interface ReserveGrant {
  type: 'granted';
  epochId: number;
  candidateIndex: number;
  /** Output tokens of one choice, clamped to what the budgets leave. */
  maxTokens: number;
  cashNanos: Nanos;
  fullNanos: Nanos;
  leaseUntilMs: number;
  /** Redis' clock as the script saw it, microseconds. */
  decidedAtMicros: number;
  /** As of this reservation; empty when the reply repeats an earlier grant. */
  left: { budget: string; window: string; basis: Basis; leftNanos: Nanos }[];
  /**
   * Why candidates before it were not taken, of those that were looked at: one that is not here stands behind own hardware as the one
   * before it does. Absent: none was passed over, or the reply repeats an earlier grant.
   */
  passedOver?: PassedOver[];
}

export interface PassedOver {
  candidateIndex: number;
  binding: BindingBudget | BindingAccount | BindingOrg;
}

/** The window that refuses a candidate, with its numbers as the script saw them. */
export interface BindingBudget {
  budget: string;
  window: string;
  basis: Basis;
  /**
   * `exhausted`: no room, whatever is in flight. `held`: it would fit, were the requests in flight over. `stage`: its stage admits
   * no such candidate. `throttled`: its stage admits only so many a minute. `instances`: its template has too many.
   */
  kind: 'exhausted' | 'held' | 'stage' | 'throttled' | 'instances';
  limitNanos: Nanos;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
  reservedNanos: Nanos;
  neededNanos: Nanos;
  /** Of `stage`; `prefer-local` only passes over, it refuses nobody. */
  stage?: 'local-only' | 'reject' | 'prefer-local';
  /** Of `throttled`: when the next one is admitted. */
  retryInMs?: number;
  /** When the earliest lease of any hold ends, in ms from now by Redis' clock; undefined when all are opened. */
  earliestLeaseInMs: number | undefined;
}

/** The provider account that is at its limit, while every budget has room. */
export interface BindingAccount {
  kind: 'rate';
  account: string;
  short: 'requests' | 'tokens';
  limitPerMinute: number;
  /** Units that were asked for. */
  asked: number;
  /** Undefined: never, the request is larger than the limit. */
  retryInMs: number | undefined;
}

/** The quota of the org that asks is used up, while budgets and account have room. */
export interface BindingOrg {
  kind: 'org-rate';
  org: string;
  limitPerMinute: number;
  retryInMs: number;
}

export interface ReserveRefusal {
  type: 'refused';
  decidedAtMicros: number;
  /** One per candidate: of its windows one that lasts until its window ends before one that passes, then its account, then the org. */
  candidates: (BindingBudget | BindingAccount | BindingOrg)[];
}
export type ReserveReply =
  | ReserveGrant
  | ReserveRefusal
  /** Admission is closed. */
  | { type: 'epoch' }
  /** An amount is beyond 2^53. */
  | { type: 'range'; message: string }
  | { type: 'too-many-budgets'; backend: string; count: number };

export type HoldStateText = HoldState | 'unknown';
/** What the hold was before the verb, or that the epoch is not open: then nothing happened. */
export type FinishReply = { type: 'done'; was: HoldStateText } | { type: 'epoch' };
/** The same of verbs that go by Redis' clock; microseconds. */
export type TimedReply = { type: 'done'; was: HoldStateText; atMicros: number | undefined } | { type: 'epoch' };

export type ExtendReply =
  | { type: 'extended'; cashNanos: Nanos; fullNanos: Nanos }
  /** A window has no room for the growth; the hold is what it was. */
  | {
      type: 'refused';
      binding: Omit<BindingBudget, 'basis' | 'stage' | 'retryInMs' | 'earliestLeaseInMs'>;
    }
  /** The hold is not opened; nothing was done. */
  | { type: 'done'; was: HoldStateText }
  | { type: 'epoch' };

/** `moved`: something was booked since it was seen, or this call repeats one that was applied; look again. */
export type AdjustReply = { type: 'adjusted' | 'moved' | 'missing' | 'epoch' } | { type: 'range'; message: string };

export interface EpochState {
  id: number;
  runId: string;
  state: 'open' | 'building' | 'broken';
  windows: number;
}
export interface WindowCounters {
  budget: string;
  window: string;
  limitNanos: Nanos;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
  reservedNanos: Nanos;
  /** The most that was ever spent and held at once, as grants saw it. */
  peakNanos: Nanos;
}
export interface LoadedWindow extends WindowCounters {
  /** Of the limit (`limitIn` of the budget core), so that whoever knows an older one does not put it in force. Default: oldest. */
  limitVersion?: number;
}
export interface LoadedHold {
  attemptId: string;
  state: 'opened' | 'unconfirmed';
  cashNanos: Nanos;
  fullNanos: Nanos;
  windows: { budget: string; window: string; basis: Basis }[];
}
