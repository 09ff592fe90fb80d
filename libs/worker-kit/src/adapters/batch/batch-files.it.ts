import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import type { BatchAccount } from '../../application/batch/batch-ports.js';
import { MistralBatches } from './mistral-batches.js';
import { OpenAiBatches } from './openai-batches.js';

interface Asked {
  line: string;
  headers: IncomingMessage['headers'];
  body: string;
}
let server: Server | undefined;
afterEach(() => void server?.close());

/** What a provider was asked, each answered by the first that fits. */
async function provider(path: string, protocol: string, answers: Record<string, object>) {
  const asked: Asked[] = [];
  server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const line = `${request.method} ${request.url}`;
    asked.push({ line, headers: request.headers, body: Buffer.concat(parts).toString() });
    const [, answer] = Object.entries(answers).find(([start]) => line.startsWith(start)) ?? [];
    response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(answer ?? {}));
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  const backend = { protocol, model: 'le', batch: { completionSeconds: 90_000 } };
  const account = { backend, credential: { id: 'main', baseUrl, apiKey: 'key' } } as BatchAccount;
  return { asked, account };
}
const CALLS = [{ id: 'a-1', path: '/chat/completions', body: { model: 'm' } }];

it('Azure: by its own header, below the resource of a dated deployment, once the file is processed', async () => {
  const base = '/openai/deployments/cheap?api-version=2025-04-01-preview';
  const { asked, account } = await provider(base, 'azure', {
    'POST /openai/files?': { id: 'f-1', status: 'pending' },
    'GET /openai/files/f-1?': { id: 'f-1', status: 'processed' },
    'POST /openai/batches?': { id: 'b-1' },
    'GET /openai/batches?': { data: [{ id: 'b-1', metadata: { meritorder_batch: 'mine' } }] },
  });
  expect(await new OpenAiBatches().submit(account, 'mine', CALLS)).toBe('b-1');
  expect(await new OpenAiBatches().find(account, { name: 'mine', sentAtMs: 0, ids: new Set() })).toEqual({
    providerId: 'b-1',
  });
  expect(asked.map(({ line }) => line)).toEqual([
    'POST /openai/files?api-version=2025-04-01-preview',
    'GET /openai/files/f-1?api-version=2025-04-01-preview',
    'POST /openai/batches?api-version=2025-04-01-preview',
    'GET /openai/batches?api-version=2025-04-01-preview&limit=100',
  ]);
  expect(asked.every(({ headers }) => headers['api-key'] === 'key' && headers.authorization === undefined)).toBe(true);
  expect(asked[0]!.body).toContain('"url":"/chat/completions"');
  expect(JSON.parse(asked[2]!.body)).toMatchObject({ input_file_id: 'f-1', endpoint: '/chat/completions' });
});

it('OpenAI: by a bearer, named with the version, and the file is not asked for again', async () => {
  const { asked, account } = await provider('/v1', 'openai', {
    'POST /v1/files': { id: 'f-1', status: 'processed' },
    'POST /v1/batches': { id: 'b-1' },
  });
  expect(await new OpenAiBatches().submit(account, 'mine', CALLS)).toBe('b-1');
  expect(asked.map(({ line }) => line)).toEqual(['POST /v1/files', 'POST /v1/batches']);
  expect(asked.every(({ headers }) => headers.authorization === 'Bearer key')).toBe(true);
  expect(JSON.parse(asked[1]!.body)).toMatchObject({ endpoint: '/v1/chat/completions' });
});

it('Mistral: its lines name neither model nor path, the job does, and how long it may take', async () => {
  const line = { custom_id: 'a-1', response: { status_code: 200, body: { id: 'c-1' } }, error: null };
  const { asked, account } = await provider('/v1', 'openai', {
    'POST /v1/files': { id: 'f-1' },
    'POST /v1/batch/jobs': { id: 'j-1' },
    'GET /v1/batch/jobs?': { data: [{ id: 'j-1', metadata: { meritorder_batch: 'mine' } }] },
    'GET /v1/batch/jobs/j-1': { id: 'j-1', status: 'CANCELLED', output_file: 'f-2', error_file: null, errors: [] },
    'GET /v1/files/f-2/content': line,
  });
  const batches = new MistralBatches();
  expect(await batches.submit(account, 'mine', CALLS)).toBe('j-1');
  expect(asked[0]!.body).toContain('{"custom_id":"a-1","body":{}}');
  expect(JSON.parse(asked[1]!.body)).toEqual({
    input_files: ['f-1'],
    endpoint: '/v1/chat/completions',
    model: 'le',
    metadata: { meritorder_batch: 'mine' },
    timeout_hours: 25,
  });
  expect(await batches.find(account, { name: 'mine', sentAtMs: 0, ids: new Set() })).toEqual({ providerId: 'j-1' });
  expect(await batches.ends(account, 'j-1')).toEqual({
    of: new Map([['a-1', { reply: { status: 200, body: '{"id":"c-1"}' } }]]),
    others: { notRun: 'the batch ended as cancelled: []' },
  });
});

it('Mistral: what was answered and is told in no file is not taken for what was not run', async () => {
  const { account } = await provider('/v1', 'openai', {
    'GET /v1/batch/jobs/j-1': { id: 'j-1', status: 'CANCELLED', output_file: null, errors: [], succeeded_requests: 1 },
  });
  expect(await new MistralBatches().ends(account, 'j-1')).toEqual({ of: new Map(), others: undefined });
});
