import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MeritorderConfig } from '@meritorder/contracts';
import { testServers, waitFor, type RunningServer } from '@meritorder/testing';
import {
  announceEpoch,
  connectBus,
  ensureTopology,
  followEpoch,
  natsServerConfig,
  natsUsers,
  SERVICE_INBOX,
  type Bus,
} from './index.js';

const servers = testServers();
const config = { orgs: [], backends: [] } as unknown as MeritorderConfig;
const passwords = Object.fromEntries(natsUsers(config).map((u) => [u.user, `pw-${u.user}`]));
const buses: Bus[] = [];
let server: RunningServer;

beforeAll(async () => {
  server = await servers.nats((port, storeDir) =>
    natsServerConfig(natsUsers(config), passwords, { listen: `127.0.0.1:${port}`, storeDir }),
  );
  await ensureTopology(await as('operator'), config);
});
afterAll(async () => {
  for (const bus of buses) await bus.close();
  await servers.stop();
});

async function as(user: keyof typeof SERVICE_INBOX): Promise<Bus> {
  const password = passwords[user];
  const bus = await connectBus({ url: server.url, user, password, name: user, inboxPrefix: SERVICE_INBOX[user] });
  buses.push(bus);
  return bus;
}

it('a service knows the newest epoch when it starts, and hears of every later one', async () => {
  const stop = new AbortController();
  const keeper = await as('budget-policy');
  const early: number[] = [];
  await followEpoch(await as('metering'), (id) => early.push(id), stop.signal);
  expect(early).toEqual([]);
  await announceEpoch(keeper, 1);
  await announceEpoch(keeper, 2);
  await waitFor(() => early.at(-1) === 2, 'the second epoch');

  const late: number[] = [];
  await followEpoch(await as('router'), (id) => late.push(id), stop.signal);
  expect(late).toEqual([2]);
  await announceEpoch(keeper, 3);
  await waitFor(() => early.at(-1) === 3 && late.at(-1) === 3, 'the third epoch');
  stop.abort();
});
