import { afterAll, beforeAll, expect, it } from 'vitest';
import { Meritorder, type OrgEvent } from '@meritorder/client';
import { waitFor } from '@meritorder/testing';
import { chat, startProduct, type Product } from './harness.js';

let product: Product;

beforeAll(async () => {
  product = await startProduct({
    backends: [{ id: 'quick' }],
    config: {
      budgets: [
        { id: 'alerting', selector: { org: 'acme' }, window: 'month', limitUsd: '100', thresholds: [0.000_000_1, 0.9] },
      ],
    },
  });
});
afterAll(() => product?.stop());

it('alerts of an org wait for it, through a restart of the subscriber and of the server, and come no more once acknowledged', async () => {
  const asking = Meritorder.over(await product.app(), 'acme');
  const of = (got: OrgEvent[]): OrgEvent[] => got.filter((e) => e.type === 'budget.threshold-crossed.v1');

  // Nobody listens yet; a subscriber that comes and fails has it delivered again.
  await asking.ask(JSON.parse(chat('Write 1 words.')));
  const failed: OrgEvent[] = [];
  const first = Meritorder.over(await product.app(), 'acme');
  const stopFirst = first.subscribe('alerts', (event) => {
    failed.push(event);
    throw new Error('not now');
  });
  await waitFor(() => of(failed).length > 0, 'the alert to be tried');
  await stopFirst();

  await product.stack.nats.server!.restart();
  const seen: OrgEvent[] = [];
  const second = Meritorder.over(await product.app(), 'acme');
  const stopSecond = second.subscribe('alerts', (event) => void seen.push(event));
  await waitFor(() => of(seen).length > 0, 'the alert after the restart', 60_000);
  expect(of(seen)[0]!.id).toBe(of(failed)[0]!.id);
  await stopSecond();

  await product.stack.nats.server!.restart();
  const again: OrgEvent[] = [];
  const third = Meritorder.over(await product.app(), 'acme');
  third.subscribe('alerts', (event) => void again.push(event));
  await waitFor(
    () => third.ask(JSON.parse(chat('Write 1 words.'))).then(() => true),
    'the product to serve again',
    60_000,
  );
  expect(of(again).filter((e) => e.id === of(seen)[0]!.id)).toEqual([]);
});
