import type { Basis } from '@meritorder/contracts';
import type { Nanos } from '@meritorder/kernel';
import type { OrgRate, RefusalKind, ReserveCandidate } from '../reservation.js';

export interface WindowState {
  limitNanos: Nanos;
  limitVersion: number;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
  reservedNanos: Nanos;
  /** The most that was spent and held at once, as grants saw it. */
  peakNanos: Nanos;
  /** Arrival time of the throttle, Redis' clock; 0 when it never acted. */
  throttleMicros: number;
}

export type HoldState = 'reserved' | 'opened' | 'unconfirmed' | 'settled' | 'released' | 'expired';

export interface Hold {
  state: HoldState;
  cashNanos: Nanos;
  fullNanos: Nanos;
  windows: readonly HoldWindow[];
  candidateIndex: number;
  maxTokens: number;
  leaseUntilMs: number;
}
export interface HoldWindow {
  /** `<budget>:<window>` */
  key: string;
  basis: Basis;
}

export interface CounterState {
  /** While it is not open every verb answers `epoch` and changes nothing. */
  open: boolean;
  windows: Map<string, WindowState>;
  holds: Map<string, Hold>;
  /** `<template>:<window>` -> instances. */
  instances: Map<string, number>;
  /** Arrival times of provider accounts. */
  accounts: Map<string, { requestsMicros: number; tokensMicros: number }>;
  /** Arrival times of orgs with a quota. */
  orgs: Map<string, number>;
}

type ForAttempt<Verb extends string, Rest = unknown> = { verb: Verb; attemptId: string } & Rest;

export type CounterCommand =
  | ForAttempt<'reserve', { leaseMs: number; candidates: readonly ReserveCandidate[]; orgRate?: OrgRate | undefined }>
  | ForAttempt<'open'>
  | ForAttempt<'renew', { leaseMs: number }>
  | ForAttempt<'release'>
  | ForAttempt<'expire'>
  | ForAttempt<'unconfirm'>
  | ForAttempt<'settle', { cashNanos: Nanos; fullNanos: Nanos }>
  /** To what the hold shall have grown, so that a repeated or overtaken call changes nothing. */
  | ForAttempt<'extend', { cashNanos: Nanos; fullNanos: Nanos }>
  | { verb: 'limit'; budget: string; window: string; limitNanos: Nanos; limitVersion: number }
  | ({ verb: 'adjust'; budget: string; window: string } & Adjustment)
  | { verb: 'close' }
  /** A new epoch from the truth: what is settled, opened and unconfirmed. */
  | { verb: 'rebuild' };

/** A correction by difference holds only for what was seen. */
export interface Adjustment {
  seenSettledNanos: Nanos;
  seenUnconfirmedNanos: Nanos;
  settledChangeNanos: Nanos;
  unconfirmedChangeNanos: Nanos;
}

/** Why one candidate is refused, with the numbers as they were. Of the kinds `rate` and `org-rate` there is no window. */
export interface Binding {
  kind: RefusalKind;
  key: string | undefined;
  neededNanos: Nanos;
  /** Of `stage` the action (`prefer-local` only passes over, it refuses nobody); of `rate` what is short. */
  detail: 'local-only' | 'reject' | 'prefer-local' | 'requests' | 'tokens' | undefined;
  /** Of `throttled` and the rates: until when; undefined is never by itself. */
  waitMicros: number | undefined;
}

export type CounterReply =
  | {
      type: 'granted';
      candidateIndex: number;
      maxTokens: number;
      cashNanos: Nanos;
      fullNanos: Nanos;
      leaseUntilMs: number;
      /** Why candidates before it were not taken, of those that were looked at; absent: none was, or the reply repeats a grant. */
      passedOver?: { candidateIndex: number; binding: Binding }[];
    }
  | { type: 'refused'; candidates: Binding[] }
  | { type: 'done'; was: HoldState | 'unknown' }
  | { type: 'extended'; cashNanos: Nanos; fullNanos: Nanos }
  | { type: 'extension-refused'; binding: Pick<Binding, 'kind' | 'key' | 'neededNanos'> }
  | { type: 'limit'; changed: boolean }
  | { type: 'adjust'; outcome: 'adjusted' | 'moved' | 'missing' | 'range' }
  | { type: 'epoch' };

export function emptyCounters(): CounterState {
  return {
    open: true,
    windows: new Map(),
    holds: new Map(),
    instances: new Map(),
    accounts: new Map(),
    orgs: new Map(),
  };
}

export function windowKey(of: { budget: string; window: string }): string {
  return `${of.budget}:${of.window}`;
}

/** What a hold takes of a window. */
export function amountIn(window: { basis: Basis }, amounts: { cashNanos: Nanos; fullNanos: Nanos }): Nanos {
  return window.basis === 'cash' ? amounts.cashNanos : amounts.fullNanos;
}

/** A grant of nothing shows nothing: the peak is of those that took something. */
export function holdMore(window: WindowState, amount: Nanos): void {
  if (amount === 0n) return;
  window.reservedNanos += amount;
  const used = window.settledNanos + window.unconfirmedNanos + window.reservedNanos;
  if (used > window.peakNanos) window.peakNanos = used;
}
