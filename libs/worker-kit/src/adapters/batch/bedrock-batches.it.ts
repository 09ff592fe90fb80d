import { describe, expect, it } from 'vitest';
import type { BatchAccount } from '../../application/batch/batch-ports.js';
import { BedrockBatches } from './bedrock-batches.js';
import { provider as anyProvider } from './batch-provider.for-tests.js';

const api = new BedrockBatches();
const CALLS = ['a-1', 'a-2'].map((id) => ({ id, path: '/model/m/converse', body: { messages: [] } }));
const SOUGHT = { name: 'mine', sentAtMs: 0, ids: new Set<string>() };
const ARN = 'arn:aws:bedrock:eu-west-1:123456789012:model-invocation-job/abcdefghijkl';
const JOB = '/control/model-invocation-job';

/** Of jobs below /control, and with buckets below /s3. */
async function provider(answers: Record<string, object | string>, bedrock: object = {}) {
  const { asked, account, url } = await anyProvider('', 'bedrock', answers);
  const { backend } = account;
  const places = { input: 's3://calls/in', output: 's3://answers', roleArn: 'arn:aws:iam::123456789012:role/Batches' };
  const batch = {
    ...backend.batch,
    bedrock: {
      ...places,
      minRecords: 2,
      format: 'converse',
      controlUrl: `${url}/control`,
      s3Url: `${url}/s3`,
      ...bedrock,
    },
  };
  const accessKey = { id: 'AKID', secret: 'secret', sessionToken: 'session' };
  const credential = { id: 'main', baseUrl: url, region: 'eu-west-1', accessKey };
  return { asked, account: { backend: { ...backend, batch }, credential } as BatchAccount };
}
const takes = { 'PUT /s3/calls/in/mine.jsonl': '', [`POST ${JOB}`]: { jobArn: ARN } };

it('is sent a file into a bucket, and a job of the same name and token that reads it, each signed', async () => {
  const { asked, account } = await provider(takes);
  expect(await api.submit(account, 'mine', CALLS)).toBe(ARN);
  const [file, job] = asked;
  expect(file!.line).toBe('PUT /s3/calls/in/mine.jsonl');
  expect(file!.body.split('\n').map((line) => JSON.parse(line))).toEqual([
    { recordId: 'a-1', modelInput: { messages: [] } },
    { recordId: 'a-2', modelInput: { messages: [] } },
  ]);
  expect(JSON.parse(job!.body)).toEqual({
    jobName: 'mine',
    clientRequestToken: 'mine',
    modelId: 'le',
    modelInvocationType: 'Converse',
    roleArn: 'arn:aws:iam::123456789012:role/Batches',
    inputDataConfig: { s3InputDataConfig: { s3Uri: 's3://calls/in/mine.jsonl', s3InputFormat: 'JSONL' } },
    outputDataConfig: { s3OutputDataConfig: { s3Uri: 's3://answers/' } },
    timeoutDurationInHours: 25,
  });
  for (const [call, service] of [
    [file!, 's3'],
    [job!, 'bedrock'],
  ] as const) {
    expect(call.headers.authorization).toMatch(
      new RegExp(
        `^AWS4-HMAC-SHA256 Credential=AKID/\\d{8}/eu-west-1/${service}/aws4_request, SignedHeaders=[^ ]*host;`,
      ),
    );
    expect(call.headers['x-amz-content-sha256']).toMatch(/^[0-9a-f]{64}$/);
    expect(call.headers['x-amz-security-token']).toBe('session');
  }
});

it("models of Anthropic are sent messages, with Bedrock's version of them and without what the job says", async () => {
  const { asked, account } = await provider(takes, { format: 'messages', minRecords: 1 });
  await api.submit(account, 'mine', [{ id: 'a-1', path: '/messages', body: { model: 'le', max_tokens: 5 } }]);
  const [file, job] = asked;
  expect(JSON.parse(file!.body)).toEqual({
    recordId: 'a-1',
    modelInput: { anthropic_version: 'bedrock-2023-05-31', max_tokens: 5 },
  });
  expect(JSON.parse(job!.body)).toMatchObject({ modelInvocationType: 'InvokeModel' });
});

it('is not asked for a job that is smaller than it takes, nor for one without its file', async () => {
  const small = await provider(takes, { minRecords: 3 });
  await expect(api.submit(small.account, 'mine', CALLS)).rejects.toMatchObject({
    message: '2 calls, and Bedrock takes no fewer than 3',
    details: { sent: false, retryable: false },
  });
  const { asked, account } = await provider({ [`POST ${JOB}`]: { jobArn: ARN } });
  await expect(api.submit(account, 'mine', CALLS)).rejects.toMatchObject({ details: { refusedUpstream: true } });
  expect([small.asked, asked.map(({ line }) => line)]).toEqual([[], ['PUT /s3/calls/in/mine.jsonl']]);
});

it('may have taken a job of which it says nothing that can be read', async () => {
  const { account } = await provider({ ...takes, [`POST ${JOB}`]: {} });
  const error = { code: 'protocol', details: { sent: true, refusedUpstream: false } };
  await expect(api.submit(account, 'mine', CALLS)).rejects.toMatchObject(error);
});

it('is asked for the job of a name, page by page, and to stop one', async () => {
  const { asked, account } = await provider({
    'GET /control/model-invocation-jobs?maxResults=100&nameContains=mine&nextToken=n%2F1': {
      invocationJobSummaries: [{ jobArn: ARN, jobName: 'mine' }],
    },
    'GET /control/model-invocation-jobs?maxResults=100&nameContains=mine': {
      invocationJobSummaries: [{ jobArn: 'arn/other', jobName: 'mine-too' }],
      nextToken: 'n/1',
    },
    'GET /control/model-invocation-jobs?maxResults=100&nameContains=other': {},
    [`POST ${JOB}/abcdefghijkl/stop`]: '',
  });
  expect(await api.find(account, SOUGHT)).toEqual({ providerId: ARN });
  expect(await api.find(account, { ...SOUGHT, name: 'other' })).toBeUndefined();
  await api.cancel(account, ARN);
  expect(asked.at(-1)!.line).toBe(`POST ${JOB}/abcdefghijkl/stop`);
});

it('without an access key nothing is asked', async () => {
  const { asked, account } = await provider(takes);
  const { accessKey: _accessKey, ...credential } = account.credential;
  const error = { code: 'credential', details: { sent: false } };
  await expect(api.ends({ ...account, credential }, ARN)).rejects.toMatchObject(error);
  expect(asked).toEqual([]);
});

describe('a job that has ended', () => {
  const FILE = [
    '{"recordId":"a-2","modelInput":{},"error":{"errorCode":400,"errorMessage":"it was too long"}}',
    '{"modelInput":{},"modelOutput":{"output":{}},"recordId":"a-1"}',
  ].join('\n');
  const OF = new Map<string, object>([
    ['a-1', { reply: { status: 200, body: '{"output":{}}' } }],
    ['a-2', { notRun: '400: it was too long' }],
  ]);
  const ended = async (job: object, file: string | undefined = FILE) => {
    const { account } = await provider(
      {
        [`GET ${JOB}/abcdefghijkl`]: {
          // What it was told, which may not be configured any more.
          inputDataConfig: { s3InputDataConfig: { s3Uri: 's3://calls/before/mine.jsonl' } },
          outputDataConfig: { s3OutputDataConfig: { s3Uri: 's3://told/out/' } },
          ...job,
        },
        ...(file === '' ? {} : { 'GET /s3/told/out/abcdefghijkl/mine.jsonl.out': file }),
      },
      { output: 's3://elsewhere' },
    );
    return api.ends(account, ARN);
  };

  it.each([
    ['all that it answered', 'Completed', 1, OF, 'completed'],
    ['what it had time for', 'PartiallyCompleted', 1, OF, 'partiallycompleted'],
    ['what it had answered when it was stopped', 'Stopped', 1, OF, 'stopped'],
    ['fewer than it answered', 'Completed', 2, OF, undefined],
    ['no counts', 'Stopped', undefined, OF, undefined],
    ['nothing run, and no file', 'Failed', 0, new Map(), 'failed'],
    ['neither counts nor a file', 'Failed', undefined, new Map(), undefined],
    ['nothing begun, and no counts', 'Expired', undefined, new Map(), 'expired'],
  ])('with %s: of the rest it is known only then that it was not run', async (_what, status, count, of, as) => {
    const others = as && { notRun: `the job ended as ${as}: why` };
    const counts = count === undefined ? {} : { successRecordCount: count };
    expect(await ended({ status, ...counts, message: 'why' }, of.size === 0 ? '' : FILE)).toEqual({ of, others });
  });

  it.each([
    ['is submitted', { status: 'Submitted', successRecordCount: 0 }, FILE],
    ['runs', { status: 'InProgress', successRecordCount: 1 }, FILE],
    ['is being stopped', { status: 'Stopping' }, FILE],
    ['has completed, with its file still to come', { status: 'Completed' }, ''],
    ['was stopped, with its file still to come', { status: 'Stopped', successRecordCount: 1 }, ''],
  ])('has not, where it %s', async (_what, job, file) => {
    expect(await ended(job, file)).toBeUndefined();
  });

  it('with a record that tells neither an answer nor an error cannot be read', async () => {
    const error = { code: 'protocol', details: { refusedUpstream: false } };
    await expect(ended({ status: 'Completed' }, '{"recordId":"a-1"}')).rejects.toMatchObject(error);
  });
});

it('buckets and jobs are at the hosts of their region where nothing else is configured', async () => {
  const { account } = await provider(takes, { controlUrl: undefined, s3Url: undefined });
  const asked: string[] = [];
  const { fetch } = globalThis;
  globalThis.fetch = (async (url: string) => {
    asked.push(url);
    return Response.json({ jobArn: ARN });
  }) as typeof fetch;
  try {
    await api.submit(account, 'mine', CALLS);
  } finally {
    globalThis.fetch = fetch;
  }
  expect(asked).toEqual([
    'https://calls.s3.eu-west-1.amazonaws.com/in/mine.jsonl',
    'https://bedrock.eu-west-1.amazonaws.com/model-invocation-job',
  ]);
});
