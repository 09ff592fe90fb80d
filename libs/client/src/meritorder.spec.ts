import { describe, expect, it } from 'vitest';
import { DELIVERY_REFUSED } from '@meritorder/contracts';
import type { OrgEvent } from './delivered-event.js';
import { Meritorder } from './meritorder.js';
import { FakeConnection, messageOf } from './nats.for-tests.js';

const body = { model: 'auto', messages: [{ role: 'user' as const, content: 'hello' }] };

function named(name: string, message = name, cause?: Error): Error {
  return Object.assign(new Error(message, { cause }), { name });
}

describe('a request', () => {
  it('names the kind, the key, the caller’s trace and an id of its own or of the caller, and is never a stream', async () => {
    const nats = new FakeConnection();
    nats.answer = () => messageOf({ body: { id: 'a-1' } });
    const client = Meritorder.over(nats.asNats(), 'acme', 'mk-1');
    expect(await client.ask(body, { requestId: 'r-1', traceparent: '00-ab-cd-01' })).toEqual({ id: 'a-1' });
    await client.send('embeddings', { model: 'auto', input: 'x' });
    expect(nats.sent).toEqual([
      {
        subject: 'inference.request.v1.acme',
        body: JSON.stringify({ ...body, stream: false }),
        headers: {
          'Meritorder-Request': 'r-1',
          'Meritorder-Kind': 'chat',
          'Meritorder-Key': 'mk-1',
          traceparent: '00-ab-cd-01',
        },
      },
      {
        subject: 'inference.request.v1.acme',
        body: JSON.stringify({ model: 'auto', input: 'x' }),
        headers: {
          'Meritorder-Request': expect.stringMatching(/^[0-9a-f-]{36}$/),
          'Meritorder-Kind': 'embeddings',
          'Meritorder-Key': 'mk-1',
        },
      },
    ]);
  });

  it.each<[string, Error, object]>([
    ['that nobody hears', named('NoRespondersError'), { code: 'no_router', status: 503 }],
    [
      'that nobody hears, as the NATS client wraps it',
      named('RequestError', 'no responders', named('NoRespondersError')),
      { code: 'no_router', status: 503 },
    ],
    ['that is not permitted', named('PermissionViolationError'), { code: 'not_permitted', status: 403 }],
    [
      'that is not permitted, as the NATS client wraps it',
      named('RequestError', 'refused', named('PermissionViolationError')),
      { code: 'not_permitted', status: 403 },
    ],
    [
      'above what the server carries',
      named('InvalidArgumentError', "payload 'max_payload' size exceeded"),
      { code: 'body_too_large', status: 413 },
    ],
    ['on a closed connection', named('ClosedConnectionError'), { code: 'closed', status: 0 }],
  ])('%s says so, and there is nothing to cancel', async (_name, error, expected) => {
    const nats = new FakeConnection();
    nats.answer = () => Promise.reject(error);
    const client = Meritorder.over(nats.asNats(), 'acme');
    await expect(client.ask(body, { requestId: 'r-1' })).rejects.toMatchObject({ ...expected, requestId: 'r-1' });
    expect(nats.sent).toHaveLength(1);
  });

  it('that is not answered in time is cancelled', async () => {
    const nats = new FakeConnection();
    nats.answer = () => Promise.reject(named('TimeoutError'));
    const client = Meritorder.over(nats.asNats(), 'acme');
    await expect(client.ask(body, { requestId: 'r-1', timeoutMs: 7 })).rejects.toMatchObject({
      code: 'no_answer',
      message: 'nothing came for 7 ms',
    });
    expect(nats.sent.map((s) => s.subject)).toEqual(['inference.request.v1.acme', 'inference.cancel.v1.acme.r-1']);
  });

  it('that is aborted or closed is cancelled, and its caller hears why', async () => {
    const nats = new FakeConnection();
    const client = Meritorder.over(nats.asNats(), 'acme');
    const abort = new AbortController();
    const aborted = client.ask(body, { requestId: 'r-1', signal: abort.signal });
    const closed = client.ask(body, { requestId: 'r-2' });
    abort.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    const closing = client.close();
    await expect(closed).rejects.toMatchObject({ code: 'closed' });
    await closing;
    expect(nats.sent.slice(2).map((s) => s.subject)).toEqual([
      'inference.cancel.v1.acme.r-1',
      'inference.cancel.v1.acme.r-2',
    ]);
  });

  it('that is streamed and cannot be sent leaves no subscription behind', () => {
    const nats = new FakeConnection();
    nats.publishError = named('PermissionViolationError');
    const client = Meritorder.over(nats.asNats(), 'acme');
    expect(() => client.stream(body)).toThrow(expect.objectContaining({ code: 'not_permitted' }));
    expect(nats.subscription.ended).toBe(true);
  });
});

describe('a job', () => {
  it('is the same job by the id of its caller, in place of the id of a request', async () => {
    const nats = new FakeConnection();
    nats.answer = () => messageOf({ body: { request_id: 'r-1', duplicate: true } });
    const client = Meritorder.over(nats.asNats(), 'acme');
    expect(await client.job(body, 'invoice-17')).toEqual({ requestId: 'r-1', duplicate: true });
    expect(nats.sent[0]).toMatchObject({ subject: 'inference.job.v1.acme' });
    expect(nats.sent[0]!.headers).toEqual({ 'Nats-Msg-Id': 'invoice-17', 'Meritorder-Kind': 'chat' });
  });

  it('without an id of its caller has one of its own', async () => {
    const nats = new FakeConnection();
    nats.answer = (request) => messageOf({ body: { request_id: request.headers['Meritorder-Request'] } });
    const { requestId, duplicate } = await Meritorder.over(nats.asNats(), 'acme').job(body);
    expect([requestId, duplicate]).toEqual([nats.sent[0]!.headers['Meritorder-Request'], false]);
  });
});

it('a report that is refused has the status of its code', async () => {
  const nats = new FakeConnection();
  nats.answer = () => messageOf({ body: { error: { code: 'body_invalid', message: 'value: missing' } } });
  const client = Meritorder.over(nats.asNats(), 'acme');
  await expect(client.report({ request_id: 'r-1', kind: 'thumbs', value: true })).rejects.toMatchObject({
    code: 'body_invalid',
    status: 400,
    message: 'value: missing',
    requestId: 'r-1',
  });
});

describe('a subscription', () => {
  const event = (id: string, answers: string[], text = '{}') => ({
    headers: { 'ce-type': 'budget.exhausted.v1', 'ce-id': id },
    body: text,
    onRespond: (answer: string) => void answers.push(`${id} ${answer}`.trim()),
  });

  it('acknowledges what its handler returned from, one after the other, and has the rest sent again', async () => {
    const nats = new FakeConnection();
    const answers: string[] = [];
    const told: [string, string | undefined][] = [];
    const seen: string[] = [];
    nats.subscription.come(event('e-1', answers), event('e-2', answers), event('e-3', answers, '{'));
    const client = Meritorder.over(nats.asNats(), 'acme');
    const stop = client.subscribe(
      'alerts',
      async ({ id }) => {
        seen.push(`${id} begins`);
        await new Promise(setImmediate);
        seen.push(`${id} ends`);
        if (id === 'e-2') throw new Error('not yet');
      },
      { queue: 'workers', onError: (error, of) => void told.push([error.name, of?.id]) },
    );
    await expect.poll(() => answers).toEqual(['e-1', `e-2 ${DELIVERY_REFUSED}`, `e-3 ${DELIVERY_REFUSED}`]);
    await stop();
    expect(seen).toEqual(['e-1 begins', 'e-1 ends', 'e-2 begins', 'e-2 ends']);
    expect(told).toEqual([
      ['Error', 'e-2'],
      ['SyntaxError', undefined],
    ]);
    expect(nats.subscribed).toEqual([{ subject: expect.stringContaining('acme'), options: { queue: 'workers' } }]);
  });

  it('whose connection ends while a handler works is told to have ended, once, and of no event', async () => {
    const nats = new FakeConnection();
    const told: (OrgEvent | undefined)[] = [];
    const handled: string[] = [];
    nats.subscription.come({
      ...event('e-1', []),
      onRespond: () => {
        throw named('ClosedConnectionError');
      },
    });
    const client = Meritorder.over(nats.asNats(), 'acme');
    client.subscribe('alerts', ({ id }) => void handled.push(id), { onError: (_error, of) => void told.push(of) });
    await expect.poll(() => told.length).toBe(1);
    expect([handled, told]).toEqual([['e-1'], [undefined]]);
  });

  it('that NATS refuses is told once, and whoever throws when told of it disturbs nobody', async () => {
    const nats = new FakeConnection();
    const told: string[] = [];
    const client = Meritorder.over(nats.asNats(), 'acme');
    const stop = client.subscribe('alerts', () => {}, {
      onError: async (error) => {
        told.push(error.name);
        throw new Error('the logger broke');
      },
    });
    nats.subscription.fail(named('PermissionViolationError'));
    await expect.poll(() => told).toEqual(['PermissionViolationError']);
    await stop();
  });
});
