import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BackendConfig } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import { afterEach, expect, it } from 'vitest';
import { EngineReader, HttpEngines } from './engine-watch.js';

const MODELS = JSON.stringify({ data: [{ id: 'm', owned_by: 'llamacpp' }] });
let server: Server;
let engines: HttpEngines;
afterEach(async () => {
  await engines.stop();
  server.closeAllConnections();
  await new Promise((r) => server.close(r));
});

/** An engine over HTTP; `status` is that of every path it knows. */
async function engine(state: { status: number; keys: (string | undefined)[] }): Promise<BackendConfig> {
  server = createServer((request, response) => {
    state.keys.push(request.headers.authorization);
    const known = request.url === '/v1/models';
    // llama.cpp without --metrics.
    response.writeHead(known ? state.status : request.url === '/metrics' ? 501 : 404).end(known ? MODELS : '');
  }).listen(0, '127.0.0.1');
  await new Promise((r) => server.once('listening', r));
  const { port } = server.address() as AddressInfo;
  return { id: 'b', model: 'm', baseUrl: `http://127.0.0.1:${port}/v1`, contextTokens: 1 } as BackendConfig;
}

it('an engine that still loads its model is not there; then it is, with its key, and one that is gone leaves', async () => {
  const state = { status: 503, keys: [] as (string | undefined)[] };
  const backend = await engine(state);
  engines = new HttpEngines([backend], () => 'secret');
  const told: string[] = [];
  engines.onChange((id) => told.push(`${id} ${engines.of(id).serves}`));
  await engines.start();
  expect(engines.of('b')).toEqual({ serves: false });
  state.status = 200;
  await waitFor(() => engines.of('b').serves, 'it to be there');
  expect(engines.of('b').report).toEqual({ engine: 'llama.cpp' });
  expect(new Set(state.keys)).toEqual(new Set(['Bearer secret']));
  server.closeAllConnections();
  server.close();
  await waitFor(() => !engines.of('b').serves, 'it to be gone');
  expect(told).toEqual(['b true', 'b false']);
});

it('a backend that is not watched is taken to be there', async () => {
  await engine({ status: 200, keys: [] });
  engines = new HttpEngines([], () => undefined);
  expect(engines.of('other')).toEqual({ serves: true });
});

it('Ollama is asked for a model by its name, with the key, below whatever path it is at', async () => {
  const asked: unknown[] = [];
  server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts).toString();
    asked.push([request.method, request.url, request.headers.authorization, body && JSON.parse(body)]);
    response.writeHead(request.url === '/llm/api/show' ? 200 : 404).end('{"parameters":"num_ctx 8192"}');
  }).listen(0, '127.0.0.1');
  await new Promise((r) => server.once('listening', r));
  const { port } = server.address() as AddressInfo;
  const reader = new EngineReader();
  engines = new HttpEngines([], () => undefined, reader);
  expect(await reader.show(`http://127.0.0.1:${port}/llm`, 'qwen3:32b', 'secret')).toContain('num_ctx');
  expect(await reader.show(`http://127.0.0.1:${port}`, 'qwen3:32b', undefined)).toBeUndefined();
  expect(asked).toEqual([
    ['POST', '/llm/api/show', 'Bearer secret', { model: 'qwen3:32b' }],
    ['POST', '/api/show', undefined, { model: 'qwen3:32b' }],
  ]);
});
