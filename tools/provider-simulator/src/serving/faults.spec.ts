import { describe, expect, it } from 'vitest';
import { CHAT, chat, eventually, post, postJson, readUntil, simulate } from '../for-tests.js';

const statsOf = (simulator: Awaited<ReturnType<typeof simulate>>) => simulator.control.stats().models['m']!;

describe('faults', () => {
  it('come at about their rate, the same for the same seed, and are not charged', async () => {
    const run = async (seed: number): Promise<number[]> => {
      const simulator = await simulate({ errorRate: 0.3 }, { seed });
      const statuses: number[] = [];
      for (let call = 0; call < 200; call++) statuses.push((await post(simulator, CHAT, chat('Write 1 word.'))).status);
      const errors = statuses.filter((status) => status !== 200).length;
      expect(errors).toBeGreaterThan(35);
      expect(errors).toBeLessThan(85);
      expect(new Set(statuses)).toEqual(new Set([200, 500, 503, 529]));
      expect(simulator.invoice().lines).toHaveLength(200 - errors);
      return statuses;
    };
    const first = await run(1);
    expect(await run(1)).toEqual(first);
    expect(await run(2)).not.toEqual(first);
  });

  it('above the rate limit there is 429 with the time to wait', async () => {
    const simulator = await simulate({ rateLimit: 2 });
    const answers = [];
    for (let call = 0; call < 3; call++) answers.push(await postJson(simulator, CHAT, chat('Write 1 word.')));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
    expect(answers[0]!.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    expect(answers[2]!.body.error).toMatchObject({ type: 'requests', code: 'rate_limit_exceeded' });
    const seconds = Number(answers[2]!.headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(50);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(simulator.invoice().lines).toHaveLength(2);
  });

  it('above its concurrency a model rejects, or makes wait, as configured', async () => {
    const simulator = await simulate({ maxConcurrency: 1, overload: 'reject' });
    simulator.control.gate('m', true);
    const first = postJson(simulator, CHAT, chat('Write 1 word.'));
    await eventually(() => statsOf(simulator).held === 1);
    expect((await postJson(simulator, CHAT, chat('Write 1 word.'))).status).toBe(429);
    simulator.control.faults('m', { overload: 'queue', maxQueue: 1 });
    const second = postJson(simulator, CHAT, chat('Write 1 word.'));
    await eventually(() => statsOf(simulator).waiting === 1);
    expect((await postJson(simulator, CHAT, chat('Write 1 word.'))).status).toBe(429);
    simulator.control.gate('m', false);
    expect([(await first).status, (await second).status]).toEqual([200, 200]);
    expect(statsOf(simulator)).toMatchObject({ running: 0, waiting: 0, refused: { 429: 2 } });
  });

  it('who leaves the line frees it and is not charged', async () => {
    const simulator = await simulate({ maxConcurrency: 1 });
    simulator.control.gate('m', true);
    const first = postJson(simulator, CHAT, chat('Write 1 word.'));
    await eventually(() => statsOf(simulator).held === 1);
    const leaving = new AbortController();
    const second = post(simulator, CHAT, chat('Write 1 word.'), { signal: leaving.signal });
    await eventually(() => statsOf(simulator).waiting === 1);
    leaving.abort();
    await expect(second).rejects.toThrow();
    await eventually(() => statsOf(simulator).abandoned === 1);
    simulator.control.gate('m', false);
    await first;
    expect(statsOf(simulator)).toMatchObject({ received: 2, completed: 1, abandoned: 1, running: 0, waiting: 0 });
    expect(simulator.invoice().lines).toHaveLength(1);
  });

  it('a hanging call gets no answer and is not charged', async () => {
    const simulator = await simulate({ hangRate: 1 });
    const leaving = new AbortController();
    const answer = post(simulator, CHAT, chat('Write 1 word.'), { signal: leaving.signal });
    await eventually(() => statsOf(simulator).hanging === 1);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await eventually(() => statsOf(simulator).abandoned === 1);
    expect(statsOf(simulator)).toMatchObject({ hanging: 0, running: 0 });
    expect(simulator.invoice().lines).toEqual([]);
  });

  it('a stalled stream falls silent; what it said is charged when the client gives up', async () => {
    const simulator = await simulate({ stallStreamRate: 1 });
    const leaving = new AbortController();
    const response = await post(simulator, CHAT, chat('Write 90 words.', { stream: true }), { signal: leaving.signal });
    await readUntil(response, '"delta":{"content"');
    await eventually(() => statsOf(simulator).hanging === 1);
    expect(simulator.invoice().lines).toEqual([]);
    leaving.abort();
    await eventually(() => simulator.invoice().lines.length === 1);
    const [line] = simulator.invoice().lines;
    expect(line).toMatchObject({ outcome: 'cancelled' });
    expect(line!.outputTokens).toBe(statsOf(simulator).generatedTokens);
    expect(line!.outputTokens).toBeLessThan(90);
  });

  it('a configured speed is kept, and the time scale divides it', async () => {
    const simulator = await simulate(
      { inputTokensPerSecond: 100, outputTokensPerSecond: 100, firstTokenMs: 1_000, wordsPerChunk: 1 },
      { timeScale: 20 },
    );
    const began = performance.now();
    await postJson(simulator, CHAT, chat('Write 101 words.')); // (1,000 + 100 reading + 1,000 writing) / 20 ms
    const tookMs = performance.now() - began;
    expect(tookMs).toBeGreaterThanOrEqual(104);
    const streamBegan = performance.now();
    const response = await post(simulator, CHAT, chat('Write 101 words.', { stream: true }));
    await readUntil(response, '"delta":{"content"');
    expect(performance.now() - streamBegan).toBeGreaterThanOrEqual(54);
    await readUntil(response, '[DONE]');
    expect(performance.now() - streamBegan).toBeGreaterThanOrEqual(104);
  });
});
