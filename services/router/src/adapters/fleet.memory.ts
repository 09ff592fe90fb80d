import { subjects, WorkerHeartbeat, type PlacedBackend } from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import { decodeJson } from '@meritorder/messaging';
import {
  breakerAllows,
  breakerCools,
  CLOSED,
  nextBreaker,
  type BreakerEvent,
  type BreakerState,
} from '@meritorder/routing-core';
import type { Fleet, FleetView, FleetViews, ReplicaLoad } from '../application/ports.js';
import type { SlotSource } from '../application/slot-queue.js';
import { SlotShares } from './slot-shares.memory.js';

/** A worker not heard of for this long is gone. */
const ALIVE_MS = 3_500;

/** Who is alive, by heartbeats, and which backends cool down, by this router's own experience. */
export class HeartbeatFleet implements Fleet, FleetViews, SlotSource {
  private readonly workers = new Map<string, Map<string, WorkerHeartbeat & { heardAtMs: number }>>();
  private readonly lastHeard = new Map<string, { atMs: number; draining: boolean }>();
  private readonly breakers = new Map<string, BreakerState>();
  /** Own calls begun and ended since the last heartbeat of a backend, which does not know of them. */
  private readonly since = new Map<string, number>();
  private readonly sinceOfOrg = new Map<string, Map<string, number>>();
  /** Own calls on their way: whoever beats before they arrive does not know of them either. */
  private readonly underWay = new Map<string, Map<string, number>>();
  private readonly shares: SlotShares;
  /** Workers of these said so, whatever was known here, and were not heard of since. */
  private readonly saidFull = new Set<string>();
  /** Told of a backend whose slots may be free. */
  onFree: (backend: string) => void = () => {};

  /**
   * @param random uniform in [0, 1): the jitter of breakers
   * @param weightOf of an org among those that want the same slots
   * @param awake measures silence: it does not move while this process stands still
   */
  constructor(
    private readonly clock: Clock,
    private readonly random: () => number = Math.random,
    weightOf: (org: string) => number = () => 1,
    private readonly awake: Clock = clock,
  ) {
    this.shares = new SlotShares(weightOf);
  }

  /**
   * @param backendOf undefined: nobody would send it work. A worker is believed only where its subject, which NATS checks, is that
   * of the backend.
   * @throws PoisonMessage for what is not a heartbeat, Error for one of somebody else's backend.
   */
  heard(data: Uint8Array, subject: string, backendOf: (id: string) => PlacedBackend | undefined): void {
    const beat = decodeJson(WorkerHeartbeat, data);
    const backend = backendOf(beat.backend);
    if (!backend) return;
    if (subject !== subjects.workerHeartbeat(backend)) throw new Error(`${subject} may not speak for ${beat.backend}`);
    const ofBackend = this.workers.get(beat.backend) ?? new Map();
    this.workers.set(beat.backend, ofBackend);
    const underWay = new Map(this.underWay.get(beat.backend));
    this.sinceOfOrg.set(beat.backend, underWay);
    this.since.set(
      beat.backend,
      [...underWay.values()].reduce((a, b) => a + b, 0),
    );
    this.lastHeard.set(beat.backend, { atMs: this.clock.nowMs(), draining: beat.draining });
    if (beat.draining) ofBackend.delete(beat.worker);
    else ofBackend.set(beat.worker, { ...beat, heardAtMs: this.awake.nowMs() });
    this.saidFull.delete(beat.backend);
    this.onFree(beat.backend);
  }

  workersAlive(backend: string): number {
    return this.live(backend)?.size ?? 0;
  }

  /**
   * By the last heartbeat; of a worker that is alone also by this router's own calls since then. Which of several has those is not
   * known: one that filled up refuses, and the next candidate is tried.
   */
  workersWithRoom(backend: string, slotsLeftFree = 0): number {
    let withRoom = 0;
    const live = this.live(backend);
    const since = live?.size === 1 ? (this.since.get(backend) ?? 0) : 0;
    for (const { inFlight, maxConcurrency } of live?.values() ?? [])
      if (inFlight + since < maxConcurrency - Math.floor(slotsLeftFree * maxConcurrency)) withRoom++;
    return withRoom;
  }

  /** Of all its live workers, with this router's own calls since they were last heard of; of its engine what the fullest says. */
  load(backend: string): ReplicaLoad {
    let [inFlight, capacity, waitingInEngine, kvCacheShare] = [this.since.get(backend) ?? 0, 0, 0, 0];
    for (const { inFlight: ours, maxConcurrency, engine } of this.live(backend)?.values() ?? []) {
      // An engine may have work of others, too, and a queue.
      inFlight += Math.max(ours, (engine?.running ?? 0) + (engine?.waiting ?? 0));
      capacity += maxConcurrency;
      waitingInEngine = Math.max(waitingInEngine, engine?.waiting ?? 0);
      kvCacheShare = Math.max(kvCacheShare, engine?.kvCacheShare ?? 0);
    }
    return { inFlight: Math.max(0, inFlight), capacity, waitingInEngine, kvCacheShare };
  }

  view(backend: string): FleetView {
    const nowMs = this.clock.nowMs();
    const { trips, probing, openUntilMs, quotaUntilMs } = this.breakers.get(backend) ?? CLOSED;
    const failuresMs = openUntilMs - nowMs;
    const quotaMs = quotaUntilMs - nowMs;
    const heard = this.lastHeard.get(backend);
    return {
      workers: [...(this.live(backend)?.values() ?? [])].map(({ worker, inFlight, maxConcurrency, engine }) => ({
        worker,
        inFlight,
        maxConcurrency,
        ...(engine ? { engine } : {}),
      })),
      heardMsAgo: heard === undefined ? null : Math.max(0, nowMs - heard.atMs),
      draining: heard?.draining ?? false,
      ...(failuresMs > 0
        ? { breaker: 'failures', coolingMs: Math.ceil(failuresMs) }
        : quotaMs > 0
          ? { breaker: 'quota', coolingMs: Math.ceil(quotaMs) }
          : { breaker: trips > 0 || probing ? 'probing' : 'closed' }),
    };
  }

  allows(backend: string, nowMs = this.clock.nowMs()): boolean {
    return breakerAllows(this.breakers.get(backend) ?? CLOSED, nowMs);
  }
  cooling(backend: string, nowMs = this.clock.nowMs()): { quota: boolean; seconds: number } {
    return breakerCools(this.breakers.get(backend) ?? CLOSED, nowMs);
  }
  mayTake(backend: string, org: string): boolean {
    return this.shares.ask(backend, org, this.held(backend), this.load(backend), this.clock.nowMs());
  }
  began(backend: string, org: string): void {
    this.count(backend, org, 1);
    this.countUnderWay(backend, org, 1);
  }
  arrived(backend: string, org: string): void {
    this.countUnderWay(backend, org, -1);
  }
  left(backend: string, org: string): void {
    this.count(backend, org, -1);
    this.onFree(backend);
  }
  wasFull(backend: string): void {
    this.saidFull.add(backend);
  }

  /** By all workers together: of several it is not known which has this router's own calls since their heartbeats. */
  hasSlot(backend: string, slotsLeftFree: number): boolean {
    if (this.saidFull.has(backend) || !this.allows(backend)) return false;
    let free = -(this.since.get(backend) ?? 0);
    for (const { inFlight, maxConcurrency } of this.live(backend)?.values() ?? [])
      free += Math.max(0, maxConcurrency - Math.floor(slotsLeftFree * maxConcurrency) - inFlight);
    return free > 0 && this.workersWithRoom(backend, slotsLeftFree) > 0;
  }
  isWithinShare(backend: string, org: string): boolean {
    return this.shares.may(backend, org, this.held(backend), this.load(backend), this.clock.nowMs());
  }
  waits(backend: string, org: string, change: 1 | -1): void {
    this.shares.waits(backend, org, change);
  }
  probing(backend: string): void {
    this.step(backend, { type: 'probe' });
  }
  succeeded(backend: string): void {
    this.step(backend, { type: 'success' });
  }
  failed(backend: string, kind: 'connect' | 'answer'): void {
    this.step(backend, { type: 'failure', kind });
  }
  quota(backend: string, retryAfterMs: number | undefined): void {
    this.step(backend, { type: 'quota', retryAfterMs });
  }

  ended(backend: string): void {
    this.step(backend, { type: 'neutral' });
  }

  private count(backend: string, org: string, change: 1 | -1): void {
    this.since.set(backend, (this.since.get(backend) ?? 0) + change);
    const ofBackend = this.sinceOfOrg.get(backend) ?? new Map<string, number>();
    this.sinceOfOrg.set(backend, ofBackend.set(org, (ofBackend.get(org) ?? 0) + change));
  }

  private countUnderWay(backend: string, org: string, change: 1 | -1): void {
    const ofBackend = this.underWay.get(backend) ?? new Map<string, number>();
    const count = (ofBackend.get(org) ?? 0) + change;
    if (count > 0) ofBackend.set(org, count);
    else ofBackend.delete(org);
    this.underWay.set(backend, ofBackend);
  }

  /** Slots by org, of all live workers, with this router's own calls since they were last heard of. */
  private held(backend: string): Map<string, number> {
    const held = new Map(this.sinceOfOrg.get(backend));
    for (const { orgs = {} } of this.live(backend)?.values() ?? [])
      for (const [org, count] of Object.entries(orgs)) held.set(org, (held.get(org) ?? 0) + count);
    for (const [org, count] of held) if (count <= 0) held.delete(org);
    return held;
  }

  private step(backend: string, event: BreakerEvent): void {
    const before = this.breakers.get(backend) ?? CLOSED;
    this.breakers.set(backend, nextBreaker(before, event, this.clock.nowMs(), this.random()));
  }

  /** Undefined: none was ever heard of. */
  private live(backend: string): ReadonlyMap<string, WorkerHeartbeat> | undefined {
    const ofBackend = this.workers.get(backend);
    if (ofBackend === undefined) return undefined;
    const oldest = this.awake.nowMs() - ALIVE_MS;
    for (const [worker, beat] of ofBackend) if (beat.heardAtMs < oldest) ofBackend.delete(worker);
    return ofBackend;
  }
}
