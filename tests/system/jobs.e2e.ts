import { subjects } from '@meritorder/contracts';
import { busOn } from '@meritorder/messaging';
import { waitFor } from '@meritorder/testing';
import { headers } from '@nats-io/transport-node';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chat } from './harness.js';
import { expectBooksAsInvoice, expectOneResultEach, startJobs, type JobsWorld } from './jobs-world.js';

const JOBS = 160;
const IN_FLIGHT = 24;
const STRIKES = 6;
const FAULTS = { errorRate: 0.05, cutAnswerRate: 0.05 };
const prices = [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash: { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' } },
];

let world: JobsWorld;
let { product, app, operator, database, results } = {} as JobsWorld;

beforeAll(async () => {
  const slow = { outputTokensPerSecond: 60, latencyJitter: 0.5 };
  world = await startJobs('jobs-test', {
    backends: [
      { id: 'first', behaviour: { ...slow, ...FAULTS }, config: { prices } },
      { id: 'second', behaviour: slow, config: { prices } },
    ],
    config: {
      orgs: [{ id: 'acme' }],
      tiers: [{ id: 'gold', charge: { markup: '1.5', usdPerRequest: '0.0001' } }],
      budgets: [{ id: 'org', selector: { org: 'acme' }, window: 'total', limitUsd: '100' }],
      limits: { requestDeadlineMs: 6_000, unconfirmedGraceMs: 1_000, reservationLeaseMs: 2_000 },
    },
  });
  ({ product, app, operator, database, results } = world);
});
afterAll(() => world?.stop());

/** Publishes until a router says that it keeps the job; the same id is the same job. */
async function publish(id: string): Promise<string> {
  const h = headers();
  h.set('Nats-Msg-Id', id);
  const words = 5 + (Number(id.split('-')[1]) % 40);
  const body = chat(`Write ${words} words.`, { metadata: { tier: 'gold', customer: 'initech' } });
  return waitFor(
    async () => {
      const answer = await app.request('inference.job.v1.acme', body, { timeout: 2_000, headers: h });
      return answer.json<any>().request_id as string | undefined;
    },
    { message: `the job ${id} to be kept`, timeoutMs: 30_000 },
  );
}

it('a job that is delivered again while it runs is neither refused nor answered twice', async () => {
  for (const model of ['first', 'second']) product.simulator.control.faults(model, { errorRate: 0, cutAnswerRate: 0 });
  product.simulator.control.gate('*', true);
  const requestId = 'delivered-again';
  const data = {
    requestId,
    org: 'acme',
    kind: 'chat' as const,
    attribution: { org: 'acme', tier: 'gold', customer: 'initech' },
    body: JSON.parse(chat('Write 5 words.')) as Record<string, unknown>,
    acceptedAt: new Date().toISOString(),
  };
  const bus = busOn(operator, 'jobs-test');
  // Of three, two are the same router's.
  for (const id of ['one', 'two', 'three'])
    await bus.publishEvent({
      type: 'job.accepted.v1',
      subject: subjects.jobAccepted('acme', requestId),
      id: `acme/${requestId}/${id}`,
      time: data.acceptedAt,
      data,
      context: ROOT_CONTEXT,
    });
  await waitFor(() => {
    const { models } = product.simulator.control.stats();
    return models['first']!.held + models['second']!.held > 0;
  }, 'it to be called');
  const consumer = async (): Promise<any> => (await operator.request('$JS.API.CONSUMER.INFO.JOBS.router', '')).json();
  await waitFor(async () => {
    const { num_pending: waiting, num_ack_pending: inHand } = await consumer();
    return results.has(requestId) || (waiting === 0 && inHand === 3);
  }, 'all three to be in hand or put off');
  product.simulator.control.gate('*', false);
  await waitFor(() => results.has(requestId), 'the result');
  await waitFor(async () => {
    const { num_pending: waiting, num_ack_pending: inHand } = await consumer();
    return waiting + inHand === 0;
  }, 'all three to be done with');
  expect(results.get(requestId)![0]).toMatchObject({ status: 'ok', body: { meritorder: { request_id: requestId } } });
  for (const again of results.get(requestId)!) expect(again).toEqual(results.get(requestId)![0]);
  results.clear();
  product.simulator.control.faults('first', FAULTS);
});

it('every job has its result, once, whatever is killed; books equal the invoice, and each is charged at most once', async () => {
  const ids: string[] = [];
  const published = (async () => {
    let next = 0;
    const one = async (): Promise<void> => {
      for (let i = next++; i < JOBS; i = next++) {
        await waitFor(() => ids.length - results.size < IN_FLIGHT, { message: 'room', timeoutMs: 60_000 });
        const id = await publish(`job-${i}`);
        // Sent again, it is still one job.
        if (i % 7 === 0) expect(await publish(`job-${i}`)).toBe(id);
        ids.push(id);
      }
    };
    await Promise.all(Array.from({ length: 8 }, one));
  })();

  let killed = 0;
  for (let strike = 1; strike <= STRIKES; strike++) {
    const from = (JOBS * strike) / (STRIKES + 2);
    await waitFor(() => results.size >= from, { message: `${from} results`, timeoutMs: 90_000 });
    const name = (['router', 'provider-worker', 'metering'] as const)[strike % 3]!;
    // One of several, or the only one.
    const victim = await waitFor(() => product.stack.of(name)[strike % 2] ?? product.stack.of(name)[0], name);
    victim.child.kill('SIGKILL');
    await victim.ended;
    killed++;
  }
  await published;
  const started = new Set(ids);
  expect(started.size).toBe(JOBS);
  await waitFor(() => ids.every((id) => results.has(id)), { message: 'all results', timeoutMs: 120_000 });

  for (const id of results.keys()) expect(started).toContain(id);
  expect(expectOneResultEach(world, started)).toEqual({ ok: JOBS });

  const { unconfirmed, calls } = await expectBooksAsInvoice(world);

  const charged: { request: string; times: number }[] = await database.query(
    `select a.request_id as request, count(*) filter (where s.charged_nanos > 0)::int as times
     from attempt a join attempt_settled s using (attempt_id) group by a.request_id`,
  );
  const [counted] = await database.query(
    `select sum(attempts)::int as attempts, count(*) filter (where answers > 1)::int as "answeredTwice" from
     (select count(*) as attempts, count(*) filter (where outcome = 'finished') as answers from attempt group by request_id) r`,
  );
  console.log(
    `jobs: ${JSON.stringify({ jobs: JOBS, killed, calls, ...counted, unconfirmed, charged: charged.filter((c) => c.times === 1).length })}`,
  );
  expect(charged.filter(({ times }) => times > 1)).toEqual([]);
  expect(charged.filter(({ times }) => times === 1).length).toBeLessThanOrEqual(JOBS + 1);
  expect(charged.filter(({ times }) => times === 1).length).toBeGreaterThan(JOBS * 0.9);
  // More calls than jobs: some were made again, and each of them is in the books.
  expect(calls).toBeGreaterThan(JOBS);
});
