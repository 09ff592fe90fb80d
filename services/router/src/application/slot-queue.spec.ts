import { describe, expect, it } from 'vitest';
import { ManualClock } from '@meritorder/kernel';
import { SlotQueue, type WaitEnd, type Waiter } from './slot-queue.js';

/** Backends with so many slots each; what is taken stays taken until it is left. */
class World {
  readonly clock = new ManualClock(0);
  readonly log: string[] = [];
  readonly taken = new Map<string, number>();
  readonly full = new Set<string>();
  readonly beyondShare = new Set<string>();
  readonly wanted = new Map<string, number>();
  private readonly timers = new Map<() => void, number>();
  readonly queue: SlotQueue;

  constructor(
    readonly slots: Record<string, number>,
    limits = { requestsWaitingPerRouter: 100, requestsWaitingPerOrg: 50 },
    weights: Record<string, number> = {},
  ) {
    const count = (of: Map<string, number>, key: string, change: number): void =>
      void of.set(key, (of.get(key) ?? 0) + change);
    this.queue = new SlotQueue(
      {
        slots: {
          hasSlot: (id, leftFree) => {
            const most = this.slots[id]! - Math.floor(leftFree * this.slots[id]!);
            return !this.full.has(id) && (this.taken.get(id) ?? 0) < most;
          },
          isWithinShare: (_id, org) => !this.beyondShare.has(org),
          waits: (id, org, change) => count(this.wanted, `${org}@${id}`, change),
          arrived: () => {},
          wasFull: (id) => void this.full.add(id),
          began: (id) => count(this.taken, id, 1),
          left: (id) => (count(this.taken, id, -1), this.queue.free(id)),
        },
        clock: this.clock,
        every: (ms, run) => {
          this.timers.set(run, this.clock.nowMs() + ms);
          return () => void this.timers.delete(run);
        },
      },
      limits,
      (org) => weights[org] ?? 1,
    );
    for (const id of Object.keys(slots)) this.taken.set(id, slots[id]!);
  }

  /** What becomes of a request is in the log, as `<name> <how>`. */
  async waits(name: string, more: Partial<Waiter> & { kind?: 'local' | 'cloud'; of?: string[] } = {}): Promise<void> {
    const { kind = 'local', of = ['gpu'] } = more;
    const waiter: Waiter = {
      org: name[0]!,
      backends: of.map((id) => ({ id, kind })),
      slotsLeftFree: 0,
      sinceMs: this.clock.nowMs(),
      untilMs: 30_000,
      cancelled: new AbortController().signal,
      ...more,
    };
    void this.queue.wait(waiter).then((end: WaitEnd) => this.log.push(`${name} ${end.ended}`));
    await this.quiet();
    this.clock.advance(1);
  }

  /** So many that are worked on end. */
  async end(id = 'gpu', count = 1): Promise<string[]> {
    for (let i = 0; i < count; i++) {
      this.taken.set(id, this.taken.get(id)! - 1);
      this.queue.free(id);
      await this.quiet();
    }
    return this.log;
  }

  async pass(ms: number): Promise<string[]> {
    this.clock.advance(ms);
    for (const [run, atMs] of this.timers) if (atMs <= this.clock.nowMs()) run();
    await this.quiet();
    return this.log;
  }

  quiet(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  get timersLeft(): number {
    return this.timers.size;
  }
}

describe('requests that wait for a slot', () => {
  it('are given one each as slots become free, first come first served, and no more than there are', async () => {
    const world = new World({ gpu: 2 });
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) await world.waits(name);
    expect(await world.end()).toEqual(['a1 slot']);
    expect(world.taken.get('gpu')).toBe(2);
    world.taken.set('gpu', 0);
    world.queue.free('gpu');
    await world.quiet();
    expect(world.log).toEqual(['a1 slot', 'a2 slot', 'a3 slot']);
    expect([world.taken.get('gpu'), world.queue.size, world.timersLeft]).toEqual([2, 2, 2]);
  });

  it('of several orgs are given turns, whoever has more of them waiting', async () => {
    const world = new World({ gpu: 1 });
    for (let i = 1; i <= 6; i++) await world.waits(`a${i}`);
    await world.waits('b1');
    await world.waits('b2');
    expect(await world.end('gpu', 5)).toEqual(['a1 slot', 'b1 slot', 'a2 slot', 'b2 slot', 'a3 slot']);
  });

  it('of orgs with weights are given turns by weight', async () => {
    const world = new World({ gpu: 1 }, undefined, { b: 3 });
    for (let i = 1; i <= 6; i++) for (const org of ['a', 'b']) await world.waits(`${org}${i}`);
    const log = await world.end('gpu', 8);
    expect(log.filter((l) => l.startsWith('b'))).toHaveLength(6);
  });

  it('of an org with tiers are given slots by priority, as far as the lower ones leave some free', async () => {
    const world = new World({ gpu: 10 });
    await world.waits('a-low', { slotsLeftFree: 0.2 });
    await world.waits('a-high');
    expect(await world.end('gpu', 2)).toEqual(['a-high slot']);
    expect(await world.end('gpu', 2)).toEqual(['a-high slot', 'a-low slot']);
  });

  it('of an org beyond its share let others pass, and are given what they may have later', async () => {
    const world = new World({ gpu: 2 });
    await world.waits('a1');
    await world.waits('b1');
    expect(world.wanted.get('a@gpu')).toBe(1);
    world.beyondShare.add('a');
    expect(await world.end('gpu', 2)).toEqual(['b1 slot']);
    world.beyondShare.clear();
    world.queue.free('gpu');
    await world.quiet();
    expect(world.log).toEqual(['b1 slot', 'a1 slot']);
    expect([...world.wanted.values()]).toEqual([0, 0]);
  });

  it('for one of several backends take the first that is free; shares are of own hardware alone', async () => {
    const world = new World({ gpu: 1, cloud: 1 });
    world.beyondShare.add('a');
    await world.waits('a1', { of: ['cloud', 'gpu'], kind: 'cloud' });
    await world.waits('a2', { of: ['gpu'] });
    expect(await world.end('gpu')).toEqual(['a1 slot']);
  });

  it('are woken by a slot that became free before they were in the queue', async () => {
    const world = new World({ gpu: 1 });
    world.taken.set('gpu', 0);
    await world.waits('a1');
    expect(world.log).toEqual(['a1 slot']);
  });

  it('and found none where one looked free keep their place, and wait until its worker is heard of', async () => {
    const world = new World({ gpu: 1 });
    await world.waits('a1', { sinceMs: 5 });
    await world.waits('a2', { sinceMs: 3 });
    world.queue.wasFull('gpu');
    expect(await world.end()).toEqual([]);
    world.full.clear();
    world.queue.free('gpu');
    await world.quiet();
    expect(world.log).toEqual(['a2 slot']);
  });

  it('end with their time, with their caller and with the router, and leave nothing behind', async () => {
    const world = new World({ gpu: 1 });
    const abort = new AbortController();
    await world.waits('a1', { untilMs: 100 });
    await world.waits('a2', { cancelled: abort.signal });
    await world.waits('a3');
    expect(await world.pass(100)).toEqual(['a1 time']);
    abort.abort();
    await world.quiet();
    expect(world.log).toEqual(['a1 time', 'a2 cancelled']);
    world.queue.close();
    await world.quiet();
    await world.waits('a4');
    await world.waits('a5', { untilMs: 0 });
    expect(world.log.slice(2)).toEqual(['a3 closed', 'a4 closed', 'a5 closed']);
    expect([world.queue.size, world.timersLeft, world.wanted.get('a@gpu')]).toEqual([0, 0, 0]);
    expect(world.taken.get('gpu')).toBe(1);
  });

  it('are limited in number, per org and in all, and a limit of 0 lets nobody wait', async () => {
    const world = new World({ gpu: 1 }, { requestsWaitingPerRouter: 3, requestsWaitingPerOrg: 2 });
    for (const name of ['a1', 'a2', 'a3', 'b1', 'b2']) await world.waits(name);
    expect(world.log).toEqual(['a3 full', 'b2 full']);
    const none = new World({ gpu: 1 }, { requestsWaitingPerRouter: 0, requestsWaitingPerOrg: 2 });
    await none.waits('a1');
    expect(none.log).toEqual(['a1 full']);
  });

  it('know what is before the next of their org: its own, and its part among those who wait for the same', async () => {
    const world = new World({ gpu: 1, other: 1 }, undefined, { b: 3 });
    for (const name of ['a1', 'a2', 'b1']) await world.waits(name);
    await world.waits('c1', { of: ['other'] });
    const gpu = [{ id: 'gpu' }];
    expect(world.queue.line('a', gpu)).toEqual({ ahead: 2, share: 1 / 4 });
    expect(world.queue.line('c', gpu)).toEqual({ ahead: 0, share: 1 / 5 });
    expect(world.queue.line('c', [{ id: 'other' }])).toEqual({ ahead: 1, share: 1 });
  });
});
