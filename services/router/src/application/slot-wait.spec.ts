import { describe, expect, it } from 'vitest';
import type { MeritorderConfig } from '@meritorder/contracts';
import type { ReserveReply } from '@meritorder/counters';
import { ManualClock } from '@meritorder/kernel';
import type { AttemptSignal, Fleet } from './ports.js';
import { grant, NOW, Played, type World } from './played-dispatch.for-tests.js';
import { SlotQueue } from './slot-queue.js';

/** One backend, `a`, with so many slots; requests of the same router. */
class FullBackend {
  readonly clock = new ManualClock(NOW);
  inFlight = 0;
  alive = 1;
  /** Its worker says that it is full, and was not heard of since. */
  saidFull = false;
  readonly holds: string[] = [];
  readonly orgRates: (string | undefined)[] = [];
  reply: ReserveReply | undefined;
  private readonly timers = new Map<() => void, number>();
  private readonly queue: SlotQueue;

  constructor(
    readonly slots: number,
    private readonly limits: Partial<MeritorderConfig['limits']> = {},
  ) {
    const hasSlot = (): boolean => !this.saidFull && this.inFlight < this.slots;
    this.queue = new SlotQueue(
      {
        slots: { ...this.counted(), hasSlot, isWithinShare: () => true, waits: () => {} },
        clock: this.clock,
        every: (ms, run) => {
          this.timers.set(run, this.clock.nowMs() + ms);
          return () => void this.timers.delete(run);
        },
      },
      { requestsWaitingPerRouter: 100, requestsWaitingPerOrg: 100, ...limits },
      () => 1,
    );
  }

  private counted(): Pick<Fleet, 'began' | 'arrived' | 'left' | 'wasFull'> {
    return {
      began: () => void this.inFlight++,
      left: () => (this.inFlight--, this.queue.free('a')),
      arrived: () => {},
      wasFull: () => void (this.saidFull = true),
    };
  }

  fleet(): Fleet {
    return {
      ...this.counted(),
      workersAlive: () => this.alive,
      workersWithRoom: () => (this.inFlight < this.slots ? 1 : 0),
      allows: () => true,
      cooling: () => ({ quota: false, seconds: 0 }),
      mayTake: () => true,
      probing: () => {},
      succeeded: () => {},
      failed: () => {},
      quota: () => {},
      ended: () => {},
    };
  }

  async ask(world: World = {}): Promise<Played> {
    const played: Played = new Played({
      backends: ['a'],
      limits: this.limits,
      ...world,
      ports: {
        clock: this.clock,
        fleet: this.fleet(),
        slots: this.queue,
        admission: {
          epochId: () => 1,
          reserve: async (command) => {
            this.orgRates.push(command.orgRate?.org);
            const reply = this.reply ?? grant(command);
            if (reply.type === 'granted') this.holds.push(command.attemptId);
            return reply;
          },
          open: async () => true,
          renew: async () => {},
          extend: () => expect.unreachable(),
          release: async (id) => void this.holds.splice(this.holds.indexOf(id), 1),
        },
        ...world.ports,
      },
    });
    return played.quiet();
  }

  async ends(played: Played, how: AttemptSignal = finished): Promise<void> {
    await played.says('a', how);
    await played.quiet();
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    for (const [run, atMs] of this.timers) if (atMs <= this.clock.nowMs()) run();
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** As a heartbeat tells. */
  heard(): void {
    this.saidFull = false;
    this.queue.free('a');
  }
}

const finished: AttemptSignal = { type: 'finished', attemptId: 'x', status: 'ok' };
const busy: AttemptSignal = { type: 'refused', code: 'busy', message: '1 calls in flight, the most it may have' };

describe('a request that finds all who could take it full', () => {
  it('waits without a hold, is decided when a slot is free, and says how long it waited', async () => {
    const backend = new FullBackend(1);
    const first = await backend.ask();
    const second = await backend.ask();
    expect([second.works, second.outcome, second.decisions]).toEqual([[], undefined, []]);
    expect(backend.holds).toHaveLength(1);
    await backend.pass(1_300);
    await backend.ends(first);
    expect(first.outcome).toEqual({ ended: 'answered' });
    expect(backend.inFlight).toBe(1);
    expect(second.works[0]).toMatchObject({ reason: expect.stringMatching(/^waited 1\.3 s for a slot; a: /) });
    expect(second.decisions).toMatchObject([{ choice: 'a', waitedMs: 1_300, attemptNumber: 1 }]);
    expect(first.decisions[0]).not.toHaveProperty('waitedMs');
    await backend.ends(second);
    expect([second.outcome, backend.inFlight]).toEqual([{ ended: 'answered' }, 0]);
  });

  it('is not held up where somebody can take it, however dear', async () => {
    const backend = new FullBackend(0);
    const workersWithRoom = (id: string): number => (id === 'a' ? 0 : 1);
    const played = await backend.ask({
      backends: ['a', 'b'],
      ports: { fleet: { ...backend.fleet(), workersWithRoom } },
    });
    expect(played.works).toMatchObject([{ terms: { backend: 'b' }, reason: expect.not.stringContaining('waited') }]);
  });

  it('that its caller gives up is over at once, and nothing was sent or held for it', async () => {
    const backend = new FullBackend(1);
    await backend.ask();
    const second = await backend.ask();
    second.cancel.abort();
    await second.quiet();
    expect(second.refusals).toMatchObject([{ code: 'cancelled' }]);
    expect([second.works, second.decisions, backend.holds.length]).toEqual([[], [], 1]);
  });

  it('ends with its deadline, on no record and uncharged', async () => {
    const backend = new FullBackend(1);
    await backend.ask();
    const second = await backend.ask({ deadlineMs: NOW + 2_000 });
    await backend.pass(1_999);
    expect(second.refusals).toEqual([]);
    await backend.pass(1);
    expect(second.refusals).toMatchObject([{ code: 'deadline_exceeded' }]);
    expect([second.works, second.decisions, backend.holds.length]).toEqual([[], [], 1]);
  });

  it('waits no longer than the limit; then it is told when to come again, not all at once', async () => {
    const backend = new FullBackend(1, { waitForSlotMs: 5_000 });
    await backend.ask();
    const draws = [0, 0.3, 0.6, 0.9];
    const others = [];
    for (const draw of draws) others.push(await backend.ask({ ports: { random: () => draw } }));
    await backend.pass(5_000);
    for (const { refusals, decisions } of others) {
      expect(refusals).toMatchObject([
        { code: 'backend_unavailable', message: expect.stringContaining('waited 5.0 s') },
      ]);
      expect(decisions).toMatchObject([{ choice: null, refusal: 'backend_unavailable', waitedMs: 5_000 }]);
    }
    const seconds = others.map((o) => o.refusals[0]!.retryAfterSeconds!);
    expect(new Set(seconds).size).toBe(draws.length);
  });

  it.each<[string, Partial<MeritorderConfig['limits']>]>([
    ['no time to wait', { waitForSlotMs: 0 }],
    ['no room to wait', { requestsWaitingPerOrg: 0 }],
  ])('is refused at once where there is %s, and the budgets are not asked', async (_name, limits) => {
    const backend = new FullBackend(1, limits);
    await backend.ask();
    const second = await backend.ask();
    expect(second.refusals).toMatchObject([{ code: 'backend_unavailable', message: expect.stringContaining('busy') }]);
    expect(second.refusals[0]!.retryAfterSeconds).toBeGreaterThanOrEqual(1);
    expect(backend.orgRates).toHaveLength(1);
  });

  it('is refused at once where its budgets would not grant it, and where no worker lives', async () => {
    const backend = new FullBackend(1);
    await backend.ask();
    backend.reply = { type: 'too-many-budgets', backend: 'a', count: 65 };
    const refused = await backend.ask();
    expect(refused.refusals).toMatchObject([{ code: 'budgets_too_many' }]);
    expect(refused.decisions).toMatchObject([{ refusal: 'budgets_too_many' }]);
    backend.alive = 0;
    expect((await backend.ask()).refusals).toMatchObject([{ message: 'a: no live worker', retryAfterSeconds: 1 }]);
  });

  it('waits in its own queue where it is a job', async () => {
    const backend = new FullBackend(1);
    await backend.ask();
    const job = await backend.ask({ isJob: true });
    expect(job.refusals).toMatchObject([{ code: 'backend_unavailable' }]);
  });

  it('also waits where it was the worker that said so, until that is heard of, however often that happens', async () => {
    const backend = new FullBackend(1);
    const played = await backend.ask();
    for (let i = 0; i < 6; i++) {
      await played.says('a', busy);
      await played.quiet();
      expect([played.works.length, played.outcome, backend.saidFull]).toEqual([i + 1, undefined, true]);
      backend.heard();
      await played.quiet();
    }
    await backend.ends(played);
    expect(played.outcome).toEqual({ ended: 'answered' });
    expect(played.works.at(-1)).toMatchObject({ earlierAttempts: [], terms: { attemptNumber: 7 } });
    expect(backend.inFlight).toBe(0);
  });
});
