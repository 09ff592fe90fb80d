import { Controller, Inject, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { headers, type Msg, type Subscription } from '@nats-io/transport-node';
import {
  DURABLES,
  ERRORS,
  errorBody,
  HEADERS,
  isOrgReply,
  STREAMS,
  subjects,
  type JobAcceptedV1,
  type Refusal,
} from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import {
  extractTrace,
  runConsumer,
  SERVICE_INBOX,
  type Bus,
  type Delivery,
  type RunningConsumer,
} from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { v5 as uuidV5 } from 'uuid';
import { FailedRuns, RETRY_MS } from '../application/failed-runs.js';
import type { DispatchOutcome } from '../application/outcome.js';
import { fingerprintOf } from '../application/once-per-key.js';
import { parseRequest, requestIdOf } from '../application/parse-request.js';
import type { KnownJob } from '../application/ports.js';
import { readRequest } from '../application/read-request.js';
import { narrowed } from '../application/resolve-caller.js';
import { jobIsKept, takeJob } from '../application/take-job.js';
import { ROUTER, type RouterRuntime } from '../router.runtime.js';
import { NatsCancelledJobs } from './cancelled-jobs.nats.js';
import { incomingOf } from './requests.controller.js';
import { NatsJobLog } from './job-log.nats.js';

/** Without a deadline of its own a job is tried for an hour. */
const JOB_DEADLINE_MS = 3_600_000;
const CANCELLED = 'Cancelled by the caller.';
const CANCELS_QUEUE = 'jobs';
const JOB_NAMESPACE = 'b1f1f2a4-6f5e-5c0e-9d68-0d1d3a1f7c55';

/**
 * Durable jobs: `inference.job` is checked here and kept in the stream JOBS before the publisher hears of it; then any router
 * runs it and its end is an `inference.result` event. At least once: a router that dies in between leaves the job to the next. A
 * job that went into a batch comes back from the worker, with its answer or to be run again.
 */
@Controller()
export class JobsController implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(JobsController.name);
  private consumer: RunningConsumer | undefined;
  private cancels: Subscription | undefined;
  private readonly bus: Bus;
  private readonly cancelledJobs: NatsCancelledJobs;
  private readonly jobs: NatsJobLog;
  private readonly failedRuns = new FailedRuns();

  constructor(@Inject(ROUTER) private readonly router: RouterRuntime) {
    this.bus = router.bus;
    this.jobs = new NatsJobLog(this.bus);
    this.cancelledJobs = new NatsCancelledJobs(this.bus);
  }

  onApplicationBootstrap(): void {
    // A job that waits is in no router's hands: one of them writes down that it is cancelled.
    this.cancels = this.bus.nats.subscribe('inference.cancel.v1.*.*', {
      queue: CANCELS_QUEUE,
      callback: (_error, message) => {
        const [, , , org, request] = message.subject.split('.');
        if (!this.router.mayBeJob(org!, request!)) return;
        this.cancelledJobs
          .keep(org!, request!)
          .catch((error: Error) => this.log.warn(`the cancel of ${request} was not written down: ${error.message}`));
      },
    });
    this.consumer = runConsumer(this.bus, {
      stream: STREAMS.jobs.name,
      durable: DURABLES.routerJobs,
      maxBatch: 1,
      concurrency: this.router.config.limits.jobsInFlightPerRouter,
      handle: ([delivery]) => this.run(delivery!),
      onError: (error) => this.log.warn(`jobs: ${(error as Error).message}`),
    });
  }

  async onApplicationShutdown(): Promise<void> {
    this.cancels?.unsubscribe();
    await this.consumer?.drain();
  }

  @MessagePattern('inference.job.v1.*')
  async accept(@Payload() _data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    const org = message.subject.split('.')[3]!;
    if (!isOrgReply(org, message.reply)) {
      return this.log.warn(`a job of ${org} names a reply subject outside _INBOX_${org}. and is not accepted`);
    }
    const incoming = incomingOf(message);
    // The same Nats-Msg-Id of the same org is the same job; orgs cannot touch each other's.
    const messageId = message.headers?.get(HEADERS.messageId);
    const requestId = messageId ? uuidV5(`${org}/${messageId}`, JOB_NAMESPACE) : requestIdOf(incoming);
    const parsed = parseRequest(
      { ...incoming, header: (n) => (n === 'request' && messageId ? '' : incoming.header(n)) },
      requestId,
      this.router.bodyLimit(org),
    );
    if ('code' in parsed) return this.answer(message, requestId, parsed);
    if (parsed.body.stream)
      return this.answer(message, requestId, {
        code: 'body_invalid',
        message: 'stream: a job cannot stream',
        param: 'stream',
      });
    const caller = this.router.resolve(org, incoming.header('key') || undefined, parsed.metadata);
    if ('code' in caller) return this.answer(message, requestId, caller);
    const wanted: KnownJob = {
      fingerprint: fingerprintOf({ ...parsed, attribution: caller.attribution }),
      acceptedAt: new Date().toISOString(),
      claim: `job-${newId()}`,
      messageId: `${org}/${requestId}`,
      state: 'taken',
    };
    const isNamed = Boolean(messageId) || Boolean(incoming.header('request'));
    try {
      const taken = isNamed ? await takeJob(this.jobs, org, requestId, wanted) : undefined;
      if (taken?.as === 'reused')
        return this.answer(message, requestId, {
          code: 'idempotency_key_reused',
          message: 'The id of this job was used for a different one, whose result is kept.',
        });
      if (taken?.as === 'known') return this.accepted(message, requestId, taken.job.sequence ?? 0, true);
      const job = taken?.job ?? wanted;
      const ack = await this.bus.publishEvent({
        type: 'job.accepted.v1',
        subject: subjects.jobAccepted(org, requestId),
        id: job.messageId,
        time: job.acceptedAt,
        data: {
          requestId,
          org,
          kind: parsed.kind,
          attribution: caller.attribution,
          ...(caller.org.routes ? { routes: caller.org.routes } : {}),
          body: parsed.source?.sent ?? parsed.body,
          acceptedAt: job.acceptedAt,
          claim: job.claim,
        },
        context: extractTrace(message.headers),
      });
      this.accepted(message, requestId, ack.sequence, ack.duplicate);
      // Without that word a job of this id is published again, and known by its message id for as long as the queue knows it.
      if (taken)
        await jobIsKept(this.jobs, org, requestId, taken, ack.sequence).catch((error: Error) =>
          this.log.warn(`that the job ${requestId} is kept was not written down: ${error.message}`),
        );
    } catch (error) {
      this.answer(message, requestId, {
        code: 'internal',
        message: `the job could not be kept: ${(error as Error).message}`,
        retryAfterSeconds: 1,
      });
    }
  }

  /** The shape of a JetStream acknowledgement, so that `js.publish` works as it is. */
  private accepted(message: Msg, requestId: string, seq: number, isDuplicate: boolean): void {
    const duplicate = isDuplicate ? { duplicate: true } : {};
    message.respond(JSON.stringify({ stream: STREAMS.jobs.name, seq, ...duplicate, request_id: requestId }));
  }

  private answer(message: Msg, requestId: string, refusal: Refusal): void {
    const h = headers();
    h.set(HEADERS.serviceError, refusal.code);
    h.set(HEADERS.serviceErrorCode, String(ERRORS[refusal.code].status));
    const body = errorBody(refusal, requestId) as { error: object };
    // `description` is where JetStream clients look for the words of an error.
    message.respond(JSON.stringify({ ...body, error: { ...body.error, description: refusal.message } }), {
      headers: h,
    });
  }

  private async run(delivery: Delivery): Promise<void> {
    const { data: job } = delivery.decode(['job.accepted.v1']);
    // A job that is delivered again after its result was published has ended.
    if (await this.jobs.hasResult(job.org, job.requestId, job.acceptedAt)) return this.ended(job);
    const { answer, cancelled } = job.afterBatch ?? {};
    if (cancelled) return this.publishCancelled(job, delivery);
    if (answer) return this.publishResult(job, 'ok', answer, delivery);
    const isCancelled = await this.isCancelled(job);
    // From here to its being in flight nothing is waited for, so that no cancel and no other delivery falls in between.
    // A queue may deliver what somebody has in hand: that is no reason to refuse it.
    if (this.router.isInFlight(job.org, job.requestId)) return delivery.retry(RETRY_MS);
    if (isCancelled) return this.publishCancelled(job, delivery);
    const org = this.router.directory.orgs.get(job.org);
    const acceptedMs = Date.parse(job.acceptedAt);
    const read = readRequest(job.kind, job.body);
    if ('code' in read) return this.publishResult(job, 'error', errorBody(read, job.requestId), delivery);
    const { body: request, source } = read;
    const deadlineMs = acceptedMs + (request.meritorder?.deadline_ms ?? JOB_DEADLINE_MS);
    const inbox = `${SERVICE_INBOX.router}.job.${newId()}`;
    const subscription = this.bus.nats.subscribe(inbox, { max: 1 });
    try {
      const answered = this.first(subscription, this.router.config.limits.requestDeadlineMs + 10_000);
      const outcome = org
        ? await this.router.dispatch({
            requestId: job.requestId,
            isJob: true,
            claim: job.claim ?? `job-${job.requestId}`,
            jobDeadlineMs: deadlineMs,
            ...(job.afterBatch ? {} : { job }),
            kind: job.kind,
            body: request,
            source,
            attribution: job.attribution,
            org: narrowed(org, job.routes),
            replyTo: inbox,
            context: delivery.context,
            deadlineMs: Math.min(deadlineMs, Date.now() + this.router.config.limits.requestDeadlineMs),
          })
        : ({
            ended: 'refused',
            refusal: { code: 'org_unknown', message: `The org "${job.org}" is not configured any more.` },
          } satisfies DispatchOutcome as DispatchOutcome);
      if (outcome.ended === 'batched') return;
      if (outcome.ended === 'refused') {
        const waitMs = this.failedRuns.waitMs(`${job.org}/${job.requestId}`, outcome.refusal);
        if (waitMs !== undefined && Date.now() + waitMs < deadlineMs) return delivery.retry(waitMs);
      }
      const body =
        outcome.ended === 'refused'
          ? errorBody(outcome.refusal, job.requestId)
          : ((await answered)?.json<Record<string, unknown>>() ??
            errorBody({ code: 'internal', message: 'no answer came' }, job.requestId));
      await this.publishResult(job, 'error' in body ? 'error' : 'ok', body, delivery);
    } finally {
      subscription.unsubscribe();
    }
  }

  private async isCancelled({ org, requestId }: JobAcceptedV1): Promise<boolean> {
    return (await this.cancelledJobs.has(org, requestId)) || this.router.wasCancelledLately(org, requestId);
  }

  private publishCancelled(job: JobAcceptedV1, delivery: Delivery): Promise<void> {
    const body = errorBody({ code: 'cancelled', message: CANCELLED }, job.requestId);
    return this.publishResult(job, 'error', body, delivery);
  }

  private async publishResult(
    job: JobAcceptedV1,
    status: 'ok' | 'error',
    body: Record<string, unknown>,
    delivery: Delivery,
  ): Promise<void> {
    const { org, requestId, acceptedAt } = job;
    const finishedAt = new Date().toISOString();
    await this.bus.publishEvent({
      type: 'inference.result.v1',
      subject: subjects.inferenceResult(org, requestId),
      id: `${org}/${requestId}/${Date.parse(acceptedAt)}/result`,
      time: finishedAt,
      data: { requestId, org, status, body, finishedAt, acceptedAt },
      context: delivery.context,
    });
    await this.ended(job);
  }

  /** Unsaid, its id is not free before it is forgotten. */
  private async ended({ org, requestId, acceptedAt }: JobAcceptedV1): Promise<void> {
    await this.jobs
      .ended(org, requestId, acceptedAt)
      .catch((error: Error) =>
        this.log.warn(`that the job ${requestId} has ended was not written down: ${error.message}`),
      );
  }

  private async first(subscription: AsyncIterable<Msg>, timeoutMs: number): Promise<Msg | undefined> {
    const timeout = new Promise<undefined>((r) => setTimeout(() => r(undefined), timeoutMs).unref());
    const message = (async () => {
      for await (const m of subscription) return m;
      return undefined;
    })();
    return Promise.race([message, timeout]);
  }
}
