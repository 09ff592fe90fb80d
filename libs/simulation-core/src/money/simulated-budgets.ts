import {
  applyCommand,
  budgetOfAllocation,
  budgetOfConfig,
  emptyCounters,
  enforcedAt,
  indexBudgets,
  matchingBudgets,
  templateKey,
  windowKey,
  type Attributes,
  type BudgetIndex,
  type CounterState,
  type EnforcedBudget,
  type EnforcedWindow,
  type OrgRate,
  type ReserveCandidate,
  type WindowState,
} from '@meritorder/budget-core';
import { INSTANCE_ID, type BudgetDefinition, type MeritorderConfig, type PeriodOpening } from '@meritorder/contracts';
import { invariant, type Nanos } from '@meritorder/kernel';
import { CarriedOver } from './carried-over.js';

/** Why a budget did not let an attempt have what it asked for. */
export type BindingKind =
  'exhausted' | 'held' | 'stage' | 'throttled' | 'instances' | 'prefer-local' | 'rate' | 'org-rate';

export interface Grant {
  candidateIndex: number;
  maxTokens: number;
}
/** A candidate to reserve for. */
export interface Offer {
  local: boolean;
  windows: readonly EnforcedWindow[];
  /** Worked out when it is asked about. */
  candidate(): ReserveCandidate;
}
/** By candidate that was asked about, why it does not fit; `key` is undefined for a provider's account and an org's quota. */
export type Refused = { kind: BindingKind; key: string | undefined; detail: string | undefined }[];

/** When a budget began to bind: it refused a candidate, or sent it elsewhere. */
export interface Bound {
  atMs: number;
  window: string;
  kind: BindingKind;
}

interface Told {
  firstBound: Bound | null;
  firstExhausted: Bound | null;
  windows: Set<string>;
  refusals: number;
}

/** A budget over a run. */
export interface BudgetOutcome {
  id: string;
  name: string;
  basis: 'cash' | 'full';
  /** Nano-USD, of one window; of a template of most instances. */
  limitNanos: string;
  windows: number;
  /** Of a template: budgets that it made. */
  instances?: number;
  /** In the run. */
  settledNanos: string;
  /** Of its windows, before the run. */
  spentBeforeNanos: string;
  /** The most that was spent and held at once, as a share of the limit, in the window where that is highest. */
  peakShare: number;
  /** The most that was spent and held in one window beyond its limit, or beyond what had been spent before; 0, or reservation is broken. */
  overshootNanos: string;
  firstBound: { at: string; window: string; kind: BindingKind } | null;
  firstExhausted: { at: string; window: string } | null;
  /** Windows in which it bound. */
  boundWindows: number;
  /** Candidates that it did not let through. */
  refusals: number;
  /** How often routers were told another shadow price. */
  policyChanges: number;
}

/** The budgets of a configuration on the model of their counters: what is held and settled is what the Lua scripts would hold. */
export class SimulatedBudgets {
  readonly counters: CounterState = emptyCounters();
  private readonly index: BudgetIndex;
  private readonly definitions: BudgetDefinition[];
  private readonly told = new Map<string, Told>();
  private readonly spentBefore = new Map<string, Nanos>();
  private readonly carried: CarriedOver;

  /** @param opening what was spent before the run; undefined: nothing */
  constructor(config: Pick<MeritorderConfig, 'budgets' | 'accounts'>, beginMs: number, opening?: PeriodOpening) {
    const configured = [
      ...config.budgets.map(budgetOfConfig),
      ...config.accounts.flatMap((account) => budgetOfAllocation(account) ?? []),
    ];
    this.definitions = configured.map((budget) => ({ ...budget, limitVersion: 1 }));
    this.index = indexBudgets(this.definitions);
    for (const { budget, window, nanos } of opening?.spent ?? []) {
      this.spentBefore.set(windowKey({ budget, window }), BigInt(nanos));
      const template = templateKey({ budget, window });
      if (template) this.counters.instances.set(template, (this.counters.instances.get(template) ?? 0) + 1);
    }
    const { windows } = this.counters;
    this.carried = new CarriedOver(
      beginMs,
      (key) => windows.get(key),
      (key) => spentIn(windows.get(key)) ?? this.spentBefore.get(key) ?? 0n,
    );
  }

  matching(attributes: Attributes): EnforcedBudget[] {
    return matchingBudgets(this.index, attributes);
  }

  windowsOf(budgets: readonly EnforcedBudget[], nowMs: number): EnforcedWindow[] {
    const windows = budgets.map((budget) => enforcedAt(this.carried.into(budget, nowMs), nowMs));
    if (this.spentBefore.size > 0) for (const { asked } of windows) this.begin(asked);
    return windows;
  }

  /** A window that something was spent in before is there, and an instance that is there is not counted again. */
  private begin(asked: EnforcedWindow['asked']): void {
    const { windows } = this.counters;
    const key = windowKey(asked);
    const spent = this.spentBefore.get(key);
    if (spent === undefined || windows.has(key)) return;
    windows.set(key, {
      limitNanos: asked.limitNanos,
      limitVersion: asked.limitVersion,
      settledNanos: spent,
      unconfirmedNanos: 0n,
      reservedNanos: 0n,
      peakNanos: spent,
      throttleMicros: 0,
    });
  }

  window(of: EnforcedWindow): WindowState | undefined {
    return this.counters.windows.get(windowKey(of.asked));
  }

  /**
   * Reserves for the first candidate that fits and opens the hold. One candidate is asked about after the other, which is what
   * the model does too, so that it is told which budget refused each, and no hold is worked out that nobody asks for; but where a
   * stage may prefer local ones, all at once.
   */
  reserve(attemptId: string, offers: readonly Offer[], orgRate: OrgRate | undefined, nowMs: number): Grant | Refused {
    const prefersLocal = offers.some(
      (o) => !o.local && o.windows.some((w) => w.asked.stages?.preferLocalFromNanos !== undefined),
    );
    return prefersLocal
      ? this.reserveAtOnce(attemptId, offers, orgRate, nowMs)
      : this.reserveInTurn(attemptId, offers, orgRate, nowMs);
  }

  private reserveInTurn(
    attemptId: string,
    offers: readonly Offer[],
    orgRate: OrgRate | undefined,
    nowMs: number,
  ): Grant | Refused {
    const refused: Refused = [];
    for (const [candidateIndex, offer] of offers.entries()) {
      const reply = this.ask(attemptId, [offer.candidate()], orgRate, nowMs);
      if ('maxTokens' in reply) return { ...reply, candidateIndex };
      refused.push(...reply);
    }
    return refused;
  }

  private reserveAtOnce(
    attemptId: string,
    offers: readonly Offer[],
    orgRate: OrgRate | undefined,
    nowMs: number,
  ): Grant | Refused {
    const candidates = offers.map((offer) => offer.candidate());
    const reply = this.ask(attemptId, candidates, orgRate, nowMs);
    if ('maxTokens' in reply && reply.candidateIndex > 0)
      for (const { asked, fromNanos } of preferring(candidates[0]!)) {
        const window = this.counters.windows.get(windowKey(asked));
        if (window && window.settledNanos + window.unconfirmedNanos >= fromNanos)
          this.binds(windowKey(asked), 'prefer-local', nowMs);
      }
    return reply;
  }

  private ask(
    attemptId: string,
    candidates: readonly ReserveCandidate[],
    orgRate: OrgRate | undefined,
    nowMs: number,
  ): Grant | Refused {
    const micros = Math.round(nowMs * 1_000);
    const command = { verb: 'reserve' as const, attemptId, leaseMs: LEASE_MS, candidates, orgRate };
    const reply = applyCommand(this.counters, command, micros);
    if (reply.type === 'granted') {
      applyCommand(this.counters, { verb: 'open', attemptId }, micros);
      return { candidateIndex: reply.candidateIndex, maxTokens: reply.maxTokens };
    }
    invariant(reply.type === 'refused', `a reservation is granted or refused, not ${reply.type}`);
    return reply.candidates.map(({ kind, key, detail }) => {
      if (key !== undefined) this.binds(key, kind, nowMs);
      return { kind, key, detail };
    });
  }

  /** Books what an attempt cost. Its hold is forgotten: nobody asks about an attempt that has ended. */
  settle(attemptId: string, cashNanos: Nanos, fullNanos: Nanos, nowMs: number): void {
    const micros = Math.round(nowMs * 1_000);
    const reply = applyCommand(this.counters, { verb: 'settle', attemptId, cashNanos, fullNanos }, micros);
    invariant(reply.type === 'done' && reply.was === 'opened', 'an attempt that is settled was opened');
    this.counters.holds.delete(attemptId);
  }

  private binds(key: string, kind: BindingKind, atMs: number): void {
    const [enforced, window] = split(key);
    const id = templateOf(enforced);
    let told = this.told.get(id);
    if (!told) this.told.set(id, (told = { firstBound: null, firstExhausted: null, windows: new Set(), refusals: 0 }));
    told.firstBound ??= { atMs, window, kind };
    if (kind === 'exhausted') told.firstExhausted ??= { atMs, window, kind };
    told.windows.add(key);
    told.refusals += 1;
  }

  outcomes(policyChanges: ReadonlyMap<string, number>): BudgetOutcome[] {
    const sums = new Map<string, Sum>();
    for (const [key, window] of this.counters.windows) add(sums, key, window, this.spentBefore.get(key) ?? 0n);
    const changes = new Map<string, number>();
    for (const [id, count] of policyChanges) changes.set(templateOf(id), (changes.get(templateOf(id)) ?? 0) + count);
    return this.definitions.map((definition) => {
      const { id, name, basis, limitNanos } = definition;
      const sum = sums.get(id) ?? NO_SUM;
      const told = this.told.get(id);
      const { firstBound = null, firstExhausted = null } = told ?? {};
      return {
        id,
        name,
        basis,
        limitNanos,
        windows: sum.windows,
        ...(definition.per ? { instances: sum.instances.size } : {}),
        settledNanos: sum.settledNanos.toString(),
        spentBeforeNanos: sum.beforeNanos.toString(),
        peakShare: sum.peakShare,
        overshootNanos: sum.overshootNanos.toString(),
        firstBound: firstBound && {
          at: instant(firstBound.atMs),
          window: firstBound.window,
          kind: firstBound.kind,
        },
        firstExhausted: firstExhausted && { at: instant(firstExhausted.atMs), window: firstExhausted.window },
        boundWindows: told?.windows.size ?? 0,
        refusals: told?.refusals ?? 0,
        policyChanges: changes.get(id) ?? 0,
      };
    });
  }
}

/** Every hold is opened at once, so its lease never matters. */
const LEASE_MS = 20_000;

interface Sum {
  windows: number;
  instances: Set<string>;
  settledNanos: Nanos;
  beforeNanos: Nanos;
  peakShare: number;
  overshootNanos: Nanos;
}
const NO_SUM: Sum = {
  windows: 0,
  instances: new Set(),
  settledNanos: 0n,
  beforeNanos: 0n,
  peakShare: 0,
  overshootNanos: 0n,
};

function add(sums: Map<string, Sum>, key: string, window: WindowState, beforeNanos: Nanos): void {
  const [enforced] = split(key);
  const id = templateOf(enforced);
  let sum = sums.get(id);
  if (!sum) sums.set(id, (sum = { ...NO_SUM, instances: new Set() }));
  const spent = spentIn(window)!;
  const most = window.peakNanos > spent ? window.peakNanos : spent;
  const over = most - (beforeNanos > window.limitNanos ? beforeNanos : window.limitNanos);
  sum.windows += 1;
  if (enforced !== id) sum.instances.add(enforced);
  sum.settledNanos += window.settledNanos - beforeNanos;
  sum.beforeNanos += beforeNanos;
  sum.peakShare = Math.max(sum.peakShare, shareOf(window.peakNanos, window.limitNanos));
  if (over > sum.overshootNanos) sum.overshootNanos = over;
}

function spentIn(window: WindowState | undefined): Nanos | undefined {
  return window && window.settledNanos + window.unconfirmedNanos;
}

function shareOf(nanos: Nanos, limitNanos: Nanos): number {
  return limitNanos === 0n ? 0 : Number(nanos) / Number(limitNanos);
}

function preferring(candidate: ReserveCandidate): { asked: ReserveCandidate['windows'][number]; fromNanos: Nanos }[] {
  return candidate.windows.flatMap((asked) => {
    const fromNanos = asked.stages?.preferLocalFromNanos;
    return fromNanos === undefined ? [] : [{ asked, fromNanos }];
  });
}

function split(key: string): [budget: string, window: string] {
  const at = key.indexOf(':');
  return [key.slice(0, at), key.slice(at + 1)];
}

function instant(atMs: number): string {
  return new Date(atMs).toISOString();
}

function templateOf(id: string): string {
  return INSTANCE_ID.exec(id)?.[1] ?? id;
}
