import { connect as connectTcp } from 'node:net';
import { Agent, fetch as undiciFetch } from 'undici';
import { afterEach, expect, it } from 'vitest';
import { waitFor } from '@meritorder/testing';
import { KEY, RECEIPT, send, startWorld, type World } from './gateway-world.for-tests.js';

let world: World;
afterEach(() => world?.stop());

const BODY = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'x' }] });
const code = (text: string): string => JSON.parse(text).error.code;

it('where no router listens the caller hears so at once', async () => {
  world = await startWorld();
  await world.leave();
  const heard = await send(world, { body: BODY });
  expect(heard.status).toBe(503);
  expect(code(heard.text)).toBe('router_unavailable');
  expect(heard.headers['retry-after']).toBe('1');
});

it('a call without an end is given up at its deadline, and stopped', async () => {
  world = await startWorld({ totalMs: 200 });
  const heard = await send(world, { body: BODY });
  expect(heard.status).toBe(504);
  expect(code(heard.text)).toBe('deadline_exceeded');
  await waitFor(() => world.cancelled.length === 1, 'a cancel');
});

it('has only so many calls in flight', async () => {
  world = await startWorld({ limits: { requestsInFlightPerGateway: 2 } });
  const running = [send(world, { body: BODY, agent: false }), send(world, { body: BODY, agent: false })];
  await waitFor(() => world.asked.length === 2, 'both are in flight');
  const refused = await send(world, { body: BODY });
  expect(refused.status).toBe(503);
  expect(code(refused.text)).toBe('gateway_overloaded');
  world.asked.forEach((a) => a.finish({ meritorder: RECEIPT }));
  expect((await Promise.all(running)).map((r) => r.status)).toEqual([200, 200]);
});

it('an idempotency key that cannot be looked up runs nothing, and says nothing of the database', async () => {
  world = await startWorld();
  const heard = await send(world, { body: BODY, headers: { 'idempotency-key': 'k' } });
  expect(heard.status).toBe(503);
  expect(code(heard.text)).toBe('idempotency_unavailable');
  expect(heard.headers['retry-after']).toBe('1');
  expect(heard.text).not.toContain('secret');
  expect(world.asked).toHaveLength(0);
  world.answer((a) => a.finish({ meritorder: RECEIPT }));
  expect((await send(world, { body: BODY })).status).toBe(200);
});

it('drains: what is running ends well, on connections that are then closed, and nobody new is let in', async () => {
  world = await startWorld();
  const agent = new Agent();
  const ask = (stream: boolean) =>
    undiciFetch(`${world.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ model: 'auto', messages: [], stream }),
      dispatcher: agent,
    });
  const whole = ask(false);
  const streamed = ask(true);
  await waitFor(() => world.asked.length === 2, 'both are in flight');
  const [of] = [world.asked.find((a) => a.body.stream)!];
  of.chunk({ choices: [] });
  const response = await streamed;
  const drained = world.edge.drain(20_000);
  expect(world.edge.isDraining()).toBe(true);
  const late = connectTcp(world.port, '127.0.0.1');
  await new Promise((r) => late.once('error', r));
  of.chunk({ choices: [] });
  of.finish({ choices: [], meritorder: RECEIPT });
  world.asked.find((a) => !a.body.stream)!.finish({ meritorder: RECEIPT });
  expect((await response.text()).endsWith('data: [DONE]\n\n')).toBe(true);
  expect((await whole).status).toBe(200);
  await drained;
  await agent.close();
});

it('what is not done when the drain is over ends with an error of its dialect, and is stopped upstream', async () => {
  world = await startWorld();
  const ask = (path: string, stream: boolean) =>
    send(world, { path, body: JSON.stringify({ model: 'auto', messages: [], stream }), agent: false });
  const whole = ask('/v1/chat/completions', false);
  const streams = [ask('/v1/chat/completions', true), ask('/v1/messages', true), ask('/v1/responses', true)];
  await waitFor(() => world.asked.length === 4, 'all are in flight');
  for (const asked of world.asked.filter((a) => a.body.stream)) asked.chunk({ type: 'x' }, { asksAck: true });
  await waitFor(() => world.acknowledged.length === 3, 'the streams have begun');
  await world.edge.drain(100);
  const { status, headers: told, text } = await whole;
  expect([status, code(text), told['retry-after']]).toEqual([503, 'gateway_stopped', '1']);
  const ends = (await Promise.all(streams)).map((s) => s.text.trimEnd().split('\n\n').at(-1)!);
  for (const end of ends) expect(end).toContain('"code":"gateway_stopped"');
  expect(ends.map((end) => end.slice(0, 14))).toEqual(['data: {"error"', 'event: error\nd', 'event: error\nd']);
  await waitFor(() => world.cancelled.length === 4, 'all are stopped upstream');
  expect(world.outcomes).toEqual(Array(4).fill('gateway_stopped'));
});

it('the NATS user of the gateway may ask and hear answers, and nothing else', async () => {
  world = await startWorld();
  const { nats } = world.gateway;
  const refused: string[] = [];
  void (async () => {
    for await (const status of nats.status())
      if (status.type === 'error') refused.push(String((status as unknown as { error: Error }).error.message));
  })();
  const attempts = [
    ...[
      'budget.exhausted.v1.acme.x',
      '$JS.API.STREAM.INFO.USAGE',
      '_INBOX_acme.x',
      'work.v1.b',
      'usage.attempt-closed.v1.acme',
    ].map((subject) => () => nats.publish(subject, 'x')),
    ...[
      '_INBOX_acme.>',
      '_INBOX_router.>',
      'inference.request.v1.acme',
      'work.v1.b',
      'metering.usage-rated.v1.acme',
    ].map((subject) => () => void nats.subscribe(subject, { callback: () => {} })),
  ];
  attempts.forEach((attempt) => attempt());
  await nats.flush();
  await waitFor(() => refused.length >= attempts.length, 'every attempt is refused');
});
