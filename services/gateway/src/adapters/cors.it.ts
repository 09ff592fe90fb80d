import { afterEach, describe, expect, it } from 'vitest';
import { KEY, RECEIPT, send, startWorld, type Heard, type World } from './gateway-world.for-tests.js';

const PAGE = 'https://app.example.com';
const BODY = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'x' }] });

let world: World;
afterEach(() => world?.stop());

/** As a browser asks before it lets the script of a page send its request. */
const preflight = (origin: string, path = '/v1/chat/completions'): Promise<Heard> =>
  send(world, {
    path,
    method: 'OPTIONS',
    headers: {
      authorization: '',
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,x-stainless-retry-count,x-evil',
    },
  });
const list = (header: string | undefined): string[] => header!.split(', ');

describe('a web page that the configuration names', () => {
  it('may send what SDKs send, and no other header', async () => {
    world = await startWorld({ corsOrigins: ['http://localhost:3000', PAGE] });
    const { status, headers } = await preflight(PAGE);
    expect(status).toBe(204);
    expect(headers).toMatchObject({
      'access-control-allow-origin': PAGE,
      'access-control-allow-methods': 'POST, OPTIONS',
      'access-control-max-age': '7200',
      vary: 'origin, access-control-request-headers',
    });
    expect(list(headers['access-control-allow-headers'])).toEqual(
      expect.arrayContaining(['authorization', 'content-type', 'x-api-key', 'anthropic-version', 'idempotency-key']),
    );
    expect(list(headers['access-control-allow-headers'])).toContain('x-stainless-retry-count');
    expect(list(headers['access-control-allow-headers'])).not.toContain('x-evil');
    expect(headers['access-control-allow-credentials']).toBeUndefined();
    expect((await preflight(PAGE, '/v1/models')).headers['access-control-allow-methods']).toBe('GET, HEAD, OPTIONS');
  });

  it('reads every answer, with all that its headers say', async () => {
    world = await startWorld({ corsOrigins: [PAGE] });
    world.answer((a) => a.finish({ id: 'x', meritorder: RECEIPT }));
    const headers = { origin: PAGE };
    const answered = await send(world, { body: BODY, headers });
    world.answer((a) => a.refuse({ code: 'budget_exhausted', message: 'm', retryAfterSeconds: 86_400 }));
    const refused = await send(world, { body: BODY, headers });
    world.answer((a) => {
      a.chunk({ choices: [{ index: 0, delta: { content: 'a' }, finish_reason: null }] });
      a.finish({ id: 'x', choices: [], meritorder: RECEIPT });
    });
    const streamed = await send(world, { body: BODY.replace('{', '{"stream":true,'), headers });
    const keyless = await send(world, { body: BODY, headers: { ...headers, authorization: '' } });
    const lost = await send(world, { path: '/v2/chat', headers });
    const models = await send(world, { path: '/v1/models', method: 'GET', headers });
    const all = [answered, refused, streamed, keyless, lost, models];
    expect(all.map((heard) => heard.status)).toEqual([200, 402, 200, 401, 404, 200]);
    for (const heard of all) {
      expect(heard.headers).toMatchObject({ 'access-control-allow-origin': PAGE, vary: 'origin' });
      const exposed = list(heard.headers['access-control-expose-headers']);
      for (const name of Object.keys(heard.headers))
        // Buffering is a matter between the gateway and a proxy.
        if (/^x-(?!accel-)|^anthropic-|^request-id|^retry-/.test(name)) expect(exposed).toContain(name);
    }
    expect(Object.keys(answered.headers)).toContain('x-meritorder-cost-usd');
    expect(Object.keys(refused.headers)).toContain('retry-after-ms');
  });

  it('is let in with its key alone: any other page, and whoever is none, hears nothing of it', async () => {
    world = await startWorld({ corsOrigins: [PAGE] });
    world.answer((a) => a.finish({ id: 'x', meritorder: RECEIPT }));
    for (const origin of [`${PAGE}.evil.com`, 'http://app.example.com', 'null']) {
      const { status, headers } = await preflight(origin);
      expect(status).toBe(204);
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
      expect(headers.vary).toBe('origin');
      const answer = await send(world, { body: BODY, headers: { origin } });
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
    const plain = await send(world, { body: BODY });
    expect(plain).toMatchObject({ status: 200, headers: { vary: 'origin' } });
    expect(plain.headers['access-control-allow-origin']).toBeUndefined();
  });
});

it('all pages may ask where the configuration says *', async () => {
  world = await startWorld({ corsOrigins: ['*'] });
  expect((await preflight('https://any.example')).headers['access-control-allow-origin']).toBe('*');
  const models = await send(world, {
    path: '/v1/models',
    method: 'GET',
    headers: { origin: 'https://any.example', authorization: `Bearer ${KEY}` },
  });
  expect(models).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': '*' } });
});
