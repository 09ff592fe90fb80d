import { parseJson } from '@meritorder/kernel';
import type { BackendConfig, BatchLine, UsageAttemptClosedV1, WorkRequest } from '@meritorder/contracts';
import { booksStatedCharges } from '@meritorder/pricing-core';
import { usageReader } from '@meritorder/usage-core';
import { answerDialect } from '../answer-dialect.js';
import { callFacts, countGenerated, type CallFacts } from '../call-facts.js';
import {
  UpstreamError,
  type Credential,
  type ProviderRequest,
  type ProviderUpstream,
  type WireCall,
} from '../ports.js';
import { receiptOf } from '../receipt.js';
import { upstreamFor, type ProviderWires } from '../upstream-for.js';
import type { CallEnd } from './batch-ports.js';

/** What a line has come to: what the books are told, and what the job is told, if it was answered. */
export interface LineEnd {
  closed: UsageAttemptClosedV1;
  answer: Record<string, unknown> | undefined;
}

/** Nobody knows what became of a call: it may be charged. */
export const UNKNOWN: CallEnd = { reply: { status: 504, body: '{"error":{"message":"lost with its batch"}}' } };

/** A call is written for wherever its backend is; with which credential it goes is seen when its batch is sent. */
const NOBODY: Omit<Credential, 'baseUrl'> = { id: 'batch', apiKey: 'of nobody' };
const REPLAY_LIMIT_MS = 60_000;

/** The call that a work request would be, written by the backend's own wire. @throws UpstreamError, TranslationError */
export async function callOf(
  work: WorkRequest,
  backend: BackendConfig,
  wires: ProviderWires,
): Promise<BatchLine['call']> {
  const { upstream, translated } = wiringOf(work, backend, wires);
  const answer = answerDialect(work, translated, upstream.marks);
  let written: WireCall | undefined;
  await upstream
    .complete(
      requestOf(work, backend, upstream, answer.body, async (call) => {
        written = call;
        throw new UpstreamError('stopped', 'it goes in a batch', SENT_NOT);
      }),
    )
    .catch((error: unknown) => {
      if (!written) throw error;
    });
  const base = new URL(backend.baseUrl).pathname.replace(/\/+$/, '');
  const { stream: _stream, ...body } = parseJson(written!.body) as Record<string, unknown>;
  // Also what is no tool of the caller: the SDK has one of its own for answers of a shape, where the model knows no other way.
  if (backend.batch?.bedrock?.format === 'converse' && body['toolConfig'] !== undefined)
    throw new UpstreamError('caller-fault', 'Bedrock takes no tools in batches of the format converse', SENT_NOT);
  return { path: new URL(written!.url).pathname.slice(base.length), body };
}

/**
 * Reads how a line ended as if it had been called alone, but for the tier, which is that of batches. Of a cancelled job it is
 * booked as that, and nobody is told the answer: so nobody is charged for it.
 */
export async function endOfLine(
  { work, worker, openedAt }: BatchLine,
  end: CallEnd,
  to: {
    backend: BackendConfig | undefined;
    wires: ProviderWires;
    nowMs: number;
    maxAnswerBytes: number;
    isCancelled: boolean;
  },
): Promise<LineEnd> {
  const { backend, nowMs } = to;
  const closed = (
    ending: Pick<UsageAttemptClosedV1, 'outcome' | 'sent' | 'refusedUpstream' | 'code'>,
    facts: CallFacts = {},
  ): UsageAttemptClosedV1 => ({
    ...work.terms,
    worker,
    closedAt: new Date(nowMs).toISOString(),
    ...ending,
    ...facts,
    streamed: false,
    durationMs: Math.max(0, nowMs - Date.parse(openedAt)),
  });
  if ('notRun' in end)
    return {
      closed: closed({ outcome: 'failed', sent: true, refusedUpstream: true, code: 'batch' }),
      answer: undefined,
    };
  // Not configured any more: what it said cannot be read.
  if (!backend || end === UNKNOWN)
    return {
      closed: closed({ outcome: 'failed', sent: true, refusedUpstream: false, code: 'cut' }),
      answer: undefined,
    };
  const { upstream, translated } = wiringOf(work, backend, to.wires);
  const answer = answerDialect(work, translated, upstream.marks);
  const request = requestOf(work, backend, upstream, answer.body, async () => end.reply, nowMs);
  try {
    const said = await upstream.complete(request);
    const facts = factsOf(request, work);
    if (to.isCancelled)
      return {
        closed: closed({ outcome: 'cancelled', sent: true, refusedUpstream: false, code: 'cancelled' }, facts),
        answer: undefined,
      };
    const told = answer.whole(said, facts.usage);
    const ended = { outcome: 'finished' } as const;
    const whole = { ...told, meritorder: receiptOf(work, backend, { atMs: nowMs, facts, end: ended }, 'finished') };
    const bytes = Buffer.byteLength(JSON.stringify(whole));
    if (bytes <= to.maxAnswerBytes)
      return { closed: closed({ ...ended, sent: true, refusedUpstream: false }, facts), answer: whole };
    // It was generated and is charged for, and nobody can be told: no answer, so nobody is charged.
    return { closed: closed({ ...FAILED, code: 'protocol' }, facts), answer: undefined };
  } catch (error) {
    const { code, details } =
      error instanceof UpstreamError
        ? error
        : new UpstreamError('protocol', (error as Error).message, { ...SENT_NOT, sent: true });
    const facts = details.refusedUpstream ? {} : factsOf(request, work, false);
    return { closed: closed({ ...FAILED, refusedUpstream: details.refusedUpstream, code }, facts), answer: undefined };
  }
}

function wiringOf(work: WorkRequest, backend: BackendConfig, wires: ProviderWires) {
  const wiring = upstreamFor(wires, spokenIn(backend), work.terms.kind);
  if (wiring) return wiring;
  throw new UpstreamError('caller-fault', `no way to ask it for ${work.terms.kind}`, SENT_NOT);
}

/** Models of Anthropic are asked in its own words, where Bedrock passes them on. */
function spokenIn({ protocol, batch }: BackendConfig): Pick<BackendConfig, 'protocol'> {
  return { protocol: batch?.bedrock?.format === 'messages' ? 'anthropic' : protocol };
}

function requestOf(
  work: WorkRequest,
  backend: BackendConfig,
  upstream: ProviderUpstream,
  body: Record<string, unknown>,
  carry: NonNullable<ProviderRequest['carry']>,
  nowMs = Date.parse(work.terms.reservedAt),
): ProviderRequest {
  return {
    backend,
    attemptId: work.terms.attemptId,
    body,
    stream: false,
    includeUsage: false,
    deadlineMs: nowMs + REPLAY_LIMIT_MS,
    firstTokenTimeoutMs: Infinity,
    signal: new AbortController().signal,
    reader: usageReader(upstream.dialect, { provider: backend.provider, countTokens: countGenerated }),
    headers: {},
    credential: { ...NOBODY, baseUrl: backend.baseUrl },
    carry,
  };
}

/** Providers do not say it in every answer; what comes out of a batch is charged as that. */
function factsOf({ reader, backend }: ProviderRequest, { inputTokensExpected }: WorkRequest, heard = true): CallFacts {
  const booksStated = booksStatedCharges(backend);
  return { ...callFacts(reader, { heard, inputTokensExpected, booksStated }), servedTier: 'batch' };
}

const FAILED = { outcome: 'failed', sent: true, refusedUpstream: false } as const;
const SENT_NOT = { retryable: false, sent: false, refusedUpstream: false };
