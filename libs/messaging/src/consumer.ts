import type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import { headers, type MsgHdrs } from '@nats-io/transport-node';
import type { Context } from '@opentelemetry/api';
import { subjects, type EventType } from '@meritorder/contracts';
import { decodeEvent, PoisonMessage, type ReceivedEvent } from './cloud-events.js';
import type { Bus } from './bus.js';
import { extractTrace } from './trace-context.js';

/** One message of a durable consumer, with exactly one of `done`, `retry`, `deadLetter` to be said of it. */
export interface Delivery {
  readonly subject: string;
  readonly headers: MsgHdrs | undefined;
  readonly data: Uint8Array;
  readonly streamSequence: number;
  /** 1 for the first delivery. */
  readonly deliveryCount: number;
  readonly context: Context;
  /** @throws PoisonMessage */
  decode<T extends EventType>(allowed: readonly T[]): ReceivedEvent<T>;
  done(): void;
  retry(delayMs?: number): void;
  deadLetter(reason: string): Promise<void>;
}

export interface ConsumerOptions {
  stream: string;
  durable: string;
  /** Most messages handed over at once. */
  maxBatch: number;
  /** Most batches in hand at once. Default 1: in order. */
  concurrency?: number;
  /**
   * Processes a batch. What it leaves unsaid when it returns is `done`; when it throws, a PoisonMessage dead-letters a
   * batch of one, and anything else has the unsaid messages delivered again with a growing delay.
   */
  handle(batch: Delivery[]): Promise<void>;
  onError(error: unknown): void;
  /** A message that failed this often alone goes to the dead letters. Undefined: never, it is money. */
  maxDeliveries?: number;
}

export interface RunningConsumer {
  /** Stops pulling, lets the batch in hand end, gives the rest back. */
  drain(): Promise<void>;
  pending(): number;
}

/** Well below the shortest acknowledgement wait (5 s). */
const WORKING_EVERY_MS = 1_500;

/** A pull loop over a durable consumer: bounded, batching by what has arrived, alive through reconnects. */
export function runConsumer(bus: Bus, options: ConsumerOptions): RunningConsumer {
  let stopping = false;
  let messages: ConsumerMessages | undefined;
  const buffer: JsMsg[] = [];
  const inHand = new Set<JsMsg>();
  const running = new Set<Promise<void>>();
  let wake: () => void = () => {};

  const pull = async (): Promise<void> => {
    let backoffMs = 100;
    while (!stopping) {
      try {
        const consumer = await bus.jetstream.consumers.get(options.stream, options.durable);
        messages = await consumer.consume({
          max_messages: options.maxBatch * 2,
          expires: 5_000,
          idle_heartbeat: 2_000,
        });
        backoffMs = 100;
        for await (const message of messages) {
          buffer.push(message);
          wake();
        }
      } catch (error) {
        if (stopping) return;
        options.onError(error);
        await new Promise((resolve) => setTimeout(resolve, backoffMs));
        backoffMs = Math.min(5_000, backoffMs * 2);
      }
    }
  };

  const process = async (): Promise<void> => {
    while (!stopping) {
      if (buffer.length === 0 || running.size >= (options.concurrency ?? 1)) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      const batch = processBatch(bus, options, buffer.splice(0, options.maxBatch), inHand).finally(() => {
        running.delete(batch);
        wake();
      });
      running.add(batch);
    }
    await Promise.all(running);
  };

  const keepAlive = setInterval(() => {
    for (const message of inHand) message.working();
    for (const message of buffer) message.working();
  }, WORKING_EVERY_MS);
  keepAlive.unref();

  const pulling = pull();
  const processing = process();
  return {
    pending: () => buffer.length + inHand.size,
    async drain() {
      stopping = true;
      messages?.stop();
      wake();
      clearInterval(keepAlive);
      await processing;
      for (const message of buffer.splice(0)) message.nak();
      await pulling;
    },
  };
}

async function processBatch(bus: Bus, options: ConsumerOptions, batch: JsMsg[], inHand: Set<JsMsg>): Promise<void> {
  for (const message of batch) inHand.add(message);
  const deliveries = batch.map((message) => deliveryOf(bus, options, message, () => inHand.delete(message)));
  try {
    await options.handle(deliveries);
    for (const delivery of deliveries) if (!delivery.said()) delivery.done();
  } catch (error) {
    if (!(error instanceof PoisonMessage)) options.onError(error);
    for (const delivery of deliveries) {
      if (delivery.said()) continue;
      const hopeless = options.maxDeliveries !== undefined && delivery.deliveryCount >= options.maxDeliveries;
      if ((error instanceof PoisonMessage && batch.length === 1) || hopeless) {
        await delivery.deadLetter((error as Error).message).catch(options.onError);
      } else delivery.retry();
    }
  } finally {
    for (const message of batch) inHand.delete(message);
  }
}

function deliveryOf(
  bus: Bus,
  options: ConsumerOptions,
  message: JsMsg,
  settled: () => void,
): Delivery & { said(): boolean } {
  let said = false;
  const say = (action: () => void): void => {
    if (said) return;
    said = true;
    settled();
    action();
  };
  return {
    subject: message.subject,
    headers: message.headers,
    data: message.data,
    streamSequence: message.info.streamSequence,
    deliveryCount: message.info.deliveryCount,
    get context() {
      return extractTrace(message.headers);
    },
    decode: (allowed) => decodeEvent(allowed, message),
    said: () => said,
    done: () => say(() => message.ack()),
    retry: (delayMs) =>
      say(() => message.nak(delayMs ?? Math.min(30_000, 100 * 2 ** Math.min(10, message.info.deliveryCount - 1)))),
    async deadLetter(reason) {
      if (said) return;
      const h = headers();
      for (const key of message.headers?.keys() ?? [])
        h.set(`original-${key}`.slice(0, 128), message.headers!.get(key));
      h.set('Meritorder-Reason', reason.replace(/[\r\n]+/g, ' ').slice(0, 1_000));
      h.set('Meritorder-Subject', message.subject);
      h.set('Meritorder-Stream', options.stream);
      h.set('Meritorder-Sequence', String(message.info.streamSequence));
      await bus.jetstream.publish(
        subjects.deadLetter(options.stream.toLowerCase().replaceAll('_', '-')),
        message.data,
        {
          headers: h,
          msgID: `${options.stream}/${options.durable}/${message.info.streamSequence}`,
        },
      );
      // 2.9 redelivers a `term` with a reason; the bare one ends it.
      say(() => message.term());
    },
  };
}
