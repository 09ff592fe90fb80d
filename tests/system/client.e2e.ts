import { createServer } from 'node:net';
import { Meritorder, MeritorderError, type OrgEvent } from '@meritorder/client';
import { waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProduct, type Product } from './harness.js';

let product: Product;
let client: Meritorder;
const say = (text: string, more: object = {}) => ({
  model: 'auto',
  messages: [{ role: 'user' as const, content: text }],
  max_tokens: 100,
  ...more,
});

beforeAll(async () => {
  product = await startProduct({
    backends: [
      { id: 'quick' },
      { id: 'slow', behaviour: { outputTokensPerSecond: 40, wordsPerChunk: 1 } },
      { id: 'cutting', behaviour: { cutStreamRate: 1 } },
    ],
    config: {
      routes: [{ id: 'auto', backends: ['quick'] }],
      budgets: [{ id: 'small', selector: { org: 'globex' }, window: 'month', limitUsd: '0.0004', thresholds: [0.1] }],
    },
  });
  client = Meritorder.over(await product.app(), 'acme');
});
afterAll(() => product?.stop());

describe('the client', () => {
  it('connects as an org by itself, and says so when it cannot', async () => {
    const { nats } = product.stack;
    const own = await Meritorder.connect({ servers: nats.url, org: 'acme', ...product.stack.credentials('org-acme') });
    const answer = await own.ask(say('hello'));
    expect(answer.choices[0]!.message.content).toBeTruthy();
    await own.close();
    const nobody = createServer().listen(0, '127.0.0.1');
    await new Promise((r) => nobody.once('listening', r));
    const { port } = nobody.address() as { port: number };
    await new Promise((r) => nobody.close(r));
    await expect(Meritorder.connect({ servers: `127.0.0.1:${port}`, org: 'acme', reconnect: false })).rejects.toThrow();
  });

  it('asks, and the answer has its receipt', async () => {
    const answer = await client.ask(say('What is a merit order?'));
    expect(answer.choices[0]!.message.content).toBeTruthy();
    expect(answer.meritorder).toMatchObject({ backend: 'quick', cost: { basis: 'confirmed' } });
  });

  it('streams chunk by chunk, and has the receipt at the end', async () => {
    const stream = client.stream(say('tell me more'));
    expect(() => stream.receipt).toThrow(/no receipt yet/);
    let chunks = 0;
    for await (const chunk of stream) chunks += chunk.choices.length;
    expect(chunks).toBeGreaterThan(2);
    expect(stream.receipt).toMatchObject({ request_id: stream.requestId, backend: 'quick' });
    expect(await client.stream(say('and again')).text()).not.toBe('');
  });

  it('raises refusals with their stable code and status', async () => {
    const refused = await client.ask(say('x', { model: 'none-such' })).catch((e: unknown) => e);
    expect(refused).toBeInstanceOf(MeritorderError);
    expect(refused).toMatchObject({ code: 'route_unknown', status: 404 });
    await expect(client.stream(say('x', { model: 'none-such' })).text()).rejects.toMatchObject({
      code: 'route_unknown',
    });
    const keyed = Meritorder.over(await product.app(), 'acme', 'not-a-key');
    await expect(keyed.ask(say('x'))).rejects.toMatchObject({ code: 'key_invalid' });
  });

  it('a stream that its backend cuts ends with an error', async () => {
    await expect(client.stream(say('a long story', { model: 'cutting' })).text()).rejects.toMatchObject({
      code: 'stream_cut',
    });
  });

  it.each(['leaves the loop', 'aborts'])('a reader that %s has the call stopped upstream', async (how) => {
    const lines = () => product.simulator.invoice().lines.filter((l) => l.model === 'slow');
    const before = lines().length;
    const abort = new AbortController();
    const stream = client.stream(say('a very long story', { model: 'slow' }), { signal: abort.signal });
    const read = (async () => {
      for await (const _chunk of stream) {
        if (how === 'aborts') abort.abort(new Error('enough'));
        else break;
      }
    })();
    if (how === 'aborts') await expect(read).rejects.toThrow('enough');
    else await read;
    await waitFor(() => lines().length > before, 'the simulator saw the call end');
    expect(lines().at(-1)!.outputTokens).toBeLessThan(100);
  });

  it('aborting a request that is not streamed cancels it upstream', async () => {
    const stats = () => product.simulator.control.stats().models['slow']!;
    const { cancelled } = stats();
    const abort = new AbortController();
    await waitFor(() => stats().running === 0, 'the one before to be over');
    const asked = client.ask(say('a very long story', { model: 'slow' }), { signal: abort.signal });
    await waitFor(() => stats().running === 1, 'it to run');
    abort.abort(new Error('enough'));
    await expect(asked).rejects.toThrow('enough');
    await waitFor(() => stats().cancelled === cancelled + 1, 'the backend to see it left');
  });

  it.each(['abort', 'close'])('%s stops the call upstream, also while nobody reads', async (how) => {
    const stats = () => product.simulator.control.stats().models['slow']!;
    await waitFor(() => stats().running === 0, 'the one before to be over');
    const { cancelled } = stats();
    const own = await Meritorder.connect({
      servers: product.stack.nats.url,
      org: 'acme',
      ...product.stack.credentials('org-acme'),
    });
    const abort = new AbortController();
    const stream = own.stream(say('a very long story', { model: 'slow' }), { signal: abort.signal });
    const asked = own.ask(say('a very long story', { model: 'slow' }), { signal: abort.signal });
    asked.catch(() => {});
    await waitFor(() => stats().running === 2, 'both to run');
    if (how === 'abort') abort.abort(new Error('enough'));
    else await own.close();
    await waitFor(() => stats().cancelled === cancelled + 2, 'the backend to see both left');
    for (const answer of [asked, stream.text()])
      await expect(answer).rejects.toMatchObject(how === 'abort' ? { message: 'enough' } : { code: 'closed' });
    if (how === 'abort') await own.close();
  });

  it('a subscription that is refused, and whoever throws when told of it, ends nobody else', async () => {
    const stranger = Meritorder.over(await product.app('globex'), 'acme');
    const told: unknown[] = [];
    const stop = stranger.subscribe('alerts', () => {}, {
      onError: async (error, event) => {
        told.push([error.name, event]);
        throw new Error('the logger broke');
      },
    });
    await waitFor(() => told.length > 0, 'it to be told');
    expect(told).toEqual([['PermissionViolationError', undefined]]);
    await stop();
    stranger.subscribe('alerts', () => {});
    await expect(client.ask(say('still here'))).resolves.toBeDefined();
  });

  it('what was aborted before is never sent', async () => {
    const lines = product.simulator.invoice().lines.length;
    const signal = AbortSignal.abort(new Error('too late'));
    expect(() => client.stream(say('x'), { signal })).toThrow('too late');
    await expect(client.ask(say('x'), { signal })).rejects.toThrow('too late');
    await client.ask(say('y'));
    await waitFor(() => product.simulator.invoice().lines.length === lines + 1, 'the one that was sent');
  });

  it('what cannot be sent says why: too large, or not of this org', async () => {
    const huge = say('x'.repeat(9_000_000));
    await expect(client.ask(huge)).rejects.toMatchObject({ code: 'body_too_large', status: 413 });
    expect(() => client.stream(huge)).toThrow(expect.objectContaining({ code: 'body_too_large' }));
    const stranger = Meritorder.over(await product.app('globex'), 'acme');
    await expect(stranger.ask(say('x'))).rejects.toMatchObject({ code: 'not_permitted' });
  });

  it('runs a durable job once per id, and its result is an event that waits for a reader', async () => {
    const job = await client.job(say('later'), 'job-1');
    expect(await client.job(say('later'), 'job-1')).toEqual({ requestId: job.requestId, duplicate: true });
    const seen: OrgEvent[] = [];
    let failures = 0;
    const stop = client.subscribe(
      'results',
      (event) => {
        seen.push(event);
        if (seen.length === 1) throw new Error('not yet');
      },
      { onError: () => failures++ },
    );
    await waitFor(() => seen.length >= 2, 'the result was delivered again');
    await stop();
    expect(failures).toBe(1);
    const [first, second] = seen;
    expect(second!.id).toBe(first!.id);
    expect(second).toMatchObject({ type: 'inference.result.v1', data: { requestId: job.requestId, status: 'ok' } });
  });

  it('reports what a request was worth, and once is enough', async () => {
    const { meritorder } = await client.ask(say('good?'));
    const outcome = { request_id: meritorder.request_id, kind: 'thumbs' as const, value: true };
    const first = await client.report(outcome);
    expect(['recorded', 'pending']).toContain(first.state);
    await waitFor(async () => (await client.report(outcome)).state === 'known', 'it is known');
    await expect(client.report({ ...outcome, kind: 'judge' })).rejects.toMatchObject({ code: 'body_invalid' });
  });

  it('receives budget events, typed', async () => {
    const globex = Meritorder.over(await product.app('globex'), 'globex');
    const crossed: number[] = [];
    const stop = globex.subscribe('alerts', (event) => {
      if (event.type === 'budget.threshold-crossed.v1' && event.data.budget === 'small')
        crossed.push(event.data.threshold);
    });
    await waitFor(async () => {
      const refused = await globex.ask(say('spend')).catch((e: MeritorderError) => e.code);
      return crossed.length > 0 || typeof refused === 'string' ? crossed.length > 0 : false;
    }, 'the threshold is crossed');
    await stop();
    expect(crossed).toEqual([0.1]);
  });
});
