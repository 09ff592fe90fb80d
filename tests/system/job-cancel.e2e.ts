import { BUCKETS } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import { Kvm } from '@nats-io/kv';
import { jetstream } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { allClosed } from './books.js';
import { ask, chat, errorCode } from './harness.js';
import { startJobs, type JobsWorld } from './jobs-world.js';

let world: JobsWorld;

beforeAll(async () => {
  world = await startJobs('job-cancel-test', {
    backends: [{ id: 'first' }, { id: 'never-asked' }],
    config: {
      orgs: [{ id: 'acme' }],
      routes: [],
      budgets: [{ id: 'org', selector: { org: 'acme' }, window: 'total', limitUsd: '100' }],
      limits: {
        jobsInFlightPerRouter: 1,
        requestDeadlineMs: 6_000,
        unconfirmedGraceMs: 1_000,
        reservationLeaseMs: 2_000,
      },
    },
  });
});
afterAll(() => world?.stop());

async function publish(model: string): Promise<string> {
  const answer = await world.app.request('inference.job.v1.acme', chat('Write 5 words.', { model }), {
    timeout: 5_000,
  });
  return answer.json<any>().request_id as string;
}

it('a job that is cancelled while no router has it ends as cancelled, though all routers die meanwhile: nothing is asked or booked', async () => {
  const { product, app, operator, database, results } = world;
  const { control } = product.simulator;
  control.gate('first', true);
  const held = [await publish('first'), await publish('first')];
  await waitFor(() => control.stats().models['first']!.held === 2, 'both routers to be busy');
  const cancelled = await publish('never-asked');
  const goesOn = await publish('first');
  const cancel = (id: string): void => app.publish(`inference.cancel.v1.acme.${id}`);
  const named = headers();
  named.set('Meritorder-Request', 'no-job');
  // Of requests that are no job, and of none at all, nothing is kept.
  const asked = ask(app, chat('Write 5 words.', { model: 'first' }), { headers: named });
  await waitFor(() => control.stats().models['first']!.held === 3, 'the request to be called');
  for (const id of ['no-job', 'nobody-knows', 'no%slug', cancelled]) cancel(id);
  expect(errorCode(await asked)).toBe('cancelled');
  const bucket = await new Kvm(jetstream(operator)).open(BUCKETS.cancels.name);
  const kept = async (): Promise<string[]> => {
    const keys: string[] = [];
    for await (const key of await bucket.keys()) keys.push(key);
    return keys;
  };
  await waitFor(async () => (await kept()).length > 0, 'the cancel to be kept');
  await Promise.all(
    product.stack.of('router').map(async ({ child, ended }) => {
      child.kill('SIGKILL');
      await ended;
    }),
  );
  control.gate('first', false);

  await waitFor(() => [...held, cancelled, goesOn].every((id) => results.has(id)), {
    message: 'all results',
    timeoutMs: 120_000,
  });
  expect(results.get(cancelled)![0]).toMatchObject({
    requestId: cancelled,
    status: 'error',
    body: { error: { code: 'cancelled' } },
  });
  for (const id of [...held, goesOn]) expect(results.get(id)![0]).toMatchObject({ status: 'ok' });
  expect(await kept()).toEqual([`acme.${cancelled}`]);
  await allClosed(world);
  expect(await database.query(`select 1 from attempt where request_id = $1`, [cancelled])).toEqual([]);
  expect(control.stats().models['never-asked']!.received).toBe(0);
});
