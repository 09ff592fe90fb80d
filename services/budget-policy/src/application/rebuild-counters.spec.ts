import { describe, expect, it } from 'vitest';
import { MONTH, ORG } from './fixture.for-tests.js';
import { countersOf, rebuildCounters, type RebuildPorts, type Snapshot } from './rebuild-counters.js';

const snapshot: Snapshot = {
  windows: [
    { ...ORG, window: '2026-11', settledNanos: 100n, unconfirmedNanos: 30n },
    { ...ORG, budget: 'gone', window: 'total', settledNanos: 5n, unconfirmedNanos: 0n },
  ],
  attempts: [
    {
      attemptId: 'open',
      state: 'opened',
      boundCashNanos: 10n,
      boundFullNanos: 14n,
      windows: [
        { budget: 'org', window: '2026-11', basis: 'cash' },
        { budget: 'all', window: 'total', basis: 'full' },
      ],
    },
    {
      attemptId: 'unsure',
      state: 'unconfirmed',
      boundCashNanos: 30n,
      boundFullNanos: 30n,
      windows: [{ budget: 'org', window: '2026-11', basis: 'cash' }],
    },
  ],
  definitions: new Map([
    ['org', MONTH],
    ['all', { ...MONTH, id: 'all', limitNanos: '2000' }],
    [
      'each',
      { ...MONTH, id: 'each', per: ['customer'], exceptions: [{ values: { customer: 'big' }, limitNanos: '7000' }] },
    ],
    ['carrying', { ...MONTH, id: 'carrying', carry: { window: '2026-11', nanos: '200', revision: 1 } }],
  ]),
};

describe('the counters of a snapshot', () => {
  it('are totals as booked and every opened attempt at its bound', () => {
    const { windows, holds } = countersOf(snapshot);
    expect(windows).toEqual([
      {
        budget: 'org',
        window: '2026-11',
        limitNanos: 1_000n,
        limitVersion: 3_000,
        settledNanos: 100n,
        unconfirmedNanos: 30n,
        reservedNanos: 10n,
        peakNanos: 0n,
      },
      {
        budget: 'gone',
        window: 'total',
        limitNanos: 0n,
        limitVersion: 0,
        settledNanos: 5n,
        unconfirmedNanos: 0n,
        reservedNanos: 0n,
        peakNanos: 0n,
      },
      {
        budget: 'all',
        window: 'total',
        limitNanos: 2_000n,
        limitVersion: 3_000,
        settledNanos: 0n,
        unconfirmedNanos: 0n,
        reservedNanos: 14n,
        peakNanos: 0n,
      },
    ]);
    expect(holds.map((h) => `${h.attemptId} ${h.state}`)).toEqual(['open opened', 'unsure unconfirmed']);
  });
});

it('the limit of a rebuilt window is the one in force there: of the instance, with what was carried into it', () => {
  const spent = { settledNanos: 1n, unconfirmedNanos: 0n };
  const { windows } = countersOf({
    ...snapshot,
    attempts: [],
    windows: [
      { budget: 'each--1', template: 'each', values: { customer: 'big' }, window: '2026-11', ...spent },
      { budget: 'each--2', template: 'each', values: { customer: 'small' }, window: '2026-11', ...spent },
      { ...ORG, budget: 'carrying', window: '2026-11', ...spent },
      { ...ORG, budget: 'carrying', window: '2026-10', ...spent },
    ],
  });
  expect(windows.map((w) => w.limitNanos)).toEqual([7_000n, 1_000n, 1_200n, 1_000n]);
});

describe('a rebuild', () => {
  function world(over: Partial<RebuildPorts> = {}): { ports: RebuildPorts; log: string[] } {
    const log: string[] = [];
    let floor = 40;
    const ports: RebuildPorts = {
      closeEpoch: async () => void log.push('close'),
      lastUsageSequence: async () => (log.push('watermark'), 42),
      meteringFloor: async () => floor,
      nextEpoch: async () => 7,
      announceEpoch: async (id) => void log.push(`announce ${id}`),
      beginEpoch: async (id) => void log.push(`begin ${id}`),
      snapshot: async () => (log.push(`snapshot at ${floor}`), snapshot),
      loadWindows: async (_id, windows) => void log.push(`${windows.length} windows`),
      loadHolds: async (_id, holds) => void log.push(`${holds.length} holds`),
      openEpoch: async (id, windows) => (log.push(`open ${id} with ${windows}`), 'ok'),
      dropOldEpochs: async () => void log.push('drop old'),
      pause: async () => void (floor++, log.push('wait')),
      ...over,
    };
    return { ports, log };
  }

  it('closes first, tells everybody, waits until metering has committed up to the watermark, and opens last', async () => {
    const { ports, log } = world();
    expect(await rebuildCounters(ports, 'test')).toEqual({ epochId: 7, windows: 3, holds: 2 });
    expect(log).toEqual([
      'close',
      'announce 7',
      'watermark',
      'wait',
      'wait',
      'begin 7',
      'snapshot at 42',
      '3 windows',
      '2 holds',
      'open 7 with 3',
      'drop old',
    ]);
  });

  it.each(['superseded', 'incomplete'] as const)(
    'that is %s leaves admission closed and is tried again',
    async (answer) => {
      const { ports, log } = world({ openEpoch: async () => answer });
      expect(await rebuildCounters(ports, 'test')).toBeUndefined();
      expect(log).not.toContain('drop old');
    },
  );

  it('never takes a snapshot when its lease is lost while it waits', async () => {
    const { ports, log } = world({ pause: () => Promise.reject(new Error('the lease was lost')) });
    await expect(rebuildCounters(ports, 'test')).rejects.toThrow(/lease/);
    expect(log).toEqual(['close', 'announce 7', 'watermark']);
  });
});
