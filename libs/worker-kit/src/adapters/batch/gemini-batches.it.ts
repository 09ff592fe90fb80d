import { expect, it } from 'vitest';
import { provider } from './batch-provider.for-tests.js';
import { GeminiBatches } from './gemini-batches.js';

const api = new GeminiBatches();
const CALLS = ['a-1', 'a-2'].map((id) => ({ id, path: '/models/le:generateContent', body: { contents: [] } }));
const SOUGHT = { name: 'mine', sentAtMs: 0, ids: new Set<string>() };

it('is sent a file in two steps, without its key where the file goes, and a batch that names it', async () => {
  const answers: Record<string, object> = {
    'POST /there?id=1': { file: { name: 'files/f' } },
    'POST /v1beta/models/le:batchGenerateContent': { name: 'batches/b' },
  };
  const { asked, account, url } = await provider('/v1beta', 'gemini', answers);
  answers['POST /upload/v1beta/files'] = { headers: { 'x-goog-upload-url': `${url}/there?id=1` } };
  expect(await api.submit(account, 'mine', CALLS)).toBe('batches/b');
  const [start, file, batch] = asked;
  expect(start!.headers).toMatchObject({
    'x-goog-api-key': 'key',
    'x-goog-upload-protocol': 'resumable',
    'x-goog-upload-command': 'start',
    'x-goog-upload-header-content-length': `${file!.body.length}`,
  });
  expect(file!.body.split('\n').map((line) => JSON.parse(line))).toEqual([
    { key: 'a-1', request: { contents: [] } },
    { key: 'a-2', request: { contents: [] } },
  ]);
  expect(file!.headers).toMatchObject({ 'x-goog-upload-command': 'upload, finalize', 'x-goog-upload-offset': '0' });
  expect(file!.headers).not.toHaveProperty('x-goog-api-key');
  expect(JSON.parse(batch!.body)).toEqual({ batch: { displayName: 'mine', inputConfig: { fileName: 'files/f' } } });
});

it('has its files beside the version, whatever path is before that; without a file there is no batch', async () => {
  const { asked, account } = await provider('/google/v1beta', 'gemini', { 'POST /google/upload/v1beta/files': {} });
  const error = { code: 'protocol', details: { refusedUpstream: true } };
  await expect(api.submit(account, 'mine', CALLS)).rejects.toMatchObject(error);
  expect(asked).toHaveLength(1);
});

it('may have taken a batch of which it says nothing that can be read', async () => {
  const answers: Record<string, object> = {
    'POST /there': { file: { name: 'files/f' } },
    'POST /v1beta/models/le:batchGenerateContent': {},
  };
  const { account, url } = await provider('/v1beta', 'gemini', answers);
  answers['POST /upload/v1beta/files'] = { headers: { 'x-goog-upload-url': `${url}/there` } };
  const error = { code: 'protocol', details: { sent: true, refusedUpstream: false } };
  await expect(api.submit(account, 'mine', CALLS)).rejects.toMatchObject(error);
});

it('is asked for the batch of a name, page by page, and to cancel one', async () => {
  const { asked, account } = await provider('/v1beta', 'gemini', {
    'GET /v1beta/batches?pageSize=100&pageToken=n%2F1': {
      operations: [{ name: 'batches/b', metadata: { displayName: 'mine' } }],
    },
    'GET /v1beta/batches?pageSize=100': { operations: [{ name: 'batches/a' }], nextPageToken: 'n/1' },
    'POST /v1beta/batches/b:cancel': {},
  });
  expect(await api.find(account, SOUGHT)).toEqual({ providerId: 'batches/b' });
  expect(await api.find(account, { ...SOUGHT, name: 'other' })).toBeUndefined();
  await api.cancel(account, 'batches/b');
  expect(asked.at(-1)!.line).toBe('POST /v1beta/batches/b:cancel');
  const none = await provider('/v1beta', 'gemini', { 'GET /v1beta/batches?': {} });
  expect(await api.find(none.account, SOUGHT)).toBeUndefined();
});

const FILE = [
  '{"key":"a-2","error":{"code":3,"message":"it was too long"}}',
  '{"key":"a-1","response":{"candidates":[]}}',
].join('\n');
const OF = new Map<string, object>([
  ['a-1', { reply: { status: 200, body: '{"candidates":[]}' } }],
  ['a-2', { notRun: '3: it was too long' }],
]);
const output = { responsesFile: 'files/out' };
const counts = (answered?: string) => ({
  batchStats: { requestCount: '3', ...(answered ? { successfulRequestCount: answered } : {}) },
});
const ended = async (batch: object) => {
  const { account } = await provider('/v1beta', 'gemini', {
    'GET /v1beta/batches/b': { name: 'batches/b', ...batch },
    'GET /download/v1beta/files/out:download?alt=media': FILE,
  });
  return api.ends(account, 'batches/b');
};

it.each([
  ['all that it answered', 'BATCH_STATE_SUCCEEDED', { ...counts('1'), output }, OF, 'succeeded'],
  ['the state by its other name', 'JOB_STATE_SUCCEEDED', { ...counts('1'), output }, OF, 'succeeded'],
  ['fewer than it answered', 'BATCH_STATE_SUCCEEDED', { ...counts('2'), output }, OF, undefined],
  ['nothing run', 'BATCH_STATE_CANCELLED', counts(), new Map(), 'cancelled'],
  ['some run that it has no file of', 'BATCH_STATE_EXPIRED', counts('1'), new Map(), undefined],
  ['no counts', 'BATCH_STATE_FAILED', {}, new Map(), undefined],
])(
  'has ended with %s: of the rest it is known only then that it was not run',
  async (_what, state, metadata, of, as) => {
    const others = as && { notRun: `the batch ended as ${as}: {}` };
    expect(await ended({ metadata: { state, ...metadata } })).toEqual({ of, others });
  },
);

it('tells its file in the response alone too, and why it failed', async () => {
  const metadata = { state: 'BATCH_STATE_SUCCEEDED', ...counts('1') };
  expect(await ended({ metadata, response: output })).toMatchObject({ of: OF });
  const failed = { metadata: { state: 'BATCH_STATE_FAILED', ...counts() }, error: { code: 3 } };
  expect(await ended(failed)).toMatchObject({ others: { notRun: 'the batch ended as failed: {"code":3}' } });
});

it.each([
  ['is pending', { state: 'BATCH_STATE_PENDING' }],
  ['runs', { state: 'BATCH_STATE_RUNNING', ...counts('1') }],
  ['has a state that nobody knows', { state: 'BATCH_STATE_PAUSED' }],
  ['has succeeded, with its answers still to come', { state: 'BATCH_STATE_SUCCEEDED', ...counts('1') }],
])('has not ended where it %s', async (_what, metadata) => {
  expect(await ended({ metadata })).toBeUndefined();
});
