import type { LimitsConfig, Refusal } from '@meritorder/contracts';
import { comeBackInSeconds, expectedSlotSeconds } from '@meritorder/fleet-core';
import type { Clock } from '@meritorder/kernel';
import type { Excluded, RequestPolicy } from '@meritorder/routing-core';
import type { RequestPath } from './follow-attempt.js';
import type { NotGranted } from './not-granted.js';
import { CANCELLED } from './outcome.js';
import type { Place } from './place.js';
import type { Loads } from './ports.js';
import type { SlotQueue } from './slot-queue.js';
import type { Offer } from './work-message.js';

export interface SlotWaitPorts {
  slots: SlotQueue;
  clock: Clock;
  loads: Pick<Loads, 'load'>;
  random(): number;
}

export interface NobodyNow {
  /** Why, as it is told where it does not wait. */
  refusal: Refusal;
  excluded: readonly Excluded[];
  /** Who would take it, were nobody full or away, best first. */
  offers: readonly Offer[];
  policy: RequestPolicy;
  /** How long the best of them holds a slot for it. */
  secondsEach: number;
  /** Attempts of the request so far. */
  sent: number;
  /** What the budgets say; undefined: they would grant it. */
  refusedByBudgets(): Promise<NotGranted | undefined>;
}

/**
 * `again`: it is to be decided again, and leaves its place for that; nothing may be awaited in between, or somebody else is given it.
 * `isDecided`: it goes on record.
 */
export type Waited = { again: true; place: Place } | { again: false; refusal: Refusal; isDecided: boolean };

/** Out for now, as far as anybody knows; the others are whatever becomes free. */
const FOR_NOW: ReadonlySet<Excluded['code']> = new Set(['busy', 'unavailable']);

/** Those who may serve it later, by what keeps them from it now. @param full whose workers said that they are */
export function servesLater(excluded: readonly Excluded[], full: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...full, ...excluded.filter((e) => FOR_NOW.has(e.code)).map((e) => e.backend.id)]);
}

/** A slot is free: those whose workers were full are as if they had not been tried. @returns how often they had been */
export function forgetFull({ tried, full }: RequestPath): number {
  const before = tried.length;
  const others = tried.filter((t) => t.outcome !== 'refused' || !full.has(t.backend));
  tried.splice(0, before, ...others);
  full.clear();
  return before - others.length;
}

/**
 * How one request waits for a slot (ADR 29): only where nobody can take it now and one who is full could, no longer than its
 * deadline, its ceilings and the limit allow, and only what its budgets would grant. It holds nothing meanwhile.
 */
export class SlotWait {
  /** Of all its waits, ms; undefined: it has not waited. */
  waitedMs: number | undefined;
  private sinceMs: number | undefined;
  private given: { backend: string; sent: number } | undefined;

  constructor(
    private readonly ports: SlotWaitPorts,
    private readonly limits: Pick<LimitsConfig, 'waitForSlotMs'>,
    private readonly request: {
      org: { id: string };
      isJob?: boolean;
      deadlineMs: number;
      cancelled: AbortSignal;
    },
    private readonly full: ReadonlySet<string>,
  ) {}

  /** Until it is to be decided again, or refused. */
  async wait(nobody: NobodyNow): Promise<Waited> {
    const { slots, clock } = this.ports;
    const { request, full } = this;
    const { offers, excluded, policy, refusal } = nobody;
    const isFull = (id: string): boolean =>
      full.has(id) || excluded.some((e) => e.code === 'busy' && e.backend.id === id);
    // A job waits in its queue.
    if (request.isJob || !offers.some((o) => isFull(o.candidate.backend.id)))
      return { again: false, refusal, isDecided: true };
    const limitMs = Math.min(this.limits.waitForSlotMs, ceilingMs(policy));
    const fromMs = clock.nowMs();
    if (this.sinceMs === undefined && limitMs > 0 && !slots.isFull(request.org.id)) {
      const notGranted = await nobody.refusedByBudgets();
      if (notGranted) return { again: false, ...notGranted };
      this.sinceMs = fromMs;
    }
    const sinceMs = this.sinceMs ?? fromMs;
    const untilMs = Math.min(sinceMs + limitMs, request.deadlineMs);
    // What was given and not taken was not there.
    if (this.given?.sent === nobody.sent) slots.wasFull(this.given.backend);
    const end = await slots.wait({
      org: request.org.id,
      backends: offers.map((o) => o.candidate.backend),
      slotsLeftFree: policy.slotsLeftFree,
      sinceMs,
      untilMs,
      cancelled: request.cancelled,
    });
    if (this.sinceMs !== undefined) this.waitedMs = (this.waitedMs ?? 0) + clock.nowMs() - fromMs;
    if (end.ended === 'slot') {
      this.given = { backend: end.place.at, sent: nobody.sent };
      return { again: true, place: end.place };
    }
    const { ended } = end;
    if (ended === 'cancelled') return { again: false, refusal: CANCELLED, isDecided: false };
    if (ended === 'time' && untilMs === request.deadlineMs)
      return {
        again: false,
        refusal: { code: 'deadline_exceeded', message: 'The deadline passed while it waited for a slot.' },
        isDecided: false,
      };
    return { again: false, refusal: this.told(nobody, ended === 'full', isFull), isDecided: true };
  }

  private told(
    { refusal, offers, secondsEach }: NobodyNow,
    isQueueFull: boolean,
    isFull: (id: string) => boolean,
  ): Refusal {
    const { slots, loads, clock, random } = this.ports;
    const backends = offers.map((o) => o.candidate.backend).filter((b) => isFull(b.id));
    const capacity = backends.reduce((sum, b) => sum + loads.load(b, clock.nowMs()).capacity, 0);
    const { waitedMs = 0 } = this;
    const why = isQueueFull
      ? '; as many wait for a slot as may'
      : waitedMs > 0
        ? `; it waited ${(waitedMs / 1_000).toFixed(1)} s for a slot`
        : '';
    const expected = expectedSlotSeconds({
      ...slots.line(this.request.org.id, backends),
      slots: capacity,
      secondsEach,
    });
    return {
      ...refusal,
      message: `${refusal.message}${why}`,
      retryAfterSeconds: comeBackInSeconds(expected, random()),
    };
  }
}

/** Whoever wants an answer within so long does not wait longer for it to begin. */
function ceilingMs({ score }: RequestPolicy): number {
  return 1_000 * Math.min(score.maxLatencySeconds ?? Infinity, score.maxFirstTokenSeconds ?? Infinity);
}
