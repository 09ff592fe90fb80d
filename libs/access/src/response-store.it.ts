import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectDatabase, migrate, type KeptResponse } from '@meritorder/ledger-store';
import { usePostgres } from '@meritorder/testing/vitest';
import type { DataSource } from 'typeorm';
import { PostgresResponseStore } from './response-store.js';

const postgres = usePostgres();
let source: DataSource;
let store: PostgresResponseStore;

beforeAll(async () => {
  await migrate(postgres.url);
  source = await connectDatabase(postgres.url, 'gateway');
  store = new PostgresResponseStore(source, { keptMs: 60_000 });
});
afterAll(() => source?.destroy());

const response = (org: string, id: string, previous?: string): KeptResponse => ({
  org,
  id,
  previous,
  input: JSON.stringify([{ role: 'user', content: `asked ${id} \u0000\ud800` }]),
  items: [{ id: `msg_${id}`, item: JSON.stringify({ id: `msg_${id}`, text: `said ${id} \u0000` }) }],
  response: JSON.stringify({ id, output: [] }),
});
const asked = (turns: { input: string }[] | undefined): string[] | undefined =>
  turns?.map(({ input }) => (JSON.parse(input) as { content: string }[])[0]!.content.split(' ')[1]!);
const age = (id: string, ms: number): Promise<unknown> =>
  source.query(`update kept_responses set expires_at = expires_at - $2 * interval '1 ms' where id = $1`, [id, ms]);

it('gives the turns up to a response, the first one first, and the items by their ids', async () => {
  await store.keep(response('acme', 'r1'));
  await store.keep(response('acme', 'r2', 'r1'));
  await store.keep(response('acme', 'r3', 'r2'));
  expect(asked(await store.turnsUpTo('acme', 'r3'))).toEqual(['r1', 'r2', 'r3']);
  expect(asked(await store.turnsUpTo('acme', 'r1'))).toEqual(['r1']);
  const items = await store.itemsById('acme', ['msg_r2', 'msg_none', 'msg_r1']);
  expect([...items.keys()].toSorted()).toEqual(['msg_r1', 'msg_r2']);
  expect(JSON.parse(items.get('msg_r1')!)).toEqual({ id: 'msg_r1', text: 'said r1 \u0000' });
});

it('keeps those of each org for itself', async () => {
  await store.keep(response('acme', 'mine'));
  expect(await store.turnsUpTo('globex', 'mine')).toBeUndefined();
  expect(await store.itemsById('globex', ['msg_mine'])).toEqual(new Map());
  expect(await store.responseById('globex', 'mine')).toBeUndefined();
  expect(await store.forget('globex', 'mine')).toBe(false);
  expect(await store.responseById('acme', 'mine')).toBe(JSON.stringify({ id: 'mine', output: [] }));
});

it('what was kept once stays what it was', async () => {
  await store.keep(response('acme', 'once'));
  await store.keep({ ...response('acme', 'once'), response: '{}' });
  expect(await store.responseById('acme', 'once')).toBe(JSON.stringify({ id: 'once', output: [] }));
});

it('a conversation with a turn that is forgotten, or has ended, is none', async () => {
  for (const [id, previous] of [['a'], ['b', 'a'], ['c', 'b']] as const)
    await store.keep(response('acme', id, previous));
  await age('b', 61_000);
  expect(await store.turnsUpTo('acme', 'c')).toBeUndefined();
  expect(await store.turnsUpTo('acme', 'b')).toBeUndefined();
  expect(await store.itemsById('acme', ['msg_b'])).toEqual(new Map());
  expect(asked(await store.turnsUpTo('acme', 'a'))).toEqual(['a']);
  expect(await store.forget('acme', 'a')).toBe(true);
  expect(await store.turnsUpTo('acme', 'a')).toBeUndefined();
  expect(await store.itemsById('acme', ['msg_a'])).toEqual(new Map());
});

it('forgets what has ended, and nothing else', async () => {
  await store.keep(response('acme', 'old'));
  await store.keep(response('acme', 'new'));
  await age('old', 61_000);
  expect(await store.forgetEnded()).toBeGreaterThanOrEqual(1);
  const left: { id: string }[] = await source.query(`select id from kept_responses where id in ('old', 'new')`);
  expect(left).toEqual([{ id: 'new' }]);
});

it('a chain that goes round comes to an end', async () => {
  await store.keep(response('acme', 'x', 'y'));
  await store.keep(response('acme', 'y', 'x'));
  expect(await store.turnsUpTo('acme', 'x')).toBeUndefined();
});
