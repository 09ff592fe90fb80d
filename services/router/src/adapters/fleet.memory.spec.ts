import { describe, expect, it } from 'vitest';
import { ManualClock } from '@meritorder/kernel';
import { HeartbeatFleet } from './fleet.memory.js';

function fleetAt(draw: number): { fleet: HeartbeatFleet; pass(ms: number): void } {
  let nowMs = 1_000_000;
  const fleet = new HeartbeatFleet({ nowMs: () => nowMs }, () => draw);
  return { fleet, pass: (ms) => void (nowMs += ms) };
}

describe('the health of backends', () => {
  it('is lost after five calls that reached nothing, comes back with a probe, and is of each backend alone', () => {
    const { fleet, pass } = fleetAt(0);
    for (let i = 0; i < 5; i++) fleet.failed('a', 'connect');
    expect([fleet.allows('a'), fleet.allows('b')]).toEqual([false, true]);
    expect(fleet.cooling('a')).toEqual({ quota: false, seconds: 3.75 });
    pass(3_750);
    expect(fleet.allows('a')).toBe(true);
    fleet.probing('a');
    expect(fleet.allows('a')).toBe(false);
    fleet.succeeded('a');
    expect(fleet.allows('a')).toBe(true);
  });

  it('is not lost by quotas, which cool down for as long as they ask', () => {
    const { fleet, pass } = fleetAt(0.5);
    fleet.quota('a', 120_000);
    pass(119_000);
    expect(fleet.cooling('a')).toEqual({ quota: true, seconds: 1 });
    pass(999);
    expect(fleet.allows('a')).toBe(false);
    pass(1);
    expect(fleet.allows('a')).toBe(true);
  });
});

describe('a heartbeat', () => {
  const beat = (backend: string) =>
    new TextEncoder().encode(JSON.stringify({ worker: 'w', backend, inFlight: 0, maxConcurrency: 1, draining: false }));
  const places: Record<string, { id: string; host?: string }> = {
    own: { id: 'own', host: 'gpu-1' },
    cloud: { id: 'cloud' },
  };
  const heard = (backend: string, subject: string): number => {
    const { fleet } = fleetAt(0);
    fleet.heard(beat(backend), subject, (id) => places[id]);
    return fleet.workersAlive(backend);
  };

  it('is believed where its subject is that of the backend, which a worker of another host may not publish', () => {
    expect(heard('own', 'worker.heartbeat.v1.gpu-1.own')).toBe(1);
    expect(heard('cloud', 'worker.heartbeat.v1.cloud')).toBe(1);
    for (const subject of [
      'worker.heartbeat.v1.gpu-2.own',
      'worker.heartbeat.v1.own',
      'worker.heartbeat.v1.gpu-1.cloud',
    ])
      expect(() => heard('own', subject), subject).toThrow(/may not speak for own/);
  });

  it('is in the view of the fleet, also when its worker is gone, with what holds the backend back', () => {
    const { fleet, pass } = fleetAt(0.5);
    expect(fleet.view('own')).toEqual({ workers: [], heardMsAgo: null, draining: false, breaker: 'closed' });
    fleet.heard(beat('own'), 'worker.heartbeat.v1.gpu-1.own', (id) => places[id]);
    expect(fleet.view('own')).toMatchObject({ workers: [{ worker: 'w', inFlight: 0 }], heardMsAgo: 0 });
    for (let i = 0; i < 5; i++) fleet.failed('own', 'connect');
    pass(4_000);
    expect(fleet.view('own')).toMatchObject({ workers: [], heardMsAgo: 4_000, breaker: 'failures', coolingMs: 1_000 });
    pass(1_000);
    expect(fleet.view('own')).toMatchObject({ breaker: 'probing' });
    fleet.quota('own', 2_000);
    expect(fleet.view('own')).toMatchObject({ breaker: 'quota', coolingMs: 2_000 });
  });

  it('of a backend that nobody has heard of is no worker', () => {
    expect(heard('new', 'worker.heartbeat.v1.gpu-1.new')).toBe(0);
  });
});

it('how full a backend is follows from its workers, its own calls since, and what the fullest engine says', () => {
  const { fleet } = fleetAt(0);
  const beat = (worker: string, engine?: object) =>
    fleet.heard(
      new TextEncoder().encode(
        JSON.stringify({
          worker,
          backend: 'a',
          inFlight: 2,
          maxConcurrency: 8,
          draining: false,
          ...(engine && { engine }),
        }),
      ),
      'worker.heartbeat.v1.a',
      () => ({ id: 'a' }),
    );
  beat('w1', { engine: 'vllm', running: 3, waiting: 5, kvCacheShare: 0.7 });
  beat('w2', { engine: 'vllm', waiting: 1, kvCacheShare: 0.9 });
  fleet.began('a', 'acme');
  expect(fleet.load('a')).toEqual({ inFlight: 11, capacity: 16, waitingInEngine: 5, kvCacheShare: 0.9 });
  expect(fleet.load('b')).toEqual({ inFlight: 0, capacity: 0, waitingInEngine: 0, kvCacheShare: 0 });
});

it("a worker that is alone has room as far as this router's own calls since its heartbeat leave some; which of several has them is not known", () => {
  const { fleet } = fleetAt(0);
  const beat = (worker: string, inFlight: number) =>
    fleet.heard(
      new TextEncoder().encode(JSON.stringify({ worker, backend: 'a', inFlight, maxConcurrency: 2, draining: false })),
      'worker.heartbeat.v1.a',
      () => ({ id: 'a' }),
    );
  beat('w1', 2);
  expect(fleet.workersWithRoom('a')).toBe(0);
  fleet.left('a', 'acme');
  expect(fleet.workersWithRoom('a')).toBe(1);
  fleet.began('a', 'acme');
  expect(fleet.workersWithRoom('a')).toBe(0);
  beat('w2', 1);
  for (let i = 0; i < 4; i++) fleet.began('a', 'acme');
  expect(fleet.workersWithRoom('a')).toBe(1);
});

it('a call on its way is counted beside a heartbeat that was sent before it arrived, and not beside a later one', () => {
  const { fleet } = fleetAt(0);
  const beat = (inFlight: number, orgs: Record<string, number> = {}) =>
    fleet.heard(
      new TextEncoder().encode(
        JSON.stringify({ worker: 'w', backend: 'a', inFlight, maxConcurrency: 2, draining: false, orgs }),
      ),
      'worker.heartbeat.v1.a',
      () => ({ id: 'a' }),
    );
  beat(1, { acme: 1 });
  fleet.began('a', 'acme');
  beat(1, { acme: 1 });
  expect([fleet.load('a').inFlight, fleet.hasSlot('a', 0)]).toEqual([2, false]);
  fleet.arrived('a', 'acme');
  beat(2, { acme: 2 });
  expect(fleet.load('a').inFlight).toBe(2);
  fleet.left('a', 'acme');
  expect([fleet.load('a').inFlight, fleet.hasSlot('a', 0)]).toEqual([1, true]);
});

describe('those who wait', () => {
  const worldOf = (...inFlight: number[]) => {
    const { fleet } = fleetAt(0);
    const beat = (worker: string, n: number, orgs: Record<string, number> = {}) =>
      fleet.heard(
        new TextEncoder().encode(
          JSON.stringify({ worker, backend: 'a', inFlight: n, maxConcurrency: 2, draining: false, orgs }),
        ),
        'worker.heartbeat.v1.a',
        () => ({ id: 'a' }),
      );
    inFlight.forEach((n, i) => beat(`w${i}`, n));
    return { fleet, beat };
  };

  it('have as many slots as all workers together leave, though it is not known which has the last calls', () => {
    const { fleet } = worldOf(1, 1);
    fleet.began('a', 'acme');
    expect(fleet.hasSlot('a', 0)).toBe(true);
    fleet.began('a', 'acme');
    expect([fleet.workersWithRoom('a'), fleet.hasSlot('a', 0)]).toEqual([2, false]);
  });

  it('have none where a worker said that it is full, until one is heard of; others ask there', () => {
    const { fleet, beat } = worldOf(1);
    const told: string[] = [];
    fleet.onFree = (backend) => void told.push(backend);
    fleet.wasFull('a');
    expect([fleet.workersWithRoom('a'), fleet.hasSlot('a', 0)]).toEqual([1, false]);
    beat('w0', 1);
    expect([fleet.hasSlot('a', 0), told]).toEqual([true, ['a']]);
  });

  it('leave free what is for a higher priority', () => {
    const { fleet } = worldOf(1);
    expect([fleet.hasSlot('a', 0.5), fleet.hasSlot('a', 0.2)]).toEqual([false, true]);
  });

  it('count as wanting a slot for as long as they wait, and no longer, however often they are looked at', () => {
    const { fleet, beat } = worldOf(0);
    beat('w0', 1, { acme: 1 });
    expect(fleet.isWithinShare('a', 'acme')).toBe(true);
    fleet.waits('a', 'globex', 1);
    expect([fleet.isWithinShare('a', 'acme'), fleet.isWithinShare('a', 'globex')]).toEqual([false, true]);
    for (let i = 0; i < 10; i++) fleet.isWithinShare('a', 'globex');
    fleet.waits('a', 'globex', -1);
    expect(fleet.isWithinShare('a', 'acme')).toBe(true);
  });
});

it('a worker is gone after 3.5 s in which this router could have heard it, whatever the clock on the wall says', () => {
  const awake = new ManualClock(0);
  const wall = new ManualClock(1_000_000);
  const fleet = new HeartbeatFleet(wall, () => 0, undefined, awake);
  const beat = { worker: 'w', backend: 'a', inFlight: 0, maxConcurrency: 1, draining: false };
  fleet.heard(new TextEncoder().encode(JSON.stringify(beat)), 'worker.heartbeat.v1.a', () => ({ id: 'a' }));
  wall.advance(60_000);
  awake.advance(3_500);
  expect(fleet.workersAlive('a')).toBe(1);
  awake.advance(1);
  expect(fleet.workersAlive('a')).toBe(0);
});
