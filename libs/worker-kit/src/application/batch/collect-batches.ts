import {
  closedUnsent,
  type BackendConfig,
  type BatchLine,
  type JobAcceptedV1,
  type WorkEvent,
  type WorkRequest,
} from '@meritorder/contracts';
import { newId, type Clock } from '@meritorder/kernel';
import type { RouterLink, UsageLog } from '../ports.js';
import type { ProviderWires } from '../upstream-for.js';
import { callOf } from './batch-line.js';
import type { BatchStore } from './batch-ports.js';

export interface CollectorPorts {
  clock: Clock;
  wires: ProviderWires;
  store: Pick<BatchStore, 'keep' | 'keepWhere' | 'decide'>;
  worker: string;
  /** Runs something every `ms` until the returned function is called. */
  every(ms: number, run: () => void): () => void;
  warn(message: string): void;
}

/** One job that is to be in a batch. */
export interface Collected {
  work: WorkRequest;
  router: RouterLink;
  usageLog: UsageLog;
  /** It is in hand no more. */
  over(): void;
}

type RefusalCode = Extract<WorkEvent, { type: 'refused' }>['code'];

interface Waiting {
  collected: Collected;
  job: JobAcceptedV1;
  call: BatchLine['call'];
  bytes: number;
}

interface Growing {
  backend: BackendConfig;
  sinceMs: number;
  bytes: number;
  lines: Waiting[];
}

/** Jobs that a provider takes a batch of at least. */
function fewestOf({ batch }: BackendConfig): number {
  return batch?.bedrock?.minRecords ?? 1;
}

const TICK_MS = 100;
const HEARTBEAT_MS = 1_000;

/**
 * Jobs wait here for others that go the same way. Until their batch is made nothing of them is opened and their routers have
 * them, so that a crash loses none and costs nothing. Then they are kept together, each is put on record and its hold opened, and
 * those that may go are released, before a router hears that the worker has its job.
 */
export class BatchCollector {
  private readonly growing = new Map<string, Growing>();
  private readonly making = new Set<Promise<void>>();
  private readonly inHand = new Set<Collected>();
  private readonly stopTimers: (() => void)[];

  constructor(private readonly ports: CollectorPorts) {
    this.stopTimers = [
      ports.every(TICK_MS, () => this.makeDue()),
      ports.every(HEARTBEAT_MS, () => {
        for (const { work, router } of this.inHand)
          router.send({ type: 'heartbeat', attemptId: work.terms.attemptId, firstTokenSeen: false });
      }),
    ];
  }

  async take(backend: BackendConfig, collected: Collected): Promise<void> {
    const { work, router } = collected;
    this.inHand.add(collected);
    const refuse = (message: string): void => {
      router.send({ type: 'refused', code: 'invalid', message });
      this.leave(collected);
    };
    const { job } = work;
    if (!job || !backend.batch) return refuse('only jobs can be in a batch');
    let call: BatchLine['call'];
    try {
      call = await callOf(work, backend, this.ports.wires);
    } catch (error) {
      return refuse((error as Error).message);
    }
    const bytes = Buffer.byteLength(JSON.stringify([work, job, call]));
    // What OpenAI calls an endpoint, of which a batch has one.
    const way = `${backend.id} ${call.path}`;
    const before = this.growing.get(way);
    if (before && before.bytes + bytes > backend.batch.maxBytes) this.make(way, before);
    const growing = this.growing.get(way) ?? { backend, sinceMs: this.ports.clock.nowMs(), bytes: 0, lines: [] };
    this.growing.set(way, growing);
    growing.lines.push({ collected, job, call, bytes });
    growing.bytes += bytes;
    if (growing.lines.length >= backend.maxConcurrency || growing.bytes >= backend.batch.maxBytes)
      this.make(way, growing);
  }

  /** Takes the line of a job out of what is collected. One whose batch is being made, its router does not open. */
  cancel(org: string, requestId: string): void {
    const isOf = ({ job }: Waiting): boolean => job.org === org && job.requestId === requestId;
    for (const [way] of this.growing) this.handBack(way, isOf, 'cancelled', 'its job was cancelled');
  }

  /** Makes batches of all that wait; those that are too few for one go back. */
  async drain(): Promise<void> {
    for (const [way, growing] of this.growing) this.make(way, growing);
    await Promise.all(this.making);
    for (const stop of this.stopTimers) stop();
  }

  private leave(collected: Collected): void {
    this.inHand.delete(collected);
    collected.over();
  }

  /** Lines that wait here go back to their routers, of which none has opened one. */
  private handBack(way: string, which: (line: Waiting) => boolean, code: RefusalCode, message: string): void {
    const growing = this.growing.get(way)!;
    for (const { collected, bytes } of growing.lines.filter(which)) {
      collected.router.send({ type: 'refused', code, message });
      growing.bytes -= bytes;
      this.leave(collected);
    }
    growing.lines = growing.lines.filter((line) => !which(line));
    if (growing.lines.length === 0) this.growing.delete(way);
  }

  private makeDue(): void {
    const nowMs = this.ports.clock.nowMs();
    for (const [way, { backend, lines, sinceMs }] of this.growing) {
      const { collectSeconds, completionSeconds } = backend.batch!;
      if (lines.length >= fewestOf(backend)) {
        if (nowMs - sinceMs >= collectSeconds * 1_000) this.make(way, this.growing.get(way)!);
        continue;
      }
      // Too few for a batch: whoever could be answered by none that is sent later is to be called at once.
      const isLate = ({ collected }: Waiting): boolean =>
        Date.parse(collected.work.terms.deadlineAt) - nowMs <= completionSeconds * 1_000;
      this.handBack(way, isLate, 'deadline', `no batch had ${fewestOf(backend)} jobs while there was time for one`);
    }
  }

  private make(way: string, growing: Growing): void {
    const { backend, lines } = growing;
    if (lines.length < fewestOf(backend)) {
      const message = `too few for a batch: ${lines.length} of at least ${fewestOf(backend)} jobs`;
      return this.handBack(way, () => true, 'busy', message);
    }
    this.growing.delete(way);
    const making = this.makeBatch(growing)
      .catch((error: Error) => this.ports.warn(`a batch of ${growing.backend.id}: ${error.message}`))
      .finally(() => {
        this.making.delete(making);
        for (const { collected } of growing.lines) this.leave(collected);
      });
    this.making.add(making);
  }

  private async makeBatch({ backend, lines: waiting }: Growing): Promise<void> {
    const { clock, store, worker } = this.ports;
    const batch = newId();
    const collectedAt = new Date(clock.nowMs()).toISOString();
    const lines = waiting.map(({ collected, job, call }): BatchLine => {
      const { job: _job, ...work } = collected.work;
      return { work, job, worker, openedAt: collectedAt, call };
    });
    // Kept first: what is opened next is in the hands of whoever finds it, should this worker die.
    await store.keep({ batch, backend: backend.id, collectedAt, lines });
    const opened = (await Promise.all(waiting.map((w) => this.open(batch, w)))).flatMap((o) => o ?? []);
    const released = opened.map(({ work }) => work.terms.attemptId);
    const going = await store.decide(batch, released.length > 0 ? { released } : { released, over: true });
    for (const { work, router } of opened)
      router.send(
        going
          ? { type: 'batched', attemptId: work.terms.attemptId }
          : { type: 'refused', code: 'given-up', message: 'its batch was given up' },
      );
  }

  /** As an attempt that is called at once: on record and opened by its router. Undefined: it is not to go. */
  private async open(batch: string, { collected, job }: Waiting): Promise<Collected | undefined> {
    const { clock, store, worker } = this.ports;
    const { router, usageLog, work } = collected;
    const { attemptId } = work.terms;
    try {
      // From its opening on, whoever cancels it must find it.
      const { body: _body, ...where } = job;
      await store.keepWhere({ batch, attemptId, job: where });
    } catch (error) {
      router.send({ type: 'refused', code: 'busy', message: `no batch took it: ${(error as Error).message}` });
      return undefined;
    }
    const answer = await router.mayGo(attemptId);
    if (answer?.type === 'go') return collected;
    await usageLog.closed(closedUnsent(work, worker, clock.nowMs(), answer ? 'stopped' : 'no-router'));
    return undefined;
  }
}
