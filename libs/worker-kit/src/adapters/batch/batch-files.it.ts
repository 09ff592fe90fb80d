import { describe, expect, it } from 'vitest';
import { provider } from './batch-provider.for-tests.js';
import { MistralBatches } from './mistral-batches.js';
import { OpenAiBatches } from './openai-batches.js';

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

describe('the file that calls came in', () => {
  const azure = (status: string) => ({
    'DELETE /openai/v1/files/': { deleted: true },
    'GET /openai/v1/batches/b-1': { id: 'b-1', status, input_file_id: 'f/1', output_file_id: '', error_file_id: null },
  });
  const mistral = (status: string) => ({
    'DELETE /v1/files/': { deleted: true },
    'GET /v1/batch/jobs/j-1': { id: 'j-1', status, input_files: ['f/1', 'f/2'], output_file: '', errors: [] },
  });
  const deletions = (asked: { line: string }[]) => asked.map(({ line }) => line).filter((l) => l.startsWith('DELETE'));

  it.each(['completed', 'failed', 'expired', 'cancelled'])('is deleted when a batch of Azure is %s', async (status) => {
    const { asked, account } = await provider('/openai/v1', 'azure', azure(status));
    expect(await new OpenAiBatches().ends(account, 'b-1')).toMatchObject({ of: new Map() });
    expect(deletions(asked)).toEqual(['DELETE /openai/v1/files/f%2F1']);
  });

  it('is deleted when a job of Mistral has ended, each of them', async () => {
    const { asked, account } = await provider('/v1', 'openai', mistral('SUCCESS'));
    expect(await new MistralBatches().ends(account, 'j-1')).toMatchObject({ of: new Map() });
    expect(deletions(asked)).toEqual(['DELETE /v1/files/f%2F1', 'DELETE /v1/files/f%2F2']);
  });

  it('stays while the batch runs, and where it is of OpenAI', async () => {
    const running = await provider('/openai/v1', 'azure', azure('in_progress'));
    expect(await new OpenAiBatches().ends(running.account, 'b-1')).toBeUndefined();
    const job = await provider('/v1', 'openai', mistral('RUNNING'));
    expect(await new MistralBatches().ends(job.account, 'j-1')).toBeUndefined();
    const openai = await provider('/openai/v1', 'openai', azure('completed'));
    await new OpenAiBatches().ends(openai.account, 'b-1');
    expect([running, job, openai].flatMap(({ asked }) => deletions(asked))).toEqual([]);
  });

  it('changes nothing of how the batch ended where it cannot be deleted', async () => {
    const { 'DELETE /openai/v1/files/': _deleted, ...refused } = azure('cancelled');
    const { asked, account } = await provider('/openai/v1', 'azure', refused);
    expect(await new OpenAiBatches().ends(account, 'b-1')).toEqual({
      of: new Map(),
      others: { notRun: 'the batch was cancelled' },
    });
    expect(deletions(asked)).toHaveLength(1);
  });
});
