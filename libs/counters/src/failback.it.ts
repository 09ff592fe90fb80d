import { afterAll, beforeAll, expect, it } from 'vitest';
import { testServers, waitFor, type RunningServer } from '@meritorder/testing';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Counters, type ReserveReply } from './index.js';

const servers = testServers();
let [first, second]: RunningServer[] = [];
let address: Server;
let target: number;
const sockets = new Set<Socket>();

beforeAll(async () => {
  [first, second] = await Promise.all([servers.redis(), servers.redis()]);
  target = first!.port;
  address = createServer((client) => {
    const server = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {}).on('close', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((done) => address.listen(0, '127.0.0.1', done));
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  address.close();
  await servers.stop();
});

function failover(server: RunningServer): void {
  target = server.port;
  for (const socket of sockets) socket.destroy();
  sockets.clear();
}

const client = (): Promise<Counters> =>
  Counters.connect(`redis://127.0.0.1:${(address.address() as { port: number }).port}`);
/** As the keeper does it: again until the connection is back. */
async function newEpoch(counters: Counters, id: number): Promise<void> {
  await waitFor(async () => {
    await counters.beginEpoch(id);
    return (await counters.openEpoch(id, 0)) === 'ok';
  }, `epoch ${id} to be opened`);
}
const reserve = (counters: Counters, attemptId: string): Promise<ReserveReply> =>
  counters.reserve({
    attemptId,
    leaseMs: 60_000,
    candidates: [
      {
        backend: 'b',
        maxTokens: 1,
        minTokens: 1,
        cash: { fixedNanos: 10n, perOutputTokenNanos: 0n },
        full: { fixedNanos: 10n, perOutputTokenNanos: 0n },
        windows: [{ budget: 'b', window: 'total', basis: 'cash', limitNanos: 10n, limitVersion: 1 }],
      },
    ],
  });

it('a primary that comes back with the epoch it had before a failover admits nothing', async () => {
  const [router, keeper] = [await client(), await client()];
  await newEpoch(keeper, 1);
  await waitFor(() => router.openEpochId() === 1, 'the first epoch');

  failover(second!);
  await newEpoch(keeper, 2);
  await waitFor(() => router.openEpochId() === 2, 'the second epoch');
  expect(await reserve(router, 'a')).toMatchObject({ type: 'granted' });

  // Its epoch key is open and names its own run id, but knows nothing of the hold.
  failover(first!);
  await waitFor(async () => (await router.refreshEpoch()).epoch?.id === 1, 'the first server to be back');
  expect(router.openEpochId()).toBeUndefined();
  expect(await reserve(router, 'b')).toEqual({ type: 'epoch' });

  await newEpoch(keeper, 3);
  await waitFor(() => router.openEpochId() === 3, 'the third epoch');
  await Promise.all([router.close(), keeper.close()]);
});

it('a client that was told of a newer epoch lets nothing through in the one it sees', async () => {
  const router = await client();
  await newEpoch(router, 4);
  await waitFor(() => router.openEpochId() === 4, 'the epoch');
  router.requireEpoch(5);
  expect(router.openEpochId()).toBeUndefined();
  expect(await reserve(router, 'c')).toEqual({ type: 'epoch' });
  await router.close();
});

it('what an overtaken rebuild clears away are older epochs alone', async () => {
  const keeper = await client();
  await newEpoch(keeper, 7);
  await reserve(keeper, 'd');
  // A keeper that began epoch 6 and lost its lease goes on where it stopped.
  await keeper.dropOldEpochs(6);
  expect(await keeper.inspectWindows()).toMatchObject([{ budget: 'b', reservedNanos: 10n }]);
  await keeper.close();
});
