import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Meritorder } from '@meritorder/client';
import { waitFor } from '@meritorder/testing';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

let product: Product;
let acme: NatsConnection;
const orgs = [
  { id: 'acme', quotas: { bodyBytes: 2_000, subscriptionsPerConnection: 10, connections: 2 } },
  { id: 'globex', quotas: { requestsPerMinute: 60 } },
  { id: 'initech', quotas: { requestsInFlightPerRouter: 2 } },
  { id: 'free' },
];

beforeAll(async () => {
  product = await startProduct({
    backends: [{ id: 'quick' }, { id: 'slow', behaviour: { firstTokenMs: 1_500 } }],
    config: { orgs, routes: [{ id: 'auto', backends: ['quick'] }] },
    instances: { router: 2 },
  });
  acme = await product.app('acme');
});
afterAll(() => product?.stop());

describe('payload', () => {
  it("a body above the org's quota gets a clear error; another org may send it", async () => {
    const body = chat('x'.repeat(3_000));
    const refused = await ask(acme, body);
    expect(errorCode(refused)).toBe('body_too_large');
    expect(refused.json<any>().error.message).toContain('the limit is 2000');
    expect(errorCode(await ask(await product.app('free'), body, { org: 'free' }))).toBe('');
  });

  it('one far above it is refused before it is sent, and by the server from a client that sends it all the same', async () => {
    const client = Meritorder.over(acme, 'acme');
    const huge = { model: 'auto', messages: [{ role: 'user', content: 'x'.repeat(100_000) }] } as const;
    await expect(client.ask({ ...huge, messages: [...huge.messages] })).rejects.toMatchObject({
      code: 'body_too_large',
    });
    const careless = await product.app('acme');
    (careless.info as { max_payload: number }).max_payload = 1 << 20;
    careless.publish('inference.request.v1.acme', 'x'.repeat(100_000));
    const errors: string[] = [];
    for await (const status of careless.status()) {
      if (status.type === 'error') errors.push(status.error.message);
      if (status.type === 'reconnect') break;
    }
    expect(errors.join()).toMatch(/maximum payload/i);
    await careless.close();
  });
});

describe('subscriptions and connections', () => {
  it('the server closes neither the org nor its neighbours, but refuses one more', async () => {
    const app = await product.app('acme');
    const refused: string[] = [];
    void (async () => {
      for await (const status of app.status()) if (status.type === 'error') refused.push(status.error.message);
    })();
    for (let i = 0; i < 12; i++) app.subscribe(`_INBOX_acme.many.${i}`, { callback: () => {} });
    await waitFor(() => refused.some((r) => /maximum subscriptions exceeded/.test(r)), 'the refusal');
    const third = connect({
      servers: product.stack.nats.url,
      ...product.stack.credentials('org-acme'),
      reconnect: false,
      timeout: 2_000,
    });
    await expect(third).rejects.toThrow();
    await app.close();
    expect(errorCode(await ask(acme, chat('still here')))).toBe('');
  });
});

describe('requests', () => {
  it('an org above its requests a minute, over all routers, is told when to come again; the next org is not', async () => {
    const globex = await product.app('globex');
    const answers = await Promise.all(Array.from({ length: 12 }, () => ask(globex, chat('hello'), { org: 'globex' })));
    const refused = answers.filter((a) => errorCode(a) === 'org_rate');
    // A tenth of the quota at once; a slow machine lets a second or two pass meanwhile.
    expect(answers.length - refused.length).toBeGreaterThanOrEqual(6);
    expect(refused.length).toBeGreaterThan(0);
    const { error } = refused[0]!.json<any>();
    expect(error).toMatchObject({ type: 'rate_limit_error', code: 'org_rate' });
    expect(error.message).toContain('The org globex is limited to 60 requests a minute');
    expect(error.retry_after_seconds).toBeGreaterThanOrEqual(1);
    expect(errorCode(await ask(await product.app('free'), chat('hello'), { org: 'free' }))).toBe('');
    await waitFor(async () => errorCode(await ask(globex, chat('again'), { org: 'globex' })) === '', 'room again');
  });

  it('what one router has in flight for an org is bounded, and the place is free again at the end', async () => {
    const initech = await product.app('initech');
    const body = chat('slowly', { model: 'slow' });
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(initech, body, { org: 'initech' })));
    const codes = answers.map(errorCode);
    expect(codes.filter((c) => c === '').length).toBeGreaterThanOrEqual(2);
    // Two routers.
    expect(codes.filter((c) => c === '').length).toBeLessThanOrEqual(4);
    expect(codes.filter((c) => c !== '')).toEqual(codes.filter((c) => c !== '').map(() => 'org_in_flight'));
    await waitFor(async () => errorCode(await ask(initech, body, { org: 'initech' })) === '', 'a free place');
  });
});
