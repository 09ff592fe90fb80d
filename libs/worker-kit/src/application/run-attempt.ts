import { type Receipt, type UsageAttemptClosedV1, type WorkRequest, type BackendConfig } from '@meritorder/contracts';
import { nanosToUsd, type Clock } from '@meritorder/kernel';
import { rate } from '@meritorder/pricing-core';
import {
  ReaderAway,
  UpstreamError,
  type CallerLink,
  type CallFacts,
  type RouterLink,
  type Upstream,
  type UsageLog,
} from './ports.js';

export interface AttemptPorts {
  clock: Clock;
  upstream: Upstream;
  usageLog: UsageLog;
  router: RouterLink;
  caller: CallerLink;
  worker: string;
  /** Headers for the backend: trace context. */
  upstreamHeaders: Record<string, string>;
  /** Runs something every `ms` until the returned function is called. */
  every(ms: number, run: () => void): () => void;
}

const GO_TIMEOUT_MS = 5_000;
const TAKEN_TIMEOUT_MS = 2_000;
const HEARTBEAT_MS = 1_000;

type Ending = Pick<UsageAttemptClosedV1, 'outcome' | 'sent' | 'refusedUpstream'> & { code?: string };

/**
 * One attempt, from the work request to its one `usage.attempt-closed`. The order is what money depends on: recorded as
 * opened, hold opened by the router, and only then the call.
 * @param abort cancels the attempt; its reason is 'cancelled' (by the caller) or 'stopped' (by the router).
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
  private readonly facts: CallFacts = { usage: undefined, servedModel: undefined, providerCallId: undefined };
  private readonly startedMs: number;
  private firstTokenMs: number | undefined;
  private seq = 0;

  constructor(
    private readonly work: WorkRequest,
    private readonly backend: BackendConfig,
    private readonly ports: AttemptPorts,
    private readonly abort: AbortController,
  ) {
    this.startedMs = ports.clock.nowMs();
  }

  async run(): Promise<void> {
    const { work, ports } = this;
    const { attemptId, deadlineAt } = work.terms;
    const now = ports.clock.nowMs();
    if (now >= Date.parse(deadlineAt)) {
      return ports.router.send({ type: 'refused', code: 'deadline', message: 'the deadline has passed' });
    }
    try {
      await ports.usageLog.opened({ ...work.terms, worker: ports.worker, openedAt: new Date(now).toISOString() });
    } catch (error) {
      ports.router.send({
        type: 'refused',
        code: 'not-recorded',
        message: `the attempt could not be recorded: ${(error as Error).message}`,
      });
      // The record may have arrived although nobody heard of it.
      return this.close({ outcome: 'not-sent', sent: false, refusedUpstream: false, code: 'not-recorded' });
    }
    const answer = await ports.router.request({ type: 'opened', attemptId }, GO_TIMEOUT_MS);
    if (answer?.type !== 'go' || this.abort.signal.aborted) {
      await this.close({
        outcome: 'not-sent',
        sent: false,
        refusedUpstream: false,
        code: answer ? 'stopped' : 'no-router',
      });
      if (answer?.type === 'go')
        await this.giveUp(new UpstreamError('cancelled', 'cancelled before the call', NOT_SENT));
      return;
    }
    const stopHeartbeat = ports.every(HEARTBEAT_MS, () =>
      ports.router.send({ type: 'heartbeat', attemptId, firstTokenSeen: this.seq > 0 }),
    );
    try {
      await (work.stream ? this.streamed() : this.whole());
    } catch (error) {
      await this.failed(error);
    } finally {
      stopHeartbeat();
    }
  }

  private async whole(): Promise<void> {
    const body = await this.ports.upstream.complete(this.request());
    this.firstTokenMs = this.elapsed();
    // The record is on its way before the answer is, so that no crash in between loses what the backend said.
    const closed = this.close(FINISHED);
    this.ports.caller.finish('ok', JSON.stringify({ ...body, meritorder: this.receipt('finished') }), false);
    await closed;
    this.finished('ok');
  }

  private async streamed(): Promise<void> {
    for await (const json of this.ports.upstream.stream(this.request())) {
      this.firstTokenMs ??= this.elapsed();
      await this.ports.caller.chunk(this.seq++, json);
    }
    const closed = this.close(FINISHED);
    this.terminal('ok');
    await closed;
    this.finished('ok');
  }

  private request() {
    const { work, backend, facts, abort, ports } = this;
    return {
      backend,
      attemptId: work.terms.attemptId,
      body: work.body,
      stream: work.stream,
      includeUsage: work.includeUsage,
      deadlineMs: Date.parse(work.terms.deadlineAt),
      signal: abort.signal,
      facts,
      headers: ports.upstreamHeaders,
    };
  }

  private async failed(error: unknown): Promise<void> {
    const upstream = this.asUpstreamError(error);
    const cancelled = upstream.code === 'cancelled' || upstream.code === 'stopped';
    const closed = this.close({
      outcome: cancelled ? 'cancelled' : upstream.details.sent ? 'failed' : 'not-sent',
      sent: upstream.details.sent,
      refusedUpstream: upstream.details.refusedUpstream,
      code: upstream.code,
    });
    await (this.seq === 0 ? this.giveUp(upstream) : this.breakOff(upstream));
    await closed;
  }

  /** Nothing has reached the caller: the router goes on, or answers. */
  private async giveUp(error: UpstreamError): Promise<void> {
    const { router, caller } = this.ports;
    if (error.code === 'cancelled') {
      caller.fail('cancelled', 'Cancelled by the caller.');
      return this.finished('cancelled');
    }
    const { retryable, status, retryAfterSeconds } = error.details;
    const reply = await router.request(
      {
        type: 'failed',
        attemptId: this.work.terms.attemptId,
        retryable,
        code: error.code,
        message: error.message.slice(0, 500),
        ...(status === undefined ? {} : { status }),
        ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      },
      TAKEN_TIMEOUT_MS,
    );
    if (!reply)
      caller.fail(
        error.code === 'caller-fault' ? 'upstream_rejected' : 'backend_failed',
        `${this.backend.id}: ${error.message}`,
      );
  }

  /** The caller has part of a stream: it ends here. */
  private async breakOff(error: UpstreamError): Promise<void> {
    const { caller } = this.ports;
    if (error.code === 'cancelled') this.terminal('cancelled');
    else if (error.cause instanceof ReaderAway) caller.fail('reader_away', error.message);
    else caller.fail('stream_cut', `${this.backend.id}: ${error.message}`);
    this.finished(error.code === 'cancelled' ? 'cancelled' : 'error');
  }

  private asUpstreamError(error: unknown): UpstreamError {
    const reason: unknown = this.abort.signal.reason;
    if (error instanceof ReaderAway) {
      const away = new UpstreamError('cut', error.message, { ...SENT, retryable: false });
      away.cause = error;
      return away;
    }
    if (this.abort.signal.aborted && (reason === 'cancelled' || reason === 'stopped')) {
      const sent = error instanceof UpstreamError ? error.details.sent : true;
      return new UpstreamError(reason, reason === 'cancelled' ? 'cancelled by the caller' : 'stopped by the router', {
        ...SENT,
        sent,
        retryable: false,
      });
    }
    if (error instanceof UpstreamError) return error;
    return new UpstreamError('protocol', (error as Error).message, { ...SENT, retryable: true });
  }

  private terminal(status: 'ok' | 'cancelled'): void {
    const body = {
      id: this.facts.providerCallId ?? this.work.terms.attemptId,
      object: 'chat.completion.chunk',
      created: Math.floor(this.ports.clock.nowMs() / 1_000),
      model: this.facts.servedModel ?? this.work.terms.model,
      choices: [],
      meritorder: this.receipt(status === 'ok' ? 'finished' : 'cancelled'),
    };
    this.ports.caller.finish(status, JSON.stringify(body), true);
  }

  private receipt(outcome: 'finished' | 'cancelled'): Receipt {
    const { work, facts } = this;
    const { terms, price } = work;
    const cost = facts.usage
      ? rate(price, facts.usage)
      : { cashNanos: BigInt(terms.bound.cashNanos), fullNanos: BigInt(terms.bound.fullNanos) };
    return {
      request_id: terms.requestId,
      backend: terms.backend,
      model: facts.servedModel ?? terms.model,
      attempts: [...work.earlierAttempts, { attempt_id: terms.attemptId, backend: terms.backend, outcome }],
      ...(facts.usage ? { usage: facts.usage } : {}),
      cost: {
        usd: nanosToUsd(cost.cashNanos),
        full_usd: nanosToUsd(cost.fullNanos),
        basis: facts.usage ? 'confirmed' : 'unconfirmed',
        price_version: price.id,
      },
      budgets_left: work.budgetsLeft,
      reason: work.reason,
    };
  }

  private finished(status: 'ok' | 'error' | 'cancelled'): void {
    this.ports.router.send({ type: 'finished', attemptId: this.work.terms.attemptId, status });
  }

  private close(ending: Ending): Promise<void> {
    const { work, facts, ports } = this;
    return ports.usageLog.closed({
      ...work.terms,
      worker: ports.worker,
      closedAt: new Date(ports.clock.nowMs()).toISOString(),
      outcome: ending.outcome,
      sent: ending.sent,
      refusedUpstream: ending.refusedUpstream,
      ...(facts.usage && ending.sent ? { usage: facts.usage } : {}),
      ...(facts.servedModel === undefined ? {} : { servedModel: facts.servedModel.slice(0, 256) }),
      ...(facts.providerCallId === undefined ? {} : { providerCallId: facts.providerCallId.slice(0, 256) }),
      ...(ending.code === undefined ? {} : { code: ending.code }),
      ...(this.firstTokenMs === undefined ? {} : { firstTokenMs: this.firstTokenMs }),
      durationMs: this.elapsed(),
    });
  }

  private elapsed(): number {
    return Math.max(0, this.ports.clock.nowMs() - this.startedMs);
  }
}

const FINISHED: Ending = { outcome: 'finished', sent: true, refusedUpstream: false };
const NOT_SENT = { retryable: false, sent: false, refusedUpstream: false };
const SENT = { retryable: false, sent: true, refusedUpstream: false };
