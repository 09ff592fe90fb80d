import { describe, expect, it, vi } from 'vitest';
import { simulate, type Json } from '../for-tests.js';

type Simulator = Awaited<ReturnType<typeof simulate>>;
const PRICES = { input: '1', output: '2' };
const JOBS = '/model-invocation-job';

function signed(simulator: Simulator, method: string, path: string, body?: unknown): Promise<Response> {
  const service = path.startsWith('/s3/') ? 's3' : 'bedrock';
  return fetch(simulator.url + path, {
    method,
    headers: {
      authorization: `AWS4-HMAC-SHA256 Credential=ID/20261124/eu-west-1/${service}/aws4_request, SignedHeaders=host, Signature=0`,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}
const json = async (reply: Promise<Response>): Promise<Json> => (await reply).json();

const converse = (words: number, more: object = {}) => ({
  messages: [{ role: 'user', content: [{ text: `Write ${words} words.` }] }],
  ...more,
});

/** @returns the id of its job */
async function submit(simulator: Simulator, inputs: object[], more: object = {}): Promise<string> {
  const records = inputs.map((modelInput, i) => JSON.stringify({ recordId: `r-${i}`, modelInput })).join('\n');
  expect((await signed(simulator, 'PUT', '/s3/calls/in/mine.jsonl', records)).status).toBe(200);
  const { jobArn } = await json(
    signed(simulator, 'POST', JOBS, {
      jobName: 'mine',
      clientRequestToken: 'mine',
      modelId: 'm',
      roleArn: 'arn:aws:iam::123456789012:role/Batches',
      modelInvocationType: 'Converse',
      inputDataConfig: { s3InputDataConfig: { s3Uri: 's3://calls/in/mine.jsonl' } },
      outputDataConfig: { s3OutputDataConfig: { s3Uri: 's3://answers/' } },
      ...more,
    }),
  );
  return jobArn.split('/')[1];
}

/** The job as it ended, and its records by id; none: there is no file. */
async function ended(simulator: Simulator, id: string): Promise<{ job: Json; records: Json }> {
  const job = await vi.waitFor(async () => {
    const now = await json(signed(simulator, 'GET', `${JOBS}/${id}`));
    expect(now.status).not.toMatch(/InProgress|Stopping/);
    return now;
  });
  const file = await signed(simulator, 'GET', `/s3/answers/${id}/mine.jsonl.out`);
  const lines = file.ok ? (await file.text()).trim().split('\n') : [];
  return { job, records: Object.fromEntries(lines.map((l) => JSON.parse(l)).map((r) => [r.recordId, r])) };
}

it('a job reads its records from a bucket and writes them with their answers, each at half the price', async () => {
  const simulator = await simulate({ prices: PRICES });
  const { job, records } = await ended(simulator, await submit(simulator, [converse(3), converse(5)]));
  expect(job).toMatchObject({ jobName: 'mine', status: 'Completed', totalRecordCount: 2, successRecordCount: 2 });
  expect([records['r-0'], records['r-1']]).toMatchObject([
    { modelInput: converse(3), modelOutput: { usage: { outputTokens: 3 }, stopReason: 'end_turn' } },
    { modelOutput: { usage: { outputTokens: 5 } } },
  ]);
  const { lines } = simulator.invoice();
  expect(lines.map((l) => [l.clientRequestId, l.outputTokens])).toEqual([
    ['r-0', 3],
    ['r-1', 5],
  ]);
  for (const line of lines)
    expect(Number(line.nanoUsd)).toBe((line.inputTokens * 1_000 + line.outputTokens * 2_000) / 2);
});

it('asked for again by the same token it is the same job, and it is listed by its name', async () => {
  const simulator = await simulate({ prices: PRICES });
  const id = await submit(simulator, [converse(3)]);
  expect(await submit(simulator, [converse(3)])).toBe(id);
  const named = (name: string) => json(signed(simulator, 'GET', `/model-invocation-jobs?nameContains=${name}`));
  expect((await named('min')).invocationJobSummaries).toMatchObject([{ jobName: 'mine' }]);
  expect(await named('other')).toEqual({ invocationJobSummaries: [] });
  await ended(simulator, id);
  expect(simulator.invoice().lines).toHaveLength(1);
});

it('models of Anthropic are asked in messages of its version, tools too, which Converse may not have in batches', async () => {
  const simulator = await simulate({ prices: PRICES });
  const messages = { max_tokens: 9, tools: [{ name: 't' }], messages: [{ role: 'user', content: 'Write 3 words.' }] };
  const version = { anthropic_version: 'bedrock-2023-05-31' };
  const inputs = [{ ...version, ...messages }, messages, { ...version, ...messages, model: 'm' }];
  const invoked = await ended(simulator, await submit(simulator, inputs, { modelInvocationType: 'InvokeModel' }));
  expect(invoked.records).toMatchObject({
    'r-0': { modelOutput: { type: 'message', usage: { output_tokens: 3 } } },
    'r-1': { error: { errorCode: 400 } },
    'r-2': { error: { errorCode: 400 } },
  });
  const tools = { toolConfig: { tools: [] } };
  const id = await submit(simulator, [converse(3, tools)], { clientRequestToken: 'other' });
  expect(await ended(simulator, id)).toMatchObject({
    job: { status: 'Completed', errorRecordCount: 1, successRecordCount: 0 },
    records: { 'r-0': { error: { errorCode: 400 } } },
  });
  expect(simulator.invoice().lines).toHaveLength(1);
});

describe('costs nothing where', () => {
  it('it has fewer records than the model takes: it fails, and is never run', async () => {
    const simulator = await simulate({ prices: PRICES, batchMinRecords: 2 });
    expect(await ended(simulator, await submit(simulator, [converse(3)]))).toMatchObject({
      job: { status: 'Failed', message: expect.stringContaining('minimum 2'), successRecordCount: 0 },
      records: {},
    });
    expect(simulator.invoice().lines).toEqual([]);
  });

  it('it was stopped before, or its time was over', async () => {
    const simulator = await simulate({ prices: PRICES });
    simulator.control.gate('m', true);
    const id = await submit(simulator, [converse(3)]);
    expect((await signed(simulator, 'POST', `${JOBS}/${id}/stop`)).status).toBe(200);
    expect(await ended(simulator, id)).toMatchObject({ job: { status: 'Stopped' }, records: {} });
    expect((await signed(simulator, 'POST', `${JOBS}/${id}/stop`)).status).toBe(400);
    simulator.control.gate('m', false);
    simulator.control.faults('m', { batchExpireRate: 1 });
    const late = await submit(simulator, [converse(3)], { clientRequestToken: 'other' });
    expect(await ended(simulator, late)).toMatchObject({ job: { status: 'Expired' }, records: {} });
    expect(simulator.invoice().lines).toEqual([]);
  });
});

it('what is not signed for the service, or is not there, is refused in the words of the service', async () => {
  const simulator = await simulate({ prices: PRICES });
  expect((await fetch(`${simulator.url}/s3/calls/in/mine.jsonl`, { method: 'PUT', body: '' })).status).toBe(403);
  const missing = await signed(simulator, 'GET', '/s3/calls/in/mine.jsonl');
  expect([missing.status, await missing.text()]).toEqual([404, expect.stringContaining('NoSuchKey')]);
  const job = await signed(simulator, 'GET', `${JOBS}/abcdefghijkl`);
  expect([job.status, await job.json()]).toMatchObject([404, { __type: 'ResourceNotFoundException' }]);
});
