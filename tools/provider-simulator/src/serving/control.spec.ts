import { describe, expect, it } from 'vitest';
import { CHAT, chat, eventually, post, postJson, readUntil, simulate } from '../for-tests.js';

describe('POST /control/gate', () => {
  it('holds every answer of a model until it is opened, and no other model', async () => {
    const simulator = await simulate({}, { models: { free: { prices: { input: '1', output: '1' } } } });
    const closed = await postJson(simulator, '/control/gate', { model: 'm', closed: true });
    expect(closed.body.models.m.gateClosed).toBe(true);
    let answered = 0;
    const held = [true, false, true].map(async (stream) => {
      const response = await post(simulator, CHAT, chat('Write 3 words.', { stream }));
      answered++;
      await response.text();
      return response.status;
    });
    await eventually(() => simulator.control.stats().models['m']!.held === 3);
    expect((await postJson(simulator, CHAT, chat('Write 3 words.', { model: 'free' }))).status).toBe(200);
    expect([answered, simulator.invoice().lines.length]).toEqual([0, 1]);
    await postJson(simulator, '/control/gate', { model: '*', closed: false });
    expect(await Promise.all(held)).toEqual([200, 200, 200]);
    expect(simulator.invoice().lines).toHaveLength(4);
  });

  it('charges nothing to whoever leaves before it opens', async () => {
    const simulator = await simulate();
    simulator.control.gate('m', true);
    const leaving = new AbortController();
    const answer = post(simulator, CHAT, chat('Write 3 words.'), { signal: leaving.signal });
    await eventually(() => simulator.control.stats().models['m']!.held === 1);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await eventually(() => simulator.control.stats().models['m']!.held === 0);
    simulator.control.gate('m', false);
    expect(simulator.invoice().lines).toEqual([]);
  });

  it('lets a held simulator stop', async () => {
    const simulator = await simulate();
    simulator.control.gate('m', true);
    const answer = post(simulator, CHAT, chat('Write 3 words.'));
    await eventually(() => simulator.control.stats().models['m']!.held === 1);
    await Promise.all([simulator.stop(), expect(answer).rejects.toThrow()]);
    expect(simulator.invoice().lines).toEqual([]);
  });
});

describe('POST /control/faults', () => {
  it('changes what it names and nothing else', async () => {
    const simulator = await simulate({ latencyJitter: 0.1, errorStatuses: [503] });
    const { body } = await postJson(simulator, '/control/faults', { model: 'm', errorRate: 1 });
    expect(body.m).toMatchObject({ errorRate: 1, latencyJitter: 0.1, errorStatuses: [503] });
    expect((await postJson(simulator, CHAT, chat('Write 1 word.'))).status).toBe(503);
    simulator.control.faults('*', { errorRate: 0 });
    expect((await postJson(simulator, CHAT, chat('Write 1 word.'))).status).toBe(200);
  });

  it.each([
    [{ model: 'x' }],
    [{ model: 'm', errorRate: 2 }],
    [{ model: 'm', prices: {} }],
    [{ errorRate: 1 }],
    ['nonsense'],
  ])('refuses %j', async (change) => {
    expect((await postJson(await simulate(), '/control/faults', change)).status).toBe(400);
  });
});

describe('GET /control/stats', () => {
  it('counts every call in and out', async () => {
    const simulator = await simulate();
    await postJson(simulator, CHAT, chat('Write 3 words.'));
    simulator.control.faults('m', { errorRate: 1 });
    await postJson(simulator, CHAT, chat('Write 3 words.'));
    await postJson(simulator, CHAT, chat('Write 3 words.', { model: 'x' }));
    const stats = await (await fetch(`${simulator.url}/control/stats`)).json();
    expect(stats).toEqual(simulator.control.stats());
    expect(stats).toMatchObject({ refused: { 404: 1 }, invoiceLines: 1 });
    const model = simulator.control.stats().models['m']!;
    const refused = Object.values(model.refused).reduce((sum, count) => sum + count, 0);
    expect([model.received, model.completed, refused]).toEqual([2, 1, 1]);
  });
});

describe('as an engine', () => {
  it('is healthy and exports the load of its models', async () => {
    const simulator = await simulate({ maxConcurrency: 1, kvCacheTokens: 100, outputTokensPerSecond: 10 });
    expect((await fetch(`${simulator.url}/health`)).status).toBe(200);
    const leaving = new AbortController();
    const response = await post(simulator, CHAT, chat('Write 900 words.', { stream: true }), {
      signal: leaving.signal,
    });
    await readUntil(response, '"delta":{"content"');
    const waiting = post(simulator, CHAT, chat('Write 900 words.'), { signal: leaving.signal }).catch(() => undefined);
    await eventually(() => simulator.control.stats().models['m']!.waiting === 1);
    const metrics = await (await fetch(`${simulator.url}/metrics`)).text();
    const value = (name: string): number =>
      Number(new RegExp(`^${name}\\{model_name="m"\\} (.*)$`, 'm').exec(metrics)?.[1]);
    expect(value('vllm:num_requests_running')).toBe(1);
    expect(value('vllm:num_requests_waiting')).toBe(1);
    expect(value('vllm:prompt_tokens_total')).toBe(10);
    expect(value('vllm:generation_tokens_total')).toBeGreaterThan(0);
    expect(value('vllm:gpu_cache_usage_perc')).toBeGreaterThan(0.1);
    expect(value('vllm:gpu_cache_usage_perc')).toBeLessThan(0.5);
    leaving.abort();
    await waiting;
    await eventually(() => simulator.control.stats().models['m']!.running === 0);
    expect(await (await fetch(`${simulator.url}/metrics`)).text()).toContain(
      'gpu_cache_usage_perc{model_name="m"} 0\n',
    );
  });

  it('answers 404 in an error body to what it does not serve', async () => {
    const { url } = await simulate();
    const response = await fetch(`${url}/v1/audio/speech`, { method: 'POST', body: '{}' });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
  });
});
