import Anthropic from '@anthropic-ai/sdk';
import OpenAI, { toFile } from 'openai';
import { describe, expect, it, vi } from 'vitest';
import { CHAT, chat, post, simulate } from '../for-tests.js';

type Simulator = Awaited<ReturnType<typeof simulate>>;
const openAi = ({ url }: Simulator) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
const PRICES = { input: '1', output: '2' };

async function submit(client: OpenAI, texts: string[]) {
  const lines = texts.map((text, i) =>
    JSON.stringify({ custom_id: `line-${i}`, method: 'POST', url: '/v1/chat/completions', body: chat(text) }),
  );
  const file = await client.files.create({
    purpose: 'batch',
    file: await toFile(Buffer.from(lines.join('\n')), 'in.jsonl'),
  });
  return client.batches.create({
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    input_file_id: file.id,
    metadata: { name: 'mine' },
  });
}
const linesOf = async (client: OpenAI, file: string | null | undefined): Promise<any[]> =>
  file
    ? (await (await client.files.content(file)).text())
        .trim()
        .split('\n')
        .map((l) => JSON.parse(l))
    : [];

describe("OpenAI's official client", () => {
  it('has its batch answered when the gate opens, charged at half the price under its own ids', async () => {
    const simulator = await simulate({ prices: PRICES });
    const client = openAi(simulator);
    simulator.control.gate('m', true);
    const { id, status } = await submit(client, ['Write 3 words.', 'Write 5 words.']);
    expect(status).toBe('in_progress');
    expect((await client.batches.list()).data).toMatchObject([{ id, metadata: { name: 'mine' } }]);
    expect(simulator.invoice().lines).toEqual([]);
    simulator.control.gate('m', false);
    await vi.waitFor(async () => expect((await client.batches.retrieve(id)).status).toBe('completed'));
    const batch = await client.batches.retrieve(id);
    const lines = await linesOf(client, batch.output_file_id);
    expect(lines.map((l) => [l.custom_id, l.response.status_code, l.response.body.usage.completion_tokens])).toEqual([
      ['line-0', 200, 3],
      ['line-1', 200, 5],
    ]);
    await post(simulator, CHAT, chat('Write 3 words.')).then((answer) => answer.text());
    await post(simulator, CHAT, chat('Write 3 words.')).then((answer) => answer.text());
    expect(new Set(simulator.invoice().lines.map((l) => l.callId)).size).toBe(4);
    const [first] = simulator.invoice().lines;
    expect(first).toMatchObject({ clientRequestId: 'line-0', callId: lines[0].response.body.id });
    expect(Number(first!.nanoUsd)).toBe((first!.inputTokens * 1_000 + 3 * 2_000) / 2);
  });

  it('finds what failed and what expired in the error file, and neither on the invoice', async () => {
    const failing = await simulate({ prices: PRICES, errorRate: 1, errorStatuses: [500] });
    const client = openAi(failing);
    const { id } = await submit(client, ['Write 3 words.']);
    await vi.waitFor(async () => expect((await client.batches.retrieve(id)).status).toBe('completed'));
    const [failed] = await linesOf(client, (await client.batches.retrieve(id)).error_file_id);
    expect(failed.response.status_code).toBe(500);
    const late = await simulate({ prices: PRICES, batchExpireRate: 1 });
    const other = openAi(late);
    const expiring = await submit(other, ['Write 3 words.']);
    await vi.waitFor(async () => expect((await other.batches.retrieve(expiring.id)).status).toBe('expired'));
    const [expired] = await linesOf(other, (await other.batches.retrieve(expiring.id)).error_file_id);
    expect(expired).toMatchObject({ custom_id: 'line-0', response: null, error: { code: 'batch_expired' } });
    expect([...failing.invoice().lines, ...late.invoice().lines]).toEqual([]);
  });
});

it("Gemini's batches come in a file by key and are answered in one, at half the price; what was not run is in none", async () => {
  const simulator = await simulate({ prices: PRICES }, { apiKeys: ['google-key'] });
  const key = { 'x-goog-api-key': 'google-key' };
  const at = (path: string): string => `${simulator.url}${path}`;
  const get = async (path: string): Promise<any> => (await fetch(at(path), { headers: key })).json();
  const batch = async (): Promise<string> => {
    const command = (what: string) => ({ method: 'POST', headers: { ...key, 'x-goog-upload-command': what } });
    const start = await fetch(at('/upload/v1beta/files'), command('start'));
    const lines = ['Write 3 words.', 'Write 5 words.'].map((text, i) =>
      JSON.stringify({ key: `line-${i}`, request: { contents: [{ role: 'user', parts: [{ text }] }] } }),
    );
    const body = lines.join('\n');
    const sent = await fetch(start.headers.get('x-goog-upload-url')!, { ...command('upload, finalize'), body });
    const { file } = (await sent.json()) as any;
    const create = { batch: { displayName: 'mine', inputConfig: { fileName: file.name } } };
    const path = at('/v1beta/models/m:batchGenerateContent');
    const taken = await fetch(path, { method: 'POST', headers: key, body: JSON.stringify(create) });
    return ((await taken.json()) as any).name;
  };
  const ended = (name: string, state: string): Promise<any> =>
    vi.waitFor(async () => {
      const operation = await get(`/v1beta/${name}`);
      expect(operation).toMatchObject({ done: true, metadata: { state: `BATCH_STATE_${state}` } });
      return operation;
    });

  const { metadata, response } = await ended(await batch(), 'SUCCEEDED');
  expect(metadata).toMatchObject({
    displayName: 'mine',
    batchStats: { requestCount: '2', successfulRequestCount: '2' },
  });
  const text = await (await fetch(at(`/download/v1beta/${response.responsesFile}:download`), { headers: key })).text();
  expect(
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toMatchObject([
    { key: 'line-0', response: { usageMetadata: { candidatesTokenCount: 3 } } },
    { key: 'line-1', response: { usageMetadata: { candidatesTokenCount: 5 } } },
  ]);
  const [charged] = simulator.invoice().lines;
  expect(charged!.clientRequestId).toBe('line-0');
  expect(Number(charged!.nanoUsd)).toBe((charged!.inputTokens * 1_000 + 3 * 2_000) / 2);

  simulator.control.gate('m', true);
  const name = await batch();
  const page = await get('/v1beta/batches?pageSize=1');
  expect(page.operations).toMatchObject([{ name, metadata: { state: 'BATCH_STATE_RUNNING' } }]);
  expect((await get(`/v1beta/batches?pageSize=1&pageToken=${page.nextPageToken}`)).operations).toHaveLength(1);
  await fetch(at(`/v1beta/${name}:cancel`), { method: 'POST', headers: key });
  const cancelled = await ended(name, 'CANCELLED');
  expect(cancelled.metadata.batchStats).toEqual({ requestCount: '2' });
  expect(cancelled).not.toHaveProperty('response');
  expect(simulator.invoice().lines).toHaveLength(2);
  expect((await fetch(at('/v1beta/batches'))).status).toBe(401);
});

it('the file of a batch can be deleted, after which it is none; Azure has no embeddings in batches', async () => {
  const simulator = await simulate({ prices: PRICES });
  const client = openAi(simulator);
  const { id, input_file_id: file } = await submit(client, ['Write 3 words.']);
  await vi.waitFor(async () => expect((await client.batches.retrieve(id)).status).toBe('completed'));
  await client.files.delete(file);
  await expect(client.files.retrieve(file)).rejects.toThrow(OpenAI.NotFoundError);
  const batch = { input_file_id: file, endpoint: '/embeddings', completion_window: '24h' };
  const refused = await post(simulator, '/v1/batches', batch);
  expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('cannot be asked in batches')]);
});

it('a batch whose answer is cut is processed and charged all the same, and in the list', async () => {
  const simulator = await simulate({ prices: PRICES, batchCutRate: 1 });
  const client = openAi(simulator);
  await expect(submit(client, ['Write 3 words.'])).rejects.toThrow(OpenAI.APIConnectionError);
  await vi.waitFor(() => expect(simulator.invoice().lines).toHaveLength(1));
  expect((await client.batches.list()).data).toMatchObject([{ status: 'completed', metadata: { name: 'mine' } }]);
});

describe('a batch that is cancelled while it waits ends with what was run, and only that is on the invoice', () => {
  const lines = ['Write 3 words.', 'Write 5 words.'];

  it("by OpenAI's official client: the others are in no file", async () => {
    const simulator = await simulate({ prices: PRICES });
    const client = openAi(simulator);
    simulator.control.gate('m', true);
    const { id } = await submit(client, lines);
    expect((await client.batches.cancel(id)).status).toBe('cancelling');
    await vi.waitFor(async () => expect((await client.batches.retrieve(id)).status).toBe('cancelled'));
    const { output_file_id: output, error_file_id: errors } = await client.batches.retrieve(id);
    expect([output, errors, simulator.invoice().lines]).toEqual([null, null, []]);
    await expect(client.batches.cancel(id)).rejects.toThrow(OpenAI.BadRequestError);
  });

  it("by Anthropic's official client: the others are told as cancelled", async () => {
    const simulator = await simulate({ prices: PRICES });
    const client = new Anthropic({ baseURL: simulator.url, apiKey: 'any', maxRetries: 0 });
    simulator.control.gate('m', true);
    const requests = lines.map((content, i) => ({
      custom_id: `line-${i}`,
      params: { model: 'm', max_tokens: 50, messages: [{ role: 'user' as const, content }] },
    }));
    const { id } = await client.messages.batches.create({ requests });
    await client.messages.batches.cancel(id);
    await vi.waitFor(async () =>
      expect(await client.messages.batches.retrieve(id)).toMatchObject({
        processing_status: 'ended',
        request_counts: { canceled: 2, succeeded: 0 },
      }),
    );
    expect(await (await fetch(`${simulator.url}/v1/messages/batches/${id}/results`)).text()).toContain('"canceled"');
    expect(simulator.invoice().lines).toEqual([]);
  });
});

it("Anthropic's official client pages through its batches, the newest first, and sees no ids of requests before they end", async () => {
  const simulator = await simulate({ prices: PRICES });
  const client = new Anthropic({ baseURL: simulator.url, apiKey: 'any', maxRetries: 0 });
  const params = { model: 'm', max_tokens: 50, messages: [{ role: 'user' as const, content: 'Write 4 words.' }] };
  const ids: string[] = [];
  for (const custom_id of ['one', 'two', 'three'])
    ids.unshift((await client.messages.batches.create({ requests: [{ custom_id, params }] })).id);
  await submit(openAi(simulator), ['Write 3 words.']);
  const listed: string[] = [];
  for await (const batch of client.messages.batches.list({ limit: 1 })) {
    listed.push(batch.id);
    expect(JSON.stringify(batch)).not.toContain('custom_id');
  }
  expect(listed).toEqual(ids);
});

it("Anthropic's official client has its batch answered, charged at the prices of batches", async () => {
  const simulator = await simulate({ prices: PRICES, batchPrices: { input: '0.25', output: '1' } });
  const client = new Anthropic({ baseURL: simulator.url, apiKey: 'any', maxRetries: 0 });
  const params = { model: 'm', max_tokens: 50, messages: [{ role: 'user' as const, content: 'Write 4 words.' }] };
  const { id } = await client.messages.batches.create({ requests: [{ custom_id: 'one', params }] });
  await vi.waitFor(async () => expect((await client.messages.batches.retrieve(id)).processing_status).toBe('ended'));
  const response = await fetch(`${simulator.url}/v1/messages/batches/${id}/results`);
  const [line] = (await response.text())
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l));
  expect(line).toMatchObject({
    custom_id: 'one',
    result: { type: 'succeeded', message: { usage: { output_tokens: 4, service_tier: 'batch' } } },
  });
  const [charged] = simulator.invoice().lines;
  expect(Number(charged!.nanoUsd)).toBe(charged!.inputTokens * 250 + 4 * 1_000);
});
