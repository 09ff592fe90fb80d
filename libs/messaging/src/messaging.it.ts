import { headers } from '@nats-io/transport-node';
import { trace } from '@opentelemetry/api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXAMPLES, STREAMS, type MeritorderConfig } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import {
  busOn,
  connectBus,
  contextOf,
  ensureTopology,
  extractTrace,
  injectTrace,
  openBucket,
  putIfChanged,
  runConsumer,
  traceparentOf,
  watchBucket,
  type Bus,
} from './index.js';
import { ServerWithUsers } from './server-with-users.for-tests.js';

const config = {
  orgs: [
    { id: 'acme', subscribers: [{ name: 'alerts', context: 'budget' }] },
    { id: 'globex', subscribers: [] },
  ],
  backends: [
    { id: 'gpt', kind: 'cloud' },
    { id: 'llama', kind: 'local', host: 'gpu-1' },
    { id: 'qwen', kind: 'local', host: 'gpu-2' },
  ],
} as unknown as MeritorderConfig;
const world = new ServerWithUsers(config);
let operator: Bus;

beforeAll(async () => {
  await world.start();
  operator = await world.as('operator');
  // What is there already is left as it is.
  await ensureTopology(operator, config);
});
afterAll(() => world.stop());

const rated = (id: string) => ({
  type: 'metering.usage-rated.v1' as const,
  subject: 'metering.usage-rated.v1.acme',
  id,
  time: '2026-11-24T10:00:00.000Z',
  data: EXAMPLES.events['metering.usage-rated.v1'] as any,
});

describe('the bus', () => {
  it('says who and where when it cannot connect', async () => {
    await expect(
      connectBus({ url: world.url, user: 'nobody', password: 'x', name: 't', inboxPrefix: '_INBOX' }),
    ).rejects.toThrow(/cannot use NATS at nats:.*as nobody.*NATS_PASSWORD/);
  });

  it('refuses to publish what its schema does not allow', async () => {
    await expect(operator.publishEvent({ ...rated('x'), data: { attemptId: 7 } as any })).rejects.toThrow(
      /invalid metering.usage-rated.v1: attemptId/,
    );
  });

  it('publishing the same fact twice is publishing it once', async () => {
    const first = await operator.publishEvent(rated('twice'));
    expect(await operator.publishEvent(rated('twice'))).toEqual({ sequence: first.sequence, duplicate: true });
  });

  it('passes trace context on without any tracing set up', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const h = headers();
    h.set('Traceparent', traceparent);
    expect(traceparentOf(extractTrace(h))).toBe(traceparent);
    expect(injectTrace(undefined, contextOf(traceparent)).get('traceparent')).toBe(traceparent);
    expect(trace.getSpanContext(contextOf(undefined))).toBeUndefined();
  });
});

describe('a durable consumer', () => {
  const consume = (handle: (ids: string[]) => Promise<void>, more: object = {}) => {
    const seen: string[] = [];
    const errors: unknown[] = [];
    const consumer = runConsumer(operator, {
      stream: STREAMS.events.name,
      durable: 'budget-policy',
      maxBatch: 10,
      onError: (e) => errors.push(e),
      handle: async (batch) => {
        const ids = batch.map((d) => d.decode(['metering.usage-rated.v1']).id);
        await handle(ids);
        seen.push(...ids);
      },
      ...more,
    });
    return { seen, errors, consumer };
  };

  it('delivers again what failed, until it succeeds, and nothing twice after that', async () => {
    let failures = 3;
    const { seen, errors, consumer } = consume(async () => {
      if (failures-- > 0) throw new Error('the database is away');
    });
    await operator.publishEvent(rated('fails-first'));
    await waitFor(() => seen.includes('fails-first'), 'the event');
    expect(errors.length).toBe(3);
    await operator.publishEvent(rated('next'));
    await waitFor(() => seen.includes('next') && seen.includes('twice'), 'the next event, and all before it');
    await consumer.drain();
    expect(seen.filter((id) => id === 'fails-first')).toHaveLength(1);
  });

  it('what was in hand at a drain is done; what was published meanwhile waits for the next', async () => {
    const first = consume(() => new Promise((r) => setTimeout(r, 200)));
    await operator.publishEvent(rated('in-hand'));
    await waitFor(() => first.consumer.pending() > 0, 'the message to be in hand');
    await first.consumer.drain();
    expect(first.seen).toContain('in-hand');
    await operator.publishEvent(rated('later'));
    const second = consume(async () => {});
    await waitFor(() => second.seen.includes('later'), 'the later event');
    expect(second.seen).not.toContain('in-hand');
    await second.consumer.drain();
  });

  it('a message that is no event goes to the dead letters with its reason, and the rest flows on', async () => {
    const reasons: string[] = [];
    operator.nats.subscribe('dead-letter.v1.events', {
      callback: (_e, m) => void reasons.push(m.headers!.get('Meritorder-Reason')),
    });
    const { seen, consumer } = consume(async () => {}, { maxBatch: 1 });
    operator.nats.publish('metering.usage-rated.v1.acme', 'poison');
    await operator.publishEvent(rated('after-poison'));
    await waitFor(() => seen.includes('after-poison') && reasons.length === 1, 'both');
    expect(reasons[0]).toMatch(/ce-type or ce-id is missing/);
    await consumer.drain();
  });
});

describe('buckets', () => {
  it('a watcher gets what is there, then every change, and equal values are no change', async () => {
    const bucket = await openBucket(operator, 'PRICES');
    expect(await putIfChanged(bucket, 'gpt', '1')).toBe(true);
    expect(await putIfChanged(bucket, 'gpt', '1')).toBe(false);
    const seen: string[] = [];
    const stop = new AbortController();
    const router = await world.as('router');
    await watchBucket(
      router,
      'PRICES',
      (key, value) => seen.push(`${key}=${value && new TextDecoder().decode(value)}`),
      stop.signal,
    );
    expect(seen).toEqual(['gpt=1']);
    await bucket.put('gpt', '2');
    await waitFor(() => seen.length === 2, 'the change');
    await bucket.delete('gpt');
    await waitFor(() => seen.length === 3, 'the deletion');
    expect(seen).toEqual(['gpt=1', 'gpt=2', 'gpt=null']);
    // A bucket keeps the last value alone: of changes in quick succession, the last one is certain to be seen.
    for (let n = 3; n <= 50; n++) await bucket.put('gpt', String(n));
    await waitFor(() => seen.at(-1) === 'gpt=50', 'the last of many');
    stop.abort();
    await router.close();
  });

  it('a watch on an empty bucket is ready at once', async () => {
    await watchBucket(operator, 'BUDGETS', () => {}, AbortSignal.timeout(10_000));
  });
});

describe('permissions', () => {
  it.each([
    [
      'provider-worker',
      [
        'inference.request.v1.acme',
        'work.v1.gpt',
        'worker.heartbeat.v1.gpu-1.llama',
        'usage.attempt-closed.v1.acme.gpu-1',
        'metering.usage-rated.v1.acme',
        'usage.attempt-extended.v1.acme',
        '$JS.API.STREAM.DELETE.USAGE',
        '$KV.PRICES.gpt',
      ],
    ],
    [
      'local-worker-gpu-1',
      [
        'worker.heartbeat.v1.gpu-2.qwen',
        'worker.heartbeat.v1.gpt',
        'hardware.measured.v1.gpu-2',
        'fleet.join.v1.gpu-2',
        '$KV.FLEET.gpu-1-llama',
        'work.v1.gpu-1.llama',
        '_INBOX_local-worker_gpu-2.x',
        '_INBOX_provider-worker.x',
        'usage.attempt-opened.v1.acme',
        'usage.attempt-closed.v1.acme',
        'usage.attempt-opened.v1.acme.gpu-1',
        'usage.attempt-closed.v1.acme.gpu-2',
        'usage.attempt-extended.v1.acme',
        'inference.request.v1.acme',
        '$JS.API.STREAM.INFO.USAGE',
        '$KV.EPOCH.current',
      ],
    ],
    [
      'router',
      ['usage.attempt-closed.v1.acme.gpu-1', '$KV.PRICES.gpt', 'metering.reconcile.v1', '$JS.API.STREAM.DELETE.USAGE'],
    ],
    ['metering', ['work.v1.gpt', 'budget.threshold-crossed.v1.acme.b', 'outcome.reported.v1.acme', '_INBOX_router.x']],
    ['budget-policy', ['work.v1.gpt', 'usage.attempt-closed.v1.acme', '_INBOX_acme.x', '$KV.PRICES.gpt']],
    [
      'org-acme',
      [
        'inference.request.v1.globex',
        'deliver-ack.v1.globex.alerts.x',
        '$JS.API.INFO',
        '$JS.ACK.EVENTS.acme_alerts.1.1.1.1.1',
        'price.version-published.v1',
      ],
    ],
  ])('%s may not publish what is not its business', async (user, subjects) => {
    const bus = await world.as(user);
    const { nats } = bus;
    const denied: string[] = [];
    void (async () => {
      for await (const s of nats.status()) if (s.type === 'error') denied.push(s.error.message);
    })();
    for (const subject of subjects) nats.publish(subject, 'x');
    await nats.flush();
    await waitFor(() => denied.length >= subjects.length, `${subjects.length} refusals, not ${denied.length}`);
    for (const subject of subjects) expect(denied.join('\n')).toContain(`"${subject}"`);
    await bus.close();
  });

  it('the worker of a host takes the work of its own backends alone, and is heard for no other', async () => {
    const [one, router] = await Promise.all([world.as('local-worker-gpu-1'), world.as('router')]);
    const denied: string[] = [];
    const listen = (subject: string): void =>
      void one.nats.subscribe(subject, {
        callback: (error, m) => {
          if (error) denied.push(subject);
          else m.respond('taken');
        },
      });
    const foreign = [
      'work.v1.gpu-2.qwen',
      'work.v1.gpt',
      'work.v1.>',
      'work.v1.*.*',
      'worker.heartbeat.v1.>',
      '_INBOX_local-worker_gpu-2.>',
      '_INBOX_router.>',
      '_INBOX_acme.>',
      'usage.attempt-opened.v1.*',
    ];
    for (const subject of [...foreign, 'work.v1.gpu-1.llama']) listen(subject);
    await one.nats.flush();
    await waitFor(() => denied.length >= foreign.length, `${foreign.length} refusals, not ${denied.length}`);
    expect(denied.toSorted()).toEqual(foreign.toSorted());
    expect((await router.nats.request('work.v1.gpu-1.llama', '{}')).string()).toBe('taken');
    await expect(router.nats.request('work.v1.gpu-2.qwen', '{}', { timeout: 500 })).rejects.toThrow();
    const beats: string[] = [];
    router.nats.subscribe('worker.heartbeat.v1.>', { callback: (_e, m) => void beats.push(m.subject) });
    await router.nats.flush();
    one.nats.publish('worker.heartbeat.v1.gpu-2.qwen', '{}');
    one.nats.publish('worker.heartbeat.v1.gpu-1.llama', '{}');
    await waitFor(() => beats.length > 0, 'its own heartbeat');
    expect(beats).toEqual(['worker.heartbeat.v1.gpu-1.llama']);
    await Promise.all([one.close(), router.close()]);
  });

  it('workers of any host answer one another about turns, and on no inbox', async () => {
    const users = ['local-worker-gpu-1', 'local-worker-gpu-2', 'provider-worker'] as const;
    const workers = await Promise.all(users.map((user) => world.as(user)));
    for (const [i, { nats }] of workers.entries())
      nats.subscribe('attempt.turn.v1.*', {
        callback: (_e, m) => void (m.subject.endsWith(`of-${i}`) && m.respond(users[i]!)),
      });
    await Promise.all(workers.map(({ nats }) => nats.flush()));
    for (const [from, { nats }] of workers.entries())
      for (const to of users.keys()) {
        const options = { timeout: 5_000, noMux: true, reply: `attempt.turned.v1.${from}-${to}` };
        expect((await nats.request(`attempt.turn.v1.of-${to}`, '', options)).string()).toBe(users[to]);
      }
    await Promise.all(workers.map((bus) => bus.close()));
  });

  it('a server acknowledgement can purge a stream: what a captured subject would let an org do (ADR 4)', async () => {
    const manager = await operator.manager();
    await manager.streams.add({ name: 'CAPTURED', subjects: ['captured.>'] });
    await manager.streams.add({ name: 'VICTIM', subjects: ['victim.>'] });
    for (let i = 0; i < 3; i++) await operator.jetstream.publish('victim.x', 'v');
    for (let i = 0; i < 3; i++) operator.nats.publish('captured.x', '{}', { reply: '$JS.API.STREAM.PURGE.VICTIM' });
    await waitFor(async () => (await manager.streams.info('VICTIM')).state.messages < 3, 'the victim to be purged');
    expect(busOn(operator.nats, 'x').source).toBe('/meritorder/x');
  });
});
