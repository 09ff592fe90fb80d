import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import {
  DURABLES,
  hostOfUsage,
  STREAMS,
  type UsageAttemptExtendedV1,
  type UsageAttemptOpenedV1,
} from '@meritorder/contracts';
import { nanosToUsd } from '@meritorder/kernel';
import { PoisonMessage, runConsumer, traceparentOf, type Delivery, type RunningConsumer } from '@meritorder/messaging';
import { meter, tracer } from '@meritorder/telemetry';
import { SpanKind, trace, type Span } from '@opentelemetry/api';
import { bookUsage, CannotBeBooked, UnknownPriceVersion, type ClosedAttempt } from '../application/book-usage.js';
import { foreignByBackend, foreignByBooks } from '../application/records-of-hosts.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

const MAX_BATCH = 200;

interface OpenedDelivery {
  event: UsageAttemptOpenedV1;
  delivery: Delivery;
}
interface ExtendedDelivery {
  event: UsageAttemptExtendedV1;
  delivery: Delivery;
}
type ClosedDelivery = ClosedAttempt & { delivery: Delivery };

/**
 * What a metering had in hand that was killed comes again after what came later, so an attempt may be closed before it is on record
 * as opened: that is asked again for longer than the wait for an acknowledgement (5 s) and another failure take.
 */
const UNOPENED_RETRY_MS = 1_000;
const MOST_DELIVERIES_UNOPENED = 20;

/** `usage.attempt-opened`, `-extended` and `-closed`, in batches: opened and extended first, then booked, then settled, then acknowledged. */
@Injectable()
export class UsageConsumer implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(UsageConsumer.name);
  private consumer: RunningConsumer | undefined;
  private readonly booked = meter().createCounter('meritorder_attempts_booked', {
    description: 'Attempts booked, by state',
  });

  private readonly unpriced = meter().createCounter('meritorder_attempts_unpriced', {
    description: 'Attempts that used something without a rate, by backend',
  });

  private readonly aboveBound = meter().createCounter('meritorder_attempts_above_bound', {
    description: 'Attempts that were charged more than was held for them, by backend',
  });

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  onApplicationBootstrap(): void {
    this.consumer = runConsumer(this.metering.bus, {
      stream: STREAMS.usage.name,
      durable: DURABLES.metering,
      maxBatch: MAX_BATCH,
      handle: (batch) => this.handle(batch),
      onError: (error) => this.log.warn(`usage: ${(error as Error).message}`),
    });
    meter()
      .createObservableGauge('meritorder_usage_pending', { description: 'Usage messages in hand' })
      .addCallback((result) => result.observe(this.consumer?.pending() ?? 0));
  }

  async onApplicationShutdown(): Promise<void> {
    await this.consumer?.drain();
  }

  private async handle(batch: Delivery[]): Promise<void> {
    const opened: OpenedDelivery[] = [];
    const extended: ExtendedDelivery[] = [];
    const closed: ClosedDelivery[] = [];
    for (const delivery of batch) {
      try {
        const event = delivery.decode([
          'usage.attempt-opened.v1',
          'usage.attempt-extended.v1',
          'usage.attempt-closed.v1',
        ]);
        const foreign = foreignByBackend(event.data as ClosedAttempt['event'], hostOfUsage(delivery.subject), (id) =>
          this.metering.config.backends.find((b) => b.id === id),
        );
        if (foreign) throw new PoisonMessage(foreign);
        if (event.type === 'usage.attempt-opened.v1')
          opened.push({ event: event.data as UsageAttemptOpenedV1, delivery });
        else if (event.type === 'usage.attempt-extended.v1')
          extended.push({ event: event.data as UsageAttemptExtendedV1, delivery });
        else
          closed.push({
            event: event.data as ClosedAttempt['event'],
            traceparent: traceparentOf(delivery.context),
            delivery,
          });
      } catch (error) {
        if (!(error instanceof PoisonMessage)) throw error;
        await this.deadLetter(delivery, error.message);
      }
    }
    try {
      if (opened.length > 0) await this.metering.books.recordOpened(opened.map((o) => o.event));
      if (extended.length > 0) await this.metering.books.recordExtended(extended.map((e) => e.event));
      const own = await this.withoutForeign(closed);
      if (own.length > 0) await this.book(own);
    } catch (error) {
      if (!(error instanceof UnknownPriceVersion || error instanceof CannotBeBooked)) throw error;
      await this.oneByOne([...opened, ...extended, ...closed], error);
    }
  }

  private async deadLetter(delivery: Delivery, reason: string): Promise<void> {
    this.log.error(`usage message ${delivery.streamSequence} goes to the dead letters: ${reason}`);
    await delivery.deadLetter(reason);
  }

  /** Without those with which a host closes what is not its own. What was opened in the same batch is on record by now. */
  private async withoutForeign(closed: readonly ClosedDelivery[]): Promise<ClosedDelivery[]> {
    const hosted = closed.filter(({ delivery }) => hostOfUsage(delivery.subject) !== undefined);
    const recorded = await this.metering.recordedBackends(hosted.map(({ event }) => event.attemptId));
    const own: ClosedDelivery[] = [];
    for (const one of closed) {
      const foreign = foreignByBooks(one.event, hostOfUsage(one.delivery.subject), recorded);
      const mayBeOpenedYet =
        !recorded.has(one.event.attemptId) && one.delivery.deliveryCount < MOST_DELIVERIES_UNOPENED;
      if (!foreign) own.push(one);
      else if (mayBeOpenedYet) one.delivery.retry(UNOPENED_RETRY_MS);
      else await this.deadLetter(one.delivery, foreign);
    }
    return own;
  }

  private async book(closed: ClosedDelivery[]): Promise<void> {
    const spans = this.startSpans(closed);
    try {
      const { settlements, unpriced, aboveBound } = await bookUsage(this.metering.books, closed);
      for (const { attemptId, backend, what } of unpriced) {
        this.unpriced.add(1, { backend });
        this.log.warn(`attempt ${attemptId} of ${backend} used what has no price: ${what.join(', ')}`);
      }
      for (const { attemptId, backend, cashNanos, boundNanos } of aboveBound) {
        this.aboveBound.add(1, { backend });
        this.log.warn(
          `attempt ${attemptId} of ${backend} was charged ${nanosToUsd(cashNanos)} USD, more than the ${nanosToUsd(boundNanos)} USD that were held for it; check the prices of ${backend}`,
        );
      }
      for (const { charge, changed } of settlements) if (changed) this.booked.add(1, { state: charge.state });
      await this.metering.settle(settlements);
    } finally {
      for (const span of spans) span.end();
    }
  }

  /**
   * One attempt that cannot be booked must not hold up the others. One without its price is tried again until the price is
   * there; one that the books cannot hold goes to the dead letters.
   */
  private async oneByOne(
    parts: readonly { delivery: Delivery }[],
    error: UnknownPriceVersion | CannotBeBooked,
  ): Promise<void> {
    if (parts.length > 1) {
      for (const { delivery } of parts) await this.handle([delivery]);
      return;
    }
    const { delivery } = parts[0]!;
    this.log.error(`usage message ${delivery.streamSequence}: ${error.message}`);
    if (error instanceof CannotBeBooked) await delivery.deadLetter(`it cannot be booked: ${error.message}`);
    else delivery.retry(5_000);
  }

  /** The commit of each attempt is the last span of its request's trace, linked to the batch that it was part of. */
  private startSpans(closed: readonly ClosedDelivery[]): Span[] {
    const batch = tracer().startSpan('book usage', {
      kind: SpanKind.CONSUMER,
      root: true,
      attributes: { 'messaging.batch.message_count': closed.length },
    });
    const commits = closed.map(({ event, delivery }) =>
      tracer().startSpan(
        'ledger commit',
        {
          links: [{ context: batch.spanContext() }],
          attributes: { 'meritorder.attempt.id': event.attemptId, 'meritorder.backend': event.backend },
        },
        trace.setSpan(delivery.context, trace.getSpan(delivery.context) ?? batch),
      ),
    );
    return [...commits, batch];
  }
}
