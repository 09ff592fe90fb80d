import { afterEach } from 'vitest';
import { startSimulator, type Simulator, type SimulatorConfig } from './index.js';

type ModelConfigInput = SimulatorConfig['models'][string];

/** Prices of which every token kind leaves its own digits in the total. */
export const PRICES = { input: '1', cachedInput: '0.1', cacheWrite: '1.25', output: '10', perRequest: '0.000001' };

const running: Simulator[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((simulator) => simulator.stop()));
});

/** A simulator of one model "m" that is stopped after the test. */
export async function simulate(
  model: Partial<ModelConfigInput> = {},
  rest: Partial<SimulatorConfig> = {},
): Promise<Simulator> {
  const simulator = await startSimulator({ ...rest, models: { m: { prices: PRICES, ...model }, ...rest.models } });
  running.push(simulator);
  return simulator;
}

export interface PostOptions {
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export function post(simulator: Simulator, path: string, body: unknown, options: PostOptions = {}): Promise<Response> {
  return fetch(simulator.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...options.headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(options.signal ? { signal: options.signal } : {}),
  });
}

/** A chat request to "m". */
export function chat(content: string, more: object = {}): Record<string, unknown> {
  return { model: 'm', messages: [{ role: 'user', content }], ...more };
}

/** What a JSON body holds; each test says what it expects of it. */
export type Json = any;

export async function postJson(
  simulator: Simulator,
  path: string,
  body: unknown,
  options?: PostOptions,
): Promise<{ status: number; headers: Headers; body: Json }> {
  const response = await post(simulator, path, body, options);
  return { status: response.status, headers: response.headers, body: await response.json() };
}

export const CHAT = '/v1/chat/completions';
export const MESSAGES = '/v1/messages';

export interface ServerEvent {
  event: string | undefined;
  data: Json;
}

/** Every event of a stream ("[DONE]" as text). Rejects when the stream is broken off. */
export async function readEvents(response: Response): Promise<ServerEvent[]> {
  return (await response.text())
    .split('\n\n')
    .filter((block) => block.includes('data: '))
    .map((block) => {
      const data = /^data: (.*)$/m.exec(block)![1]!;
      return { event: /^event: (.*)$/m.exec(block)?.[1], data: data === '[DONE]' ? data : JSON.parse(data) };
    });
}

/** Reads until the text so far contains `until`; the rest can be read later. */
export async function readUntil(response: Response, until: string): Promise<string> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = '';
  while (!text.includes(until)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return text;
}

/** Polls until `ready` is true. */
export async function eventually(ready: () => boolean, deadlineMs = 5_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!ready()) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${ready.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
