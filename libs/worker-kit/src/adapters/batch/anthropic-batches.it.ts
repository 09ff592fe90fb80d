import { expect, it } from 'vitest';
import type { BatchAccount } from '../../application/batch/batch-ports.js';
import { backendOf, serve } from '../provider-world.for-tests.js';
import { plain, type RawRequest } from '../raw-server.for-tests.js';
import { AnthropicBatches } from './anthropic-batches.js';

const api = new AnthropicBatches();
const CREATED = '2026-11-24T09:30:00.123456Z';
const SOUGHT = { name: 'b', sentAtMs: Date.parse(CREATED), ids: new Set(['a1', 'a2']) };
const COUNTS = { processing: 0, succeeded: 2, errored: 0, canceled: 0, expired: 0 };
const BATCH = { id: 'msgbatch_1', created_at: CREATED, processing_status: 'ended', request_counts: COUNTS };
const LIST = { data: [BATCH], has_more: false, last_id: 'msgbatch_1' };
const succeeded = (id: string) => ({ custom_id: id, result: { type: 'succeeded', message: { id: `msg_${id}` } } });

/** An account at a provider that gives these answers by what its path ends with; a list of objects is one of lines. */
async function accountWith(answers: Record<string, object>): Promise<BatchAccount> {
  const answerOf = ({ path }: RawRequest): string => {
    const answer = answers[path.split('?')[0]!.split('/').at(-1)!];
    return Array.isArray(answer) ? answer.map((line) => JSON.stringify(line)).join('\n') : JSON.stringify(answer);
  };
  const server = await serve((request, socket) => socket.end(plain(200, answerOf(request))));
  const backend = backendOf(`provider: anthropic, baseUrl: "${server.url}"`);
  return { backend, credential: { id: 'c', baseUrl: server.url, apiKey: 'k' } };
}
const without = (object: object, field: string): object =>
  Object.fromEntries(Object.entries(object).filter(([name]) => name !== field));

it('finds a batch of its size and time by its first result, whatever else the provider counts', async () => {
  const counted = { ...BATCH, request_counts: { ...COUNTS, total: 2 } };
  const account = await accountWith({ batches: { ...LIST, data: [counted] }, results: [succeeded('a2')] });
  expect(await api.find(account, SOUGHT)).toEqual({ providerId: 'msgbatch_1' });
});

it('is none of ours where its results are of others, or there are none', async () => {
  for (const results of [[succeeded('other')], []])
    expect(await api.find(await accountWith({ batches: LIST, results }), SOUGHT)).toBeUndefined();
});

it('tells how each call ended: what did not succeed was not run, whatever it is called', async () => {
  const ended = (custom_id: string, result: object) => ({ custom_id, result });
  const invalid = { type: 'error', error: { type: 'invalid_request_error', message: 'no' } };
  const account = await accountWith({
    msgbatch_1: BATCH,
    results: [
      succeeded('a1'),
      ended('a2', { type: 'errored', error: invalid }),
      ended('a3', { type: 'expired' }),
      ended('a4', { type: 'paused', error: 'odd' }),
    ],
  });
  expect(await api.ends(account, 'msgbatch_1')).toEqual({
    of: new Map<string, unknown>([
      ['a1', { reply: { status: 200, body: '{"id":"msg_a1"}' } }],
      ['a2', { notRun: 'errored: invalid_request_error: no' }],
      ['a3', { notRun: 'expired' }],
      ['a4', { notRun: 'paused' }],
    ]),
    others: undefined,
  });
});

it.each<[string, Record<string, object>, (account: BatchAccount) => Promise<unknown>, RegExp]>([
  [
    'a batch without counts',
    { batches: { ...LIST, data: [BATCH, without(BATCH, 'request_counts')] } },
    (account) => api.find(account, SOUGHT),
    /^the list of batches cannot be read: data\.1\.request_counts: /,
  ],
  [
    'a count that is none',
    { batches: { ...LIST, data: [{ ...BATCH, request_counts: { ...COUNTS, expired: '0' } }] } },
    (account) => api.find(account, SOUGHT),
    /^the list of batches cannot be read: data\.0\.request_counts\.expired: /,
  ],
  [
    'a time that is none',
    { batches: { ...LIST, data: [{ ...BATCH, created_at: 'yesterday' }] } },
    (account) => api.find(account, SOUGHT),
    /^the list of batches cannot be read: data\.0\.created_at: /,
  ],
  [
    'a list without batches',
    { batches: without(LIST, 'data') },
    (account) => api.find(account, SOUGHT),
    /^the list of batches cannot be read: data: /,
  ],
  [
    'a list that does not say whether it goes on',
    { batches: without(LIST, 'has_more') },
    (account) => api.find(account, SOUGHT),
    /^the list of batches cannot be read: has_more: /,
  ],
  [
    'a list that goes on after nobody knows what',
    { batches: { ...LIST, data: [], has_more: true, last_id: null } },
    (account) => api.find(account, SOUGHT),
    /^the list of batches cannot be read: last_id: there is more/,
  ],
  [
    'a first result that is nobody',
    { batches: LIST, results: [{ result: {} }] },
    (account) => api.find(account, SOUGHT),
    /^result 1 of a batch cannot be read: custom_id: /,
  ],
  [
    'a batch without a status',
    { msgbatch_1: without(BATCH, 'processing_status') },
    (account) => api.ends(account, 'msgbatch_1'),
    /^a batch cannot be read: processing_status: /,
  ],
  [
    'a result without a result',
    { msgbatch_1: BATCH, results: [succeeded('a1'), { custom_id: 'a2' }] },
    (account) => api.ends(account, 'msgbatch_1'),
    /^result 2 of a batch cannot be read: result: /,
  ],
  [
    'a success without its message',
    { msgbatch_1: BATCH, results: [{ custom_id: 'a1', result: { type: 'succeeded' } }] },
    (account) => api.ends(account, 'msgbatch_1'),
    /^result 1 of a batch cannot be read: result\.message: succeeded without one$/,
  ],
  [
    'a batch that was taken without an id',
    { batches: { type: 'message_batch' } },
    (account) => api.submit(account, 'b', [{ id: 'a1', path: '/messages', body: {} }]),
    /^a batch that was taken cannot be read: id: /,
  ],
])(
  '%s is a failure of the protocol that says what is missing, and asked for again',
  async (_name, answers, run, reason) => {
    await expect(run(await accountWith(answers))).rejects.toMatchObject({
      name: 'UpstreamError',
      code: 'protocol',
      message: expect.stringMatching(reason),
      details: { retryable: true, sent: true, refusedUpstream: false },
    });
  },
);
