import { expect, it } from 'vitest';
import { waitFor } from '@meritorder/testing';
import { flat, useCounters, win } from './fixture.for-tests.js';
import { keys } from './keys.js';

const fixture = useCounters({ args: ['--cluster-enabled', 'yes'] }, async (raw) => {
  await raw.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await waitFor(
    async () => String(await raw.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
    'the cluster to be up',
  );
});

it('on Redis Cluster every script touches one slot: all verbs work there', async () => {
  const { counters, raw } = fixture;
  expect(await raw.call('CLUSTER', 'INFO')).toContain('cluster_slots_ok:16384');
  const windows = [
    win('org', 100n),
    win('team', 50n, 'full'),
    { ...win('each--0123456789abcdef', 30n), maxInstances: 5 },
  ];
  const rated = {
    ...flat(5n, ...windows),
    accountRate: { account: 'p', requestsPerMinute: 600, tokensPerMinute: 10_000, tokens: 5 },
  };
  expect(await fixture.reserve('a', rated)).toMatchObject({ type: 'granted' });
  expect(await counters.renew('a', 60_000)).toMatchObject({ was: 'reserved' });
  expect(await counters.open('a')).toMatchObject({ was: 'reserved' });
  expect(await counters.extend('a', { cashNanos: 6n, fullNanos: 12n })).toMatchObject({ type: 'extended' });
  expect(await counters.changeLimit({ ...win('org', 90n), limitVersion: 2 })).toBe(true);
  expect(await counters.settle('a', { cashNanos: 4n, fullNanos: 8n })).toMatchObject({ was: 'opened' });
  const seen = { seenSettledNanos: 4n, seenUnconfirmedNanos: 0n, settledChangeNanos: 1n, unconfirmedChangeNanos: 0n };
  expect(await counters.adjust(win('org', 0n), seen)).toEqual({ type: 'adjusted' });
  await fixture.reserve('b', rated);
  await counters.unconfirm('b');
  await fixture.reserve('c', rated);
  await counters.release('c');
  expect(await counters.inspectWindows()).toHaveLength(3);
  await counters.dropOldEpochs(fixture.epoch);
});

it('all keys of an epoch are in one slot, and a script over two slots is refused (the test would notice)', async () => {
  const { raw, epoch } = fixture;
  const names = [
    keys.epoch,
    keys.windows(epoch),
    keys.leases(epoch),
    keys.window(epoch, 'b', 'total'),
    keys.hold(epoch, 'a'),
    keys.account(epoch, 'p'),
  ];
  const slots = await Promise.all(names.map((name) => raw.call('CLUSTER', 'KEYSLOT', name)));
  expect(new Set(slots).size).toBe(1);
  await expect(raw.eval('return 1', 2, '{a}', '{b}')).rejects.toThrow(/CROSSSLOT/);
});
