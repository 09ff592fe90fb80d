import {
  firstTokenTimeoutMs,
  HEDGE_LOST,
  WORKER_SPEAKS_MS,
  type BackendConfig,
  type ErrorCode,
  type Receipt,
  type RouterReply,
  type UsageAttemptClosedV1,
  type WorkEvent,
  type WorkRequest,
} from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import { READER_AWAY, type AttemptEnd } from '@meritorder/margin-core';
import { booksStatedCharges } from '@meritorder/pricing-core';
import { usageReader, type UsageReader, type UsageReading } from '@meritorder/usage-core';
import type { AnswerDialect } from './answer-dialect.js';
import { callFacts, countGenerated, type CallFacts } from './call-facts.js';
import { GovernedStream, type EndedBy } from './governed-stream.js';
import { ReaderAway, UpstreamError, type CallerLink, type RouterLink, type Upstream, type UsageLog } from './ports.js';
import { receiptOf } from './receipt.js';
import type { Turn } from './turn.js';

export interface AttemptPorts {
  clock: Clock;
  upstream: Upstream;
  answer: AnswerDialect;
  /** Of a message to the caller: what the server carries. */
  maxMessageBytes: number;
  usageLog: UsageLog;
  router: RouterLink;
  caller: CallerLink;
  /** Whether it is this attempt that writes to the caller. */
  turn: Turn;
  worker: string;
  /** Calls in flight at this backend's worker, this one included. */
  concurrency: number;
  /** Something about the usage that somebody should look at. */
  warn(message: string): void;
  /** Headers for the backend: trace context. */
  upstreamHeaders: Record<string, string>;
  /** Runs something every `ms` until the returned function is called. */
  every(ms: number, run: () => void): () => void;
}

const TAKEN_TIMEOUT_MS = 2_000;
/** A receipt waits this long for what ran beside the attempt. */
const NOTED_TIMEOUT_MS = 500;
const HEARTBEAT_MS = 1_000;

type Ending = Pick<UsageAttemptClosedV1, 'outcome' | 'sent' | 'refusedUpstream'> & { code?: string };

/**
 * One attempt, from the work request to its one `usage.attempt-closed`. The order is what money depends on: on record and its
 * hold opened, both by the router, and only then the call.
 * @param abort ends the attempt; its reason is 'cancelled' (by the caller), 'stopped' (by the router), 'hedge-lost' (the other
 * attempt of its request has the caller), or 'draining' (the worker ends, and does not wait any longer).
 */
export async function runAttempt(
  work: WorkRequest,
  backend: BackendConfig,
  ports: AttemptPorts,
  abort: AbortController,
): Promise<void> {
  await new Attempt(work, backend, ports, abort).run();
}

class Attempt {
  private readonly reader: UsageReader;
  private readonly startedMs: number;
  /** Fixed when the attempt is closed: the event and the receipt are of the same instant and the same facts. */
  private closed: { atMs: number; facts: CallFacts; end: AttemptEnd } | undefined;
  private firstTokenMs: number | undefined;
  private seq = 0;
  /** The caller has heard something of this attempt, and the router knows. */
  private spoke = false;
  /** When the router was last told that this attempt goes on. */
  private beatAtMs: number;
  private isGivenUp = false;
  private asking: Promise<void> | undefined;
  /** Why the spend governor ended the stream. */
  private endedBy: EndedBy | undefined;
  private begun = false;
  /** The router's answer to the first token, of an attempt that is not alone. */
  private noted: Promise<void> | undefined;

  constructor(
    /** Its hold may grow while it streams. */
    private work: WorkRequest,
    private readonly backend: BackendConfig,
    private readonly ports: AttemptPorts,
    private readonly abort: AbortController,
  ) {
    this.startedMs = ports.clock.nowMs();
    this.beatAtMs = this.startedMs;
    this.reader = usageReader(ports.upstream.dialect, { provider: backend.provider, countTokens: countGenerated });
  }

  async run(): Promise<void> {
    const { work, ports } = this;
    const { attemptId, deadlineAt } = work.terms;
    const now = ports.clock.nowMs();
    if (now >= Date.parse(deadlineAt)) {
      return ports.router.send({ type: 'refused', code: 'deadline', message: 'the deadline has passed' });
    }
    // Nobody is told to go of whom the router has not heard: what a dead worker was sent costs nothing.
    this.beat();
    const answer = await ports.router.mayGo(attemptId);
    if (answer?.type !== 'go' || this.abort.signal.aborted) {
      await this.close({ outcome: 'not-sent', sent: false, refusedUpstream: false, code: this.whyNot(answer) });
      if (answer?.type === 'go')
        await this.end(this.asUpstreamError(new UpstreamError('cancelled', 'ended before the call', NOT_SENT)));
      return;
    }
    this.beatAtMs = ports.clock.nowMs();
    const stopHeartbeat = ports.every(HEARTBEAT_MS, () => {
      if (this.isLate()) void this.askAgain();
      else this.beat();
    });
    try {
      await (work.stream ? this.streamed() : this.whole());
    } catch (error) {
      await this.failed(error);
    } finally {
      stopHeartbeat();
    }
  }

  /** Why it was not sent. */
  private whyNot(answer: RouterReply | undefined): string {
    const reason: unknown = this.abort.signal.reason;
    if ((answer?.type === 'stop' ? answer.reason : reason) === HEDGE_LOST) return HEDGE_LOST;
    if (!answer) return 'no-router';
    return answer.type === 'go' && reason === DRAINING ? DRAINING : 'stopped';
  }

  private async whole(): Promise<void> {
    const { upstream, answer, caller } = this.ports;
    const said = await upstream.complete(this.request());
    this.firstTokenMs = this.elapsed();
    await this.begin();
    const facts = this.facts(FINISHED);
    const told = this.withinLimit(JSON.stringify(answer.whole(said, facts.usage)));
    await this.speak();
    // The record is on its way before the answer is, so that no crash in between loses what the backend said.
    const closed = this.close(FINISHED, facts);
    await this.noted;
    const telling = caller.finish('ok', withReceipt(told, this.receipt('finished')), false);
    await closed;
    const broken = await telling?.then(
      () => undefined,
      (error: unknown) => this.asUpstreamError(error),
    );
    if (broken) this.breakOffParts(broken);
    else this.finished('ok');
  }

  private async streamed(): Promise<void> {
    const governed = this.governed();
    const { upstream, answer } = this.ports;
    for await (const json of upstream.stream(this.request())) {
      this.firstTokenMs ??= this.elapsed();
      if (!this.begun) await this.begin();
      const telling = this.tell(answer.chunk(json));
      if (telling) await telling;
      const passing = governed?.passed(json);
      const endedBy = passing && (await passing);
      // A stream that is left is aborted upstream. Whoever cancelled it hears of that instead.
      if (!endedBy || this.abort.signal.aborted) continue;
      this.endedBy = endedBy;
      break;
    }
    if (governed && this.endedBy) await this.tell(answer.cut(governed.lastChunk(this.names())));
    // A stream of nothing is an answer, too.
    if (!this.begun) await this.begin();
    const ending = this.endedBy ? { ...CUT, code: this.endedBy.cause } : FINISHED;
    const facts = this.facts(ending);
    await this.tell(answer.end(facts.usage));
    await this.speak();
    const closed = this.close(ending, facts);
    await this.noted;
    this.terminal('ok');
    await closed;
    this.finished('ok');
  }

  /** Before the first byte to the caller. @throws UpstreamError when the caller is the other attempt's */
  private async begin(): Promise<void> {
    const { turn, router } = this.ports;
    const { attemptId, hedgeOf } = this.work.terms;
    await this.goOn();
    if (!(await turn.take())) throw lost();
    this.begun = true;
    this.alsoRan(turn.others());
    if (!this.work.mayBeHedged && hedgeOf === undefined) return;
    this.noted = router.request({ type: 'first-token', attemptId }, NOTED_TIMEOUT_MS).then((noted) => {
      if (noted?.type === 'noted' && hedgeOf === undefined) this.alsoRan(noted.others);
    });
  }

  private alsoRan(others: readonly Receipt['attempts'][number][]): void {
    this.work = { ...this.work, earlierAttempts: [...this.work.earlierAttempts, ...others] };
  }

  /** @returns a promise where something is to be waited for: of most chunks nothing is, and then nothing waits */
  private tell(chunks: readonly string[]): Promise<void> | undefined {
    for (let i = 0; i < chunks.length; i++) {
      if (!this.spoke || this.isStopped() || this.isLate()) return this.tellAfter(this.speak(), chunks.slice(i));
      const behind = this.ports.caller.chunk(this.seq++, chunks[i]!);
      if (behind) return this.tellAfter(behind, chunks.slice(i + 1));
    }
    return undefined;
  }

  private async tellAfter(first: Promise<void>, chunks: readonly string[]): Promise<void> {
    await first;
    await this.tell(chunks);
  }

  /**
   * Before anything is said to the caller. The router hears of the first word before the caller does, on the same connection: should
   * this worker die now, nobody is asked again for what the caller has.
   * @throws UpstreamError
   */
  private async speak(): Promise<void> {
    await this.goOn();
    if (this.spoke) return;
    this.spoke = true;
    this.beat();
  }

  /**
   * A worker that was frozen or cut off may be given up, and somebody else may have answered the caller: it asks before it says
   * anything. One that paused together with its router is still heard.
   * @throws UpstreamError
   */
  private async goOn(): Promise<void> {
    while (!this.isStopped() && this.isLate()) await this.askAgain();
    if (this.isStopped()) throw new UpstreamError('stopped', ENDS.stopped, { ...SENT, retryable: false });
  }

  private askAgain(): Promise<void> {
    return (this.asking ??= this.asked().finally(() => (this.asking = undefined)));
  }

  private async asked(): Promise<void> {
    const { clock, router } = this.ports;
    const askedAtMs = clock.nowMs();
    const reply = await router.request(this.heartbeat(), WORKER_SPEAKS_MS);
    if (reply?.type === 'heard') {
      this.beatAtMs = askedAtMs;
      return;
    }
    this.isGivenUp = true;
    this.abort.abort('stopped');
  }

  private beat(): void {
    const { clock, router } = this.ports;
    this.beatAtMs = clock.nowMs();
    router.send(this.heartbeat());
  }

  private heartbeat(): WorkEvent {
    return { type: 'heartbeat', attemptId: this.work.terms.attemptId, firstTokenSeen: this.spoke };
  }

  private isStopped(): boolean {
    return this.isGivenUp || this.abort.signal.reason === 'stopped';
  }

  private isLate(): boolean {
    return this.ports.clock.nowMs() - this.beatAtMs > WORKER_SPEAKS_MS;
  }

  /** Another backend's answer would be as large, so nobody is asked again. */
  private withinLimit(answer: string): string {
    const bytes = Buffer.byteLength(answer);
    const { maxAnswerBytes = 0 } = this.work;
    const most = Math.max(maxAnswerBytes, this.ports.maxMessageBytes) - RECEIPT_BYTES_MOST;
    if (bytes <= most) return answer;
    const carried = maxAnswerBytes > this.ports.maxMessageBytes ? 'the caller takes' : 'a message carries';
    throw new UpstreamError(
      'protocol',
      `the answer has ${bytes} bytes and ${carried} ${most}: ask for less at once, of embeddings in base64`,
      { ...SENT, retryable: false },
    );
  }

  /** Undefined: what is held covers whatever the answer may cost. */
  private governed(): GovernedStream | undefined {
    const { reader, ports } = this;
    const { governed, attemptId } = this.work.terms;
    if (!governed) return undefined;
    const choices = this.work.body['n'];
    return new GovernedStream(
      {
        clock: ports.clock,
        router: ports.router,
        worker: ports.worker,
        countTokens: () => (reader.read().usage?.outputTokens ?? 0) + reader.outputTokensSeen,
        extended: (heldTokens, bound) => {
          const { terms } = this.work;
          this.work = { ...this.work, terms: { ...terms, bound, governed: { ...governed, heldTokens } } };
        },
      },
      attemptId,
      governed,
      typeof choices === 'number' ? choices : 1,
    );
  }

  private names(): { id: string; model: string } {
    const { providerCallId, servedModel } = this.reader.read();
    return { id: providerCallId ?? this.work.terms.attemptId, model: servedModel ?? this.work.terms.model };
  }

  private request() {
    const { work, backend, reader, abort, ports } = this;
    return {
      backend,
      attemptId: work.terms.attemptId,
      body: ports.answer.body,
      stream: work.stream,
      includeUsage: work.includeUsage,
      deadlineMs: Date.parse(work.terms.deadlineAt),
      firstTokenTimeoutMs: firstTokenTimeoutMs(backend, work.body),
      signal: abort.signal,
      reader,
      headers: ports.upstreamHeaders,
    };
  }

  private async failed(error: unknown): Promise<void> {
    const upstream = this.asUpstreamError(
      await this.goOn().then(
        () => error,
        (stopped: unknown) => stopped,
      ),
    );
    const cancelled = ENDED_FROM_OUTSIDE.has(upstream.code);
    const closed = this.close({
      outcome: cancelled ? 'cancelled' : upstream.details.sent ? 'failed' : 'not-sent',
      sent: upstream.details.sent,
      refusedUpstream: upstream.details.refusedUpstream,
      code: upstream.cause instanceof ReaderAway ? READER_AWAY : upstream.code,
    });
    await this.end(upstream);
    await closed;
  }

  private async end(error: UpstreamError): Promise<void> {
    // Whoever stopped it has told the caller, or somebody else answers.
    if (error.code === 'stopped') this.ports.turn.leave(this.failedLine(error));
    else await (this.spoke ? this.breakOff(error) : this.giveUp(error));
  }

  private failedLine({ code }: UpstreamError): Receipt['attempts'][number] {
    return { attempt_id: this.work.terms.attemptId, backend: this.backend.id, outcome: 'failed', code };
  }

  /** Nothing has reached the caller: the router goes on, or answers. */
  private async giveUp(error: UpstreamError): Promise<void> {
    const { router, caller, turn } = this.ports;
    if (error.code === HEDGE_LOST) return this.finished('yielded');
    if (error.code === 'cancelled') {
      if (!(await turn.lastWord())) return this.finished('yielded');
      caller.fail('cancelled', 'Cancelled by the caller.');
      return this.finished('cancelled');
    }
    const { retryable, status, retryAfterSeconds, again, sent, refusedUpstream } = error.details;
    // As metering charges it.
    const costNothing = !sent || (refusedUpstream && !this.closed?.facts.usage);
    const reply = await router.request(
      {
        type: 'failed',
        attemptId: this.work.terms.attemptId,
        retryable,
        code: error.code,
        message: error.message.slice(0, 500),
        ...(status === undefined ? {} : { status }),
        ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
        ...(again ? { again } : {}),
        ...(costNothing ? { costNothing } : {}),
      },
      TAKEN_TIMEOUT_MS,
    );
    if (reply) return turn.leave(this.failedLine(error));
    if (await turn.lastWord())
      caller.fail(CALLERS_FAULT[error.code] ?? 'backend_failed', `${this.backend.id}: ${error.message}`);
  }

  /** The caller has part of a stream: it ends here. */
  private async breakOff(error: UpstreamError): Promise<void> {
    const { caller } = this.ports;
    if (error.code === HEDGE_LOST) return this.finished('yielded');
    if (error.code === 'cancelled') this.terminal('cancelled');
    else if (error.cause instanceof ReaderAway) caller.fail('reader_away', error.message);
    else caller.fail('stream_cut', `${this.backend.id}: ${error.message}`);
    this.finished(error.code === 'cancelled' ? 'cancelled' : 'error');
  }

  /** The caller has some parts of an answer, which is in the books as it is. */
  private breakOffParts({ code, message, cause }: UpstreamError): void {
    const isCancelled = code === 'cancelled';
    const why = cause instanceof ReaderAway ? 'reader_away' : 'stream_cut';
    this.ports.caller.fail(isCancelled ? 'cancelled' : why, message);
    this.finished(isCancelled ? 'cancelled' : 'error');
  }

  private asUpstreamError(error: unknown): UpstreamError {
    const reason: unknown = this.abort.signal.reason;
    if (error instanceof ReaderAway) {
      const away = new UpstreamError('cut', error.message, { ...SENT, retryable: false });
      away.cause = error;
      return away;
    }
    if (this.abort.signal.aborted && isEnd(reason)) {
      const sent = error instanceof UpstreamError ? error.details.sent : true;
      return new UpstreamError(reason, ENDS[reason], { ...SENT, sent, retryable: false });
    }
    if (reason === DRAINING && isOfAbort(error)) {
      const sent = error instanceof UpstreamError ? error.details.sent : true;
      return new UpstreamError(DRAINING, 'its worker ended', { ...SENT, sent, retryable: true, again: true });
    }
    if (error instanceof UpstreamError) return error;
    return new UpstreamError('protocol', (error as Error).message, { ...SENT, retryable: true });
  }

  private terminal(status: 'ok' | 'cancelled'): void {
    const { answer, caller, clock } = this.ports;
    const names = {
      id: this.closed?.facts.providerCallId ?? this.work.terms.attemptId,
      model: this.closed?.facts.servedModel ?? this.work.terms.model,
      createdSeconds: Math.floor(clock.nowMs() / 1_000),
    };
    const receipt = this.receipt(status === 'ok' ? 'finished' : 'cancelled');
    caller.finish(status, JSON.stringify(answer.last(names, receipt, status)), true);
  }

  /** After `close`. */
  private receipt(outcome: 'finished' | 'cancelled') {
    return receiptOf(this.work, this.backend, this.closed!, outcome, this.endedBy);
  }

  private finished(status: 'ok' | 'error' | 'cancelled' | 'yielded'): void {
    this.ports.router.send({ type: 'finished', attemptId: this.work.terms.attemptId, status });
  }

  private close(ending: Ending, facts = this.facts(ending)): Promise<void> {
    const { work, ports } = this;
    const atMs = ports.clock.nowMs();
    const end = {
      outcome: ending.outcome,
      ...(ending.code === undefined ? {} : { code: ending.code }),
      ...(this.work.stream ? { chunks: this.seq } : {}),
    };
    this.closed = { atMs, facts, end };
    return ports.usageLog.closed({
      ...work.terms,
      worker: ports.worker,
      closedAt: new Date(atMs).toISOString(),
      ...end,
      sent: ending.sent,
      refusedUpstream: ending.refusedUpstream,
      ...facts,
      ...(ending.sent ? { concurrency: ports.concurrency } : {}),
      ...(this.firstTokenMs === undefined ? {} : { firstTokenMs: this.firstTokenMs }),
      streamed: work.stream,
      durationMs: this.elapsed(),
    });
  }

  private facts({ outcome, sent, refusedUpstream }: Ending): CallFacts {
    if (!sent) return {};
    this.warnOf(this.reader.read());
    return callFacts(this.reader, {
      heard: !refusedUpstream && (this.work.stream || outcome === 'finished'),
      inputTokensExpected: this.work.inputTokensExpected,
      booksStated: booksStatedCharges(this.backend),
    });
  }

  /** What lies outside the counts by the total is a dialect's way; everything else is out of the ordinary. */
  private warnOf({ totalRule, notes }: UsageReading): void {
    const odd = notes.filter((note) => !note.startsWith('outside:'));
    if (totalRule === 'mismatch') odd.push('the tokens do not add up to the total that was sent');
    if (odd.length > 0) this.ports.warn(`usage of ${this.backend.id}: ${odd.join(', ')}`);
  }

  private elapsed(): number {
    return Math.max(0, this.ports.clock.nowMs() - this.startedMs);
  }
}

function lost(): UpstreamError {
  return new UpstreamError(HEDGE_LOST, ENDS[HEDGE_LOST], { ...SENT, retryable: false });
}

/** Its worker ends. That says nothing of the backend, and another worker may go on. */
export const DRAINING = 'draining';

const ENDS = {
  cancelled: 'cancelled by the caller',
  stopped: 'stopped by the router',
  [HEDGE_LOST]: 'the other attempt answers',
} as const;
const ENDED_FROM_OUTSIDE: ReadonlySet<string> = new Set(Object.keys(ENDS));

function isEnd(reason: unknown): reason is keyof typeof ENDS {
  return typeof reason === 'string' && ENDED_FROM_OUTSIDE.has(reason);
}

/** What a wire makes of a signal. Whatever else it says, it has heard by itself. */
function isOfAbort(error: unknown): boolean {
  return !(error instanceof UpstreamError) || error.code === 'cancelled';
}

/** The receipt of a whole answer goes after all that the backend said, which is not written twice. */
function withReceipt(answer: string, receipt: Receipt): string {
  const said = answer.slice(0, -1);
  return `${said}${said === '{' ? '' : ','}"meritorder":${JSON.stringify(receipt)}}`;
}

const CALLERS_FAULT: Partial<Record<UpstreamError['code'], ErrorCode>> = {
  'caller-fault': 'upstream_rejected',
  'content-filter': 'content_filtered',
};
/** A receipt has a few hundred bytes, and one line for each of at most 64 budgets. */
const RECEIPT_BYTES_MOST = 32_768;
/** Ended here, cleanly for the caller, before the backend was done. */
const CUT: Ending = { outcome: 'cancelled', sent: true, refusedUpstream: false };
const FINISHED: Ending = { outcome: 'finished', sent: true, refusedUpstream: false };
const NOT_SENT = { retryable: false, sent: false, refusedUpstream: false };
const SENT = { retryable: false, sent: true, refusedUpstream: false };
