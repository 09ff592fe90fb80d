import {
  EXAMPLES,
  type BackendConfig,
  type ErrorCode,
  type PriceVersion,
  type RouterReply,
  type Usage,
  type UsageAttemptClosedV1,
  type WorkEvent,
  type WorkRequest,
} from '@meritorder/contracts';
import { ManualClock } from '@meritorder/kernel';
import { answerDialect } from './answer-dialect.js';
import { CredentialedUpstream, CredentialPools } from './credentialed-upstream.js';
import {
  ReaderAway,
  UpstreamError,
  type Credential,
  type ProviderUpstream,
  type Upstream,
  type UpstreamRequest,
} from './ports.js';
import { runAttempt } from './run-attempt.js';
import { OwnTurn, type Turn } from './turn.js';

export const usage: Usage = {
  inputTokens: 10,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 2,
  requests: 1,
};
const { worker: _worker, openedAt: _openedAt, ...opened } = EXAMPLES.events['usage.attempt-opened.v1'];
export const terms = opened as WorkRequest['terms'];
const backend = {
  id: 'gpt-4-1-mini',
  model: 'gpt-4.1-mini',
  modelAliases: ['m'],
  kind: 'cloud',
  provider: 'openai',
} as unknown as BackendConfig;
export const price = EXAMPLES.events['price.version-published.v1'].version as PriceVersion;

export interface World {
  stream?: boolean;
  answer?: RouterReply | undefined;
  taken?: boolean;
  /** What the router says to each request for a larger hold. */
  extend?: (event: Extract<WorkEvent, { type: 'extend' }>, abort: AbortController) => RouterReply | undefined;
  /** What a router says that is there for more than one attempt; in place of `answer`, `taken` and `extend`. */
  router?: (event: WorkEvent) => RouterReply | undefined;
  upstream?: (
    request: UpstreamRequest,
    abort: AbortController,
    world: { clock: ManualClock },
  ) => AsyncGenerator<string, void> | Promise<Record<string, unknown>>;
  /** Of `upstream`. Default: OpenAI's chat completions. */
  dialect?: Upstream['dialect'];
  /** A real wire in place of `upstream`. */
  wire?: Upstream;
  /** A promise: the reader is behind until then. */
  onChunk?: (seq: number, abort: AbortController, json: string, world: { clock: ManualClock }) => unknown;
  onCall?: (abort: AbortController) => void;
  readerLeavesAt?: number;
  nowMs?: number;
  clock?: ManualClock;
  turn?: Turn;
  backend?: Partial<BackendConfig>;
  work?: Partial<WorkRequest>;
  /** A request of kind messages whose backend speaks chat completions. */
  translated?: boolean;
  maxMessageBytes?: number;
  /** An answer in parts: rejects as its reader makes it. */
  onFinish?: (abort: AbortController) => Promise<void>;
}

/** Runs one attempt in a world of in-memory ports; the log says what everybody heard, in order. */
export async function attempt(world: World): Promise<{
  log: string[];
  closed: UsageAttemptClosedV1[];
  sent: WorkEvent[];
  finished: any[];
  warned: string[];
}> {
  const log: string[] = [];
  const warned: string[] = [];
  const closed: UsageAttemptClosedV1[] = [];
  const sent: WorkEvent[] = [];
  const finished: any[] = [];
  const abort = new AbortController();
  const clock = world.clock ?? new ManualClock(world.nowMs ?? Date.parse(terms.reservedAt));
  const call = (request: UpstreamRequest): any => {
    log.push('upstream');
    return (world.upstream ?? (world.stream ? streams(3) : answers))(request, abort, { clock });
  };
  const upstream: Upstream = world.wire ?? { dialect: world.dialect ?? 'openai-chat', complete: call, stream: call };
  const work: WorkRequest = {
    terms,
    body: {},
    stream: world.stream ?? false,
    includeUsage: false,
    replyTo: '_INBOX_acme.x',
    price,
    budgetsLeft: [],
    earlierAttempts: [],
    reason: 'because',
    ...world.work,
  };
  await runAttempt(
    work,
    { ...backend, ...world.backend },
    {
      clock,
      upstream,
      answer: answerDialect(work, world.translated ?? false, upstream.marks),
      maxMessageBytes: world.maxMessageBytes ?? 1_048_576,
      usageLog: {
        closed: async (event) => void (closed.push(event), log.push(`closed ${event.outcome}`)),
      },
      router: {
        mayGo: async (attemptId) => {
          log.push('may go');
          world.onCall?.(abort);
          if (world.router) return world.router({ type: 'ready', attemptId });
          return 'answer' in world ? world.answer : { type: 'go' };
        },
        send: (event) => void (sent.push(event), log.push(event.type)),
        request: async (event) => {
          log.push(event.type);
          sent.push(event);
          if (world.router) return world.router(event);
          if (event.type === 'extend') return world.extend?.(event, abort);
          return world.taken === false ? undefined : { type: 'taken' };
        },
      },
      caller: {
        chunk: (seq, json) => {
          log.push(`chunk ${seq}`);
          const read = world.onChunk?.(seq, abort, json, { clock });
          if (seq === world.readerLeavesAt) return Promise.reject(new ReaderAway('nothing was acknowledged'));
          return read instanceof Promise ? read : undefined;
        },
        finish: (status, body) => {
          finished.push(JSON.parse(body));
          log.push(`answer ${status}`);
          return world.onFinish?.(abort);
        },
        fail: (code: ErrorCode) => void log.push(`error ${code}`),
      },
      turn:
        world.turn ?? new OwnTurn({ attempt_id: terms.attemptId, backend: backend.id, outcome: 'cancelled' }, () => {}),
      worker: 'w1',
      concurrency: 3,
      warn: (message) => void warned.push(message),
      upstreamHeaders: {},
      every: () => () => {},
    },
    abort,
  );
  return { log, closed, sent, finished, warned };
}

/** A provider's wire as a worker uses it for one backend. */
export function credentialed(wire: ProviderUpstream, credentials: Credential[]): Upstream {
  const pools = new CredentialPools(
    [],
    () => credentials,
    () => Date.now(),
  );
  return new CredentialedUpstream(wire, pools);
}

export const block = { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 };
export const named = { id: 'call-1', model: 'm-2026' };
export async function answers(request: UpstreamRequest): Promise<Record<string, unknown>> {
  const body = { ...named, object: 'chat.completion', choices: [], usage: block };
  request.reader.feed(body);
  request.reader.end();
  return body;
}
/** So many chunks of two words each; then something goes wrong, or the stream ends with its usage. */
export const streams = (
  chunks: number,
  then?: (request: UpstreamRequest, abort: AbortController) => never,
  last: object = { usage: block },
) =>
  async function* (request: UpstreamRequest, abort: AbortController): AsyncGenerator<string, void> {
    for (let i = 0; i < chunks; i++) {
      request.reader.feed({ ...named, choices: [{ index: 0, delta: { content: 'hello world ' } }] });
      yield '{}';
    }
    then?.(request, abort);
    request.reader.feed({ ...named, choices: [], ...last });
    request.reader.end();
  };
export const fails =
  (code: UpstreamError['code'], details: Partial<UpstreamError['details']> = {}) =>
  (): never => {
    throw new UpstreamError(code, code, { retryable: true, sent: true, refusedUpstream: false, ...details });
  };
