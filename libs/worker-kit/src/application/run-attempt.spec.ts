import { describe, expect, it } from 'vitest';
import {
  EXAMPLES,
  type BackendConfig,
  type ErrorCode,
  type RouterReply,
  type Usage,
  type UsageAttemptClosedV1,
  type WorkEvent,
  type WorkRequest,
} from '@meritorder/contracts';
import { ManualClock } from '@meritorder/kernel';
import { ReaderAway, UpstreamError, type Upstream, type UpstreamRequest } from './ports.js';
import { runAttempt } from './run-attempt.js';

const usage: Usage = {
  inputTokens: 10,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 2,
  requests: 1,
};
const { worker: _worker, openedAt: _openedAt, ...terms } = EXAMPLES.events['usage.attempt-opened.v1'];
const backend = { id: 'gpt-4-1-mini', model: 'gpt-4.1-mini' } as BackendConfig;

interface World {
  stream?: boolean;
  answer?: RouterReply | undefined;
  taken?: boolean;
  openedFails?: boolean;
  upstream?: (
    request: UpstreamRequest,
    abort: AbortController,
  ) => AsyncGenerator<string, void> | Promise<Record<string, unknown>>;
  readerLeavesAt?: number;
  nowMs?: number;
}

/** Runs one attempt in a world of in-memory ports; the log says what everybody heard, in order. */
async function attempt(
  world: World,
): Promise<{ log: string[]; closed: UsageAttemptClosedV1[]; sent: WorkEvent[]; finished: any[] }> {
  const log: string[] = [];
  const closed: UsageAttemptClosedV1[] = [];
  const sent: WorkEvent[] = [];
  const finished: any[] = [];
  const abort = new AbortController();
  const call = (request: UpstreamRequest): any => {
    log.push('upstream');
    return (world.upstream ?? (world.stream ? streams(3) : answers))(request, abort);
  };
  const upstream: Upstream = { complete: call, stream: call };
  const work: WorkRequest = {
    terms: terms as WorkRequest['terms'],
    body: {},
    stream: world.stream ?? false,
    includeUsage: false,
    replyTo: '_INBOX_acme.x',
    price: EXAMPLES.events['price.version-published.v1'].version,
    budgetsLeft: [],
    earlierAttempts: [],
    reason: 'because',
  };
  await runAttempt(
    work,
    backend,
    {
      clock: new ManualClock(world.nowMs ?? Date.parse(terms.reservedAt)),
      upstream,
      usageLog: {
        opened: async () => {
          log.push('recorded');
          if (world.openedFails) throw new Error('timeout');
        },
        closed: async (event) => void (closed.push(event), log.push(`closed ${event.outcome}`)),
      },
      router: {
        send: (event) => void (sent.push(event), log.push(event.type)),
        request: async (event) => {
          log.push(event.type);
          sent.push(event);
          if (event.type === 'opened') return 'answer' in world ? world.answer : { type: 'go' };
          return world.taken === false ? undefined : { type: 'taken' };
        },
      },
      caller: {
        chunk: (seq) => {
          log.push(`chunk ${seq}`);
          return seq === world.readerLeavesAt ? Promise.reject(new ReaderAway('nothing was acknowledged')) : undefined;
        },
        finish: (status, body) => void (finished.push(JSON.parse(body)), log.push(`answer ${status}`)),
        fail: (code: ErrorCode) => void log.push(`error ${code}`),
      },
      worker: 'w1',
      upstreamHeaders: {},
      every: () => () => {},
    },
    abort,
  );
  return { log, closed, sent, finished };
}

async function answers(request: UpstreamRequest): Promise<Record<string, unknown>> {
  Object.assign(request.facts, { usage, servedModel: 'm-2026', providerCallId: 'call-1' });
  return { id: 'call-1', choices: [] };
}
const streams = (chunks: number, then?: (request: UpstreamRequest, abort: AbortController) => never) =>
  async function* (request: UpstreamRequest, abort: AbortController): AsyncGenerator<string, void> {
    for (let i = 0; i < chunks; i++) yield '{}';
    then?.(request, abort);
    request.facts.usage = usage;
  };
const fails =
  (code: UpstreamError['code'], details: Partial<UpstreamError['details']> = {}) =>
  (): never => {
    throw new UpstreamError(code, code, { retryable: true, sent: true, refusedUpstream: false, ...details });
  };

describe('an attempt', () => {
  it('is recorded, then opened, then sent, then closed, then answered', async () => {
    const { log, closed, finished } = await attempt({});
    expect(log).toEqual(['recorded', 'opened', 'upstream', 'closed finished', 'answer ok', 'finished']);
    expect(closed).toMatchObject([
      { outcome: 'finished', sent: true, usage, servedModel: 'm-2026', providerCallId: 'call-1' },
    ]);
    expect(finished[0].meritorder).toMatchObject({ cost: { usd: '0.0000072', basis: 'confirmed' }, usage });
  });

  it('streams chunks and ends with its receipt', async () => {
    const { log, finished } = await attempt({ stream: true });
    expect(log).toEqual([
      'recorded',
      'opened',
      'upstream',
      'chunk 0',
      'chunk 1',
      'chunk 2',
      'closed finished',
      'answer ok',
      'finished',
    ]);
    expect(finished[0]).toMatchObject({
      object: 'chat.completion.chunk',
      choices: [],
      meritorder: { backend: 'gpt-4-1-mini' },
    });
  });

  it.each<[string, World, string[], Partial<UsageAttemptClosedV1>]>([
    [
      'is not sent when it could not be recorded',
      { openedFails: true },
      ['recorded', 'refused', 'closed not-sent'],
      { sent: false },
    ],
    [
      'is not sent when the router says stop',
      { answer: { type: 'stop', reason: 'expired' } },
      ['recorded', 'opened', 'closed not-sent'],
      { sent: false, code: 'stopped' },
    ],
    [
      'is not sent when no router answers',
      { answer: undefined },
      ['recorded', 'opened', 'closed not-sent'],
      { sent: false, code: 'no-router' },
    ],
    ['is not even recorded after its deadline', { nowMs: Date.parse(terms.deadlineAt) }, ['refused'], {}],
    [
      'that is refused upstream goes back to the router',
      { upstream: fails('server-error', { refusedUpstream: true }) },
      ['recorded', 'opened', 'upstream', 'closed failed', 'failed'],
      { refusedUpstream: true },
    ],
    [
      'that never connected was not sent',
      { upstream: fails('connect', { sent: false }) },
      ['recorded', 'opened', 'upstream', 'closed not-sent', 'failed'],
      { sent: false },
    ],
    [
      'ends the wait of the caller itself when no router takes the failure',
      { upstream: fails('timeout'), taken: false },
      ['recorded', 'opened', 'upstream', 'closed failed', 'failed', 'error backend_failed'],
      { sent: true },
    ],
    [
      'that breaks after the first token ends with an error',
      { stream: true, upstream: streams(2, fails('cut')) },
      ['recorded', 'opened', 'upstream', 'chunk 0', 'chunk 1', 'closed failed', 'error stream_cut', 'finished'],
      { sent: true, code: 'cut' },
    ],
    [
      'whose reader stays away ends',
      { stream: true, readerLeavesAt: 1 },
      ['recorded', 'opened', 'upstream', 'chunk 0', 'chunk 1', 'closed failed', 'error reader_away', 'finished'],
      { sent: true },
    ],
    [
      'that is cancelled in the middle says so and is unconfirmed',
      {
        stream: true,
        upstream: streams(1, (_r, abort) => {
          abort.abort('cancelled');
          throw new Error('aborted');
        }),
      },
      ['recorded', 'opened', 'upstream', 'chunk 0', 'closed cancelled', 'answer cancelled', 'finished'],
      { outcome: 'cancelled', sent: true },
    ],
    [
      'that is cancelled before the first token says so',
      {
        stream: true,
        upstream: streams(0, (_r, abort) => {
          abort.abort('cancelled');
          throw new Error('aborted');
        }),
      },
      ['recorded', 'opened', 'upstream', 'closed cancelled', 'error cancelled', 'finished'],
      { outcome: 'cancelled', sent: true },
    ],
    [
      'with an unexpected error is closed all the same',
      {
        upstream: () => {
          throw new TypeError('bug');
        },
      },
      ['recorded', 'opened', 'upstream', 'closed failed', 'failed'],
      { sent: true, code: 'protocol' },
    ],
  ])('%s', async (_name, world, expected, close) => {
    const { log, closed } = await attempt(world);
    expect(log).toEqual(expected);
    expect(closed).toHaveLength(log.some((l) => l.startsWith('closed')) ? 1 : 0);
    if (closed[0]) expect(closed[0]).toMatchObject(close);
    expect(closed[0]?.usage).toBeUndefined();
  });

  it('without usage costs its bound until somebody knows better', async () => {
    const { closed, finished } = await attempt({ upstream: async () => ({ choices: [] }) });
    expect(closed[0]!.usage).toBeUndefined();
    expect(finished[0].meritorder.cost).toMatchObject({ usd: '0.0022192', basis: 'unconfirmed' });
  });
});
