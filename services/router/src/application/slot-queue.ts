import type { BackendConfig, LimitsConfig } from '@meritorder/contracts';
import { FairTurns } from '@meritorder/fleet-core';
import type { Clock } from '@meritorder/kernel';
import { Place } from './place.js';
import type { Fleet } from './ports.js';

/** Slots of backends, as those who wait for them see them. Nothing that is asked here counts as a request. */
export interface SlotSource extends Pick<Fleet, 'began' | 'arrived' | 'left' | 'wasFull'> {
  /** @param slotsLeftFree share of a worker's slots that is left to others, 0..1 */
  hasSlot(backend: string, slotsLeftFree: number): boolean;
  /** Of own hardware: an org has less of it than its part. */
  isWithinShare(backend: string, org: string): boolean;
  /** One more waits for its slots, or one less. */
  waits(backend: string, org: string, change: 1 | -1): void;
}

export interface SlotQueuePorts {
  slots: SlotSource;
  clock: Clock;
  /** Runs something every `ms` until the returned function is called. */
  every(ms: number, run: () => void): () => void;
}

export interface Waiter {
  org: string;
  /** Any of these will do. */
  backends: readonly Pick<BackendConfig, 'id' | 'kind'>[];
  /** Share of the slots of own hardware that it leaves to requests of a higher priority, 0..1. */
  slotsLeftFree: number;
  /** From here on it waits: one that comes again has its place again. */
  sinceMs: number;
  untilMs: number;
  cancelled: AbortSignal;
}

/**
 * How a wait ended. `slot`: it is counted at a backend that had one, until it leaves that place and decides. `full`: so many wait
 * that it may not.
 */
export type WaitEnd = { ended: 'slot'; place: Place } | { ended: 'time' | 'cancelled' | 'full' | 'closed' };

/** Those who are alike in all that a slot goes by but when they came: only the first of them is looked at. */
interface Lane extends Pick<Waiter, 'org' | 'backends' | 'slotsLeftFree'> {
  key: string;
  /** First come, first served; never empty. */
  waiting: Waiting[];
}

interface Waiting {
  sinceMs: number;
  end(how: WaitEnd): void;
}

/**
 * Requests that somebody could take, were that one not full. They hold nothing and cost nothing but memory, so their number is
 * limited. What ends a request or is heard of a worker wakes them, one for each slot: orgs by turns, weighted, as far as their
 * shares of own hardware go; of an org the higher priority first, then who came first.
 */
export class SlotQueue {
  private readonly lanes = new Map<string, Lane>();
  private readonly ofOrg = new Map<string, number>();
  private readonly ends = new Set<(how: WaitEnd) => void>();
  private readonly freed = new Set<string>();
  private readonly turns: FairTurns;
  private isClosed = false;

  constructor(
    private readonly ports: SlotQueuePorts,
    private readonly limits: Pick<LimitsConfig, 'requestsWaitingPerRouter' | 'requestsWaitingPerOrg'>,
    private readonly weightOf: (org: string) => number,
  ) {
    this.turns = new FairTurns(weightOf);
  }

  get size(): number {
    return this.ends.size;
  }

  /** Another request of an org may not wait. */
  isFull(org: string): boolean {
    const { requestsWaitingPerRouter, requestsWaitingPerOrg } = this.limits;
    return this.size >= requestsWaitingPerRouter || (this.ofOrg.get(org) ?? 0) >= requestsWaitingPerOrg;
  }

  wait(waiter: Waiter): Promise<WaitEnd> {
    const { org, backends, untilMs, cancelled } = waiter;
    const leftMs = untilMs - this.ports.clock.nowMs();
    if (cancelled.aborted) return Promise.resolve({ ended: 'cancelled' });
    if (this.isClosed) return Promise.resolve({ ended: 'closed' });
    if (leftMs <= 0) return Promise.resolve({ ended: 'time' });
    if (this.isFull(org)) return Promise.resolve({ ended: 'full' });
    return new Promise((resolve) => {
      const waiting: Waiting = {
        sinceMs: waiter.sinceMs,
        end: (how) => {
          stopTimer();
          cancelled.removeEventListener('abort', onCancel);
          this.ends.delete(waiting.end);
          this.leave(lane, waiting);
          resolve(how);
        },
      };
      const lane = this.enter(waiter, waiting);
      const onCancel = (): void => waiting.end({ ended: 'cancelled' });
      const stopTimer = this.ports.every(leftMs, () => waiting.end({ ended: 'time' }));
      cancelled.addEventListener('abort', onCancel, { once: true });
      this.ends.add(waiting.end);
      // One may have become free since it was decided that none is.
      for (const { id } of backends) this.free(id);
    });
  }

  /** Slots of a backend may be free. What is free is given in a moment, so that whoever says it is done with it. */
  free(backend: string): void {
    if (this.ends.size === 0) return;
    if (this.freed.size === 0) queueMicrotask(() => this.give());
    this.freed.add(backend);
  }

  /** It looked as if a slot were free, and none was. */
  wasFull(backend: string): void {
    this.ports.slots.wasFull(backend);
  }

  /** What an org's next request has before it: its own that wait for any of these, and its weight by that of all orgs that do. */
  line(org: string, backends: readonly Pick<BackendConfig, 'id'>[]): { ahead: number; share: number } {
    const orgs = new Set([org]);
    let ahead = 0;
    for (const lane of this.lanes.values()) {
      if (!lane.backends.some((b) => backends.some(({ id }) => id === b.id))) continue;
      orgs.add(lane.org);
      if (lane.org === org) ahead += lane.waiting.length;
    }
    let weights = 0;
    for (const one of orgs) weights += this.weightOf(one);
    return { ahead, share: this.weightOf(org) / weights };
  }

  /** Nobody waits any more, nor from now on. */
  close(): void {
    this.isClosed = true;
    for (const end of this.ends) end({ ended: 'closed' });
  }

  private enter({ org, backends, slotsLeftFree, sinceMs }: Waiter, waiting: Waiting): Lane {
    const key = `${org} ${slotsLeftFree} ${backends.map((b) => b.id).toSorted()}`;
    const lane = this.lanes.get(key) ?? { key, org, backends, slotsLeftFree, waiting: [] };
    this.lanes.set(key, lane);
    let place = lane.waiting.length;
    while (place > 0 && lane.waiting[place - 1]!.sinceMs > sinceMs) place--;
    lane.waiting.splice(place, 0, waiting);
    this.count(lane, 1);
    return lane;
  }

  private leave(lane: Lane, waiting: Waiting): void {
    lane.waiting.splice(lane.waiting.indexOf(waiting), 1);
    if (lane.waiting.length === 0) this.lanes.delete(lane.key);
    this.count(lane, -1);
  }

  private count({ org, backends }: Lane, change: 1 | -1): void {
    const count = (this.ofOrg.get(org) ?? 0) + change;
    if (count > 0) this.ofOrg.set(org, count);
    else this.ofOrg.delete(org);
    for (const { id, kind } of backends) if (kind === 'local') this.ports.slots.waits(id, org, change);
  }

  private give(): void {
    const freed = new Set(this.freed);
    this.freed.clear();
    for (let next = this.next(freed); next; next = this.next(freed)) {
      const { lane, backend } = next;
      this.turns.took(lane.org);
      // It counts from now on, so that the next one sees it.
      lane.waiting[0]!.end({ ended: 'slot', place: new Place(this.ports.slots, lane.org, backend) });
    }
  }

  private next(freed: ReadonlySet<string>): { lane: Lane; backend: string } | undefined {
    const { slots } = this.ports;
    let best: { lane: Lane; backend: string } | undefined;
    for (const lane of this.lanes.values()) {
      if (best && !this.isBefore(lane, best.lane)) continue;
      const found = lane.backends.find(
        ({ id, kind }) =>
          freed.has(id) &&
          (kind === 'local'
            ? slots.hasSlot(id, lane.slotsLeftFree) && slots.isWithinShare(id, lane.org)
            : slots.hasSlot(id, 0)),
      );
      if (found) best = { lane, backend: found.id };
    }
    return best;
  }

  private isBefore(a: Lane, b: Lane): boolean {
    const byTurn = a.org === b.org ? 0 : this.turns.timeOf(a.org) - this.turns.timeOf(b.org);
    if (byTurn !== 0) return byTurn < 0;
    if (a.org === b.org && a.slotsLeftFree !== b.slotsLeftFree) return a.slotsLeftFree < b.slotsLeftFree;
    return a.waiting[0]!.sinceMs < b.waiting[0]!.sinceMs;
  }
}
