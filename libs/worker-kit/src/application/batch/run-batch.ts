import {
  closedUnsent,
  type BackendConfig,
  type BatchCollectedV1,
  type BatchLine,
  type BatchStateV1,
  type UsageAttemptClosedV1,
} from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import { UpstreamError, type Credential } from '../ports.js';
import type { ProviderWires } from '../upstream-for.js';
import { endOfLine, UNKNOWN } from './batch-line.js';
import type { BatchAccount, BatchApi, BatchEnds, BatchStore, CallEnd } from './batch-ports.js';

export interface BatchPorts {
  clock: Clock;
  store: BatchStore;
  wires: ProviderWires;
  api(backend: BackendConfig): BatchApi;
  credentials(backend: BackendConfig): readonly Credential[];
  /** One that may be used now; undefined: all cool down. */
  takeCredential(backend: BackendConfig): Credential | undefined;
  giveBack(backend: BackendConfig, credential: Credential, failure: UpstreamError | undefined): void;
  /** Repeats until the stream has it. */
  closed(event: UsageAttemptClosedV1): Promise<void>;
  maxAnswerBytes: number;
  warn(message: string): void;
}

/** `over`: each of its jobs has gone on. Else after how long to look again. */
export type Step = { over: true } | { over: false; againMs: number };

/** A batch with how far it is: `lines` are those that go, `unsent` those that were cancelled before. */
interface InHand extends BatchCollectedV1 {
  state: BatchStateV1;
  unsent: readonly BatchLine[];
}

/** Its lines are recorded and opened all at once, which takes 10 s at most. */
const RELEASED_WITHIN_MS = 15_000;
const RELEASE_AGAIN_MS = 250;
/** A batch that was perhaps sent shows in the provider's list within this, or it is taken for lost. */
const SETTLES_MS = 60_000;
const LOOK_AGAIN_MS = 2_000;
const LONGEST_POLL_MS = 600_000;
/** An older batch is asked for less often: it ends at most a tenth of its age before that is noticed. */
const POLLS_OF_AGE = 10;
const NOT_TAKEN: BatchEnds = { of: new Map(), others: { notRun: 'it was not taken' } };
/** Lines whose ends are told at once. */
const TOLD_AT_ONCE = 32;

/**
 * Takes a batch one step further: sent, asked for, or ended. What was done is in the store before and after each call to the
 * provider, so that whoever goes on after a crash, this worker or another, knows: a batch is never sent a second time once it may
 * have been sent. The provider is asked for it; one that it does not have is lost, and each of its attempts an unconfirmed charge.
 */
export async function runBatch(
  collected: BatchCollectedV1,
  backend: BackendConfig | undefined,
  ports: BatchPorts,
): Promise<Step> {
  const state = await ports.store.state(collected.batch);
  if (state?.over) return { over: true };
  if (!state || (state.released.length === 0 && !state.ending)) return giveUp(collected, state, ports);
  const batch = inHand(collected, state);
  if (!backend?.batch) return end(batch, undefined, ports, { of: new Map(), others: UNKNOWN });
  if (state.sentAt === undefined)
    return state.ending ? end(batch, backend, ports, NOT_TAKEN) : send(collected, batch, backend, ports);
  const sent = { ...state, sentAt: state.sentAt };
  const credential = ports.credentials(backend).find((c) => c.id === sent.credential) ?? ports.credentials(backend)[0]!;
  const account = { backend, credential };
  try {
    return sent.providerId === undefined
      ? await lookFor(batch, sent, account, ports)
      : await ask(batch, { ...sent, providerId: sent.providerId }, account, ports);
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    ports.warn(`batch ${batch.batch} of ${backend.id}: ${error.message}`);
    // It is not there any more, which is not what a list that lags behind means.
    const isGone = error.details.status === 404 && ports.clock.nowMs() - Date.parse(sent.sentAt) > SETTLES_MS;
    return isGone || ports.clock.nowMs() > lastDeadlineMs(batch)
      ? end(batch, backend, ports, { of: new Map(), others: UNKNOWN })
      : { over: false, againMs: pollMs(batch, backend, ports) };
  }
}

/** Not released in time: its worker died before, so nothing of it was sent, and its routers have the jobs. */
async function giveUp(
  batch: BatchCollectedV1,
  state: BatchStateV1 | undefined,
  { clock, store, closed }: BatchPorts,
): Promise<Step> {
  const isLate = clock.nowMs() - Date.parse(batch.collectedAt) > RELEASED_WITHIN_MS;
  if (!state && !isLate) return { over: false, againMs: RELEASE_AGAIN_MS };
  if (!state && !(await store.decide(batch.batch, { released: [] }))) return { over: false, againMs: RELEASE_AGAIN_MS };
  for (const { work, worker } of batch.lines) await closed(closedUnsent(work, worker, clock.nowMs(), 'no-worker'));
  await store.put(batch.batch, { released: [], over: true });
  return { over: true };
}

function inHand(collected: BatchCollectedV1, state: BatchStateV1): InHand {
  const of = (ids: readonly string[] = []): BatchLine[] => {
    const some = new Set(ids);
    return collected.lines.filter(({ work }) => some.has(work.terms.attemptId));
  };
  return { ...collected, state, lines: of(state.released), unsent: of(state.withdrawn) };
}

/** Without those that were cancelled by now. */
async function withoutCancelled(batch: InHand, collected: BatchCollectedV1, store: BatchStore): Promise<InHand> {
  const cancelled = await store.cancelled(batch.batch);
  const { released, withdrawn = [] } = batch.state;
  const leaving = released.filter((id) => cancelled.has(id));
  if (leaving.length === 0) return batch;
  return inHand(collected, {
    ...batch.state,
    released: released.filter((id) => !cancelled.has(id)),
    withdrawn: [...withdrawn, ...leaving],
  });
}

async function send(
  collected: BatchCollectedV1,
  whole: InHand,
  backend: BackendConfig,
  ports: BatchPorts,
): Promise<Step> {
  const { clock, store } = ports;
  const batch = await withoutCancelled(whole, collected, store);
  const nothing = (why: string): Promise<Step> =>
    end(batch, backend, ports, { of: new Map(), others: { notRun: why } });
  if (batch.lines.length === 0) {
    const isMine = await store.beginSending(batch.batch, { ...batch.state, ending: true });
    return isMine ? end(batch, backend, ports, NOT_TAKEN) : { over: false, againMs: LOOK_AGAIN_MS };
  }
  const firstDeadlineMs = Math.min(...batch.lines.map(({ work }) => Date.parse(work.terms.deadlineAt)));
  if (clock.nowMs() >= firstDeadlineMs) return nothing('the deadline passed before it was sent');
  const credential = ports.takeCredential(backend);
  if (!credential) return { over: false, againMs: backend.batch!.pollSeconds * 1_000 };
  const sent = { ...batch.state, credential: credential.id, sentAt: new Date(clock.nowMs()).toISOString() };
  let failure: UpstreamError | undefined;
  try {
    if (!(await store.beginSending(batch.batch, sent))) return { over: false, againMs: LOOK_AGAIN_MS };
    const calls = batch.lines.map(({ work, call }) => ({ id: work.terms.attemptId, ...call }));
    const providerId = await ports.api(backend).submit({ backend, credential }, batch.batch, calls);
    await store.put(batch.batch, { ...sent, providerId });
    await tellUnsent(batch, ports);
    return { over: false, againMs: pollMs(batch, backend, ports) };
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    failure = error;
    ports.warn(`batch ${batch.batch} of ${backend.id} was not taken: ${error.message}`);
    const { sent: wasSent, refusedUpstream, retryAfterSeconds, retryable } = error.details;
    if (wasSent && !refusedUpstream) return { over: false, againMs: LOOK_AGAIN_MS };
    await store.put(batch.batch, batch.state);
    await tellUnsent(batch, ports);
    if (!retryable) return nothing(error.message);
    return { over: false, againMs: (retryAfterSeconds ?? backend.batch!.pollSeconds) * 1_000 };
  } finally {
    ports.giveBack(backend, credential, failure);
  }
}

async function lookFor(
  batch: InHand,
  sent: BatchStateV1 & { sentAt: string },
  account: BatchAccount,
  ports: BatchPorts,
): Promise<Step> {
  const ids = new Set(batch.lines.map(({ work }) => work.terms.attemptId));
  const sentAtMs = Date.parse(sent.sentAt);
  const found = await ports.api(account.backend).find(account, { name: batch.batch, sentAtMs, ids });
  if (found && 'providerId' in found) await ports.store.put(batch.batch, { ...sent, providerId: found.providerId });
  // One that does not tell before it has ended is waited for as long as its jobs may wait.
  if (found && ('providerId' in found || ports.clock.nowMs() <= lastDeadlineMs(batch)))
    return { over: false, againMs: pollMs(batch, account.backend, ports) };
  if (ports.clock.nowMs() - sentAtMs < SETTLES_MS) return { over: false, againMs: LOOK_AGAIN_MS };
  ports.warn(`batch ${batch.batch} of ${account.backend.id} is lost: its charge is unconfirmed`);
  return end(batch, account.backend, ports, { of: new Map(), others: UNKNOWN });
}

async function ask(
  batch: InHand,
  sent: BatchStateV1 & { providerId: string },
  account: BatchAccount,
  ports: BatchPorts,
): Promise<Step> {
  const { providerId } = sent;
  if (sent.cancelledAt === undefined) await cancelWhole(batch, sent, account, ports);
  const ends = await ports.api(account.backend).ends(account, providerId);
  if (ends) return end(batch, account.backend, ports, ends);
  if (ports.clock.nowMs() > lastDeadlineMs(batch))
    return end(batch, account.backend, ports, { of: new Map(), others: UNKNOWN });
  return { over: false, againMs: pollMs(batch, account.backend, ports) };
}

/** Where nobody waits for any of its lines any more, what has not been run is not to be. */
async function cancelWhole(
  { batch, lines, backend }: InHand,
  sent: BatchStateV1 & { providerId: string },
  account: BatchAccount,
  { store, api, clock, warn }: BatchPorts,
): Promise<void> {
  const cancelled = await store.cancelled(batch);
  if (!lines.every(({ work }) => cancelled.has(work.terms.attemptId))) return;
  try {
    await api(account.backend).cancel(account, sent.providerId);
    await store.put(batch, { ...sent, cancelledAt: new Date(clock.nowMs()).toISOString() });
  } catch (error) {
    // It may have ended before; else it is asked again.
    if (!(error instanceof UpstreamError)) throw error;
    warn(`batch ${batch} of ${backend} was not cancelled: ${error.message}`);
  }
}

/** Lines that were cancelled in time: they cost nothing. */
async function tellUnsent({ unsent }: InHand, { clock, closed, store }: BatchPorts): Promise<void> {
  for (const { work, worker, job } of unsent) {
    await closed(closedUnsent(work, worker, clock.nowMs(), 'cancelled'));
    await store.jobGoesOn({ ...job, afterBatch: { cancelled: true } }, work.terms.attemptId);
  }
}

/** Each line is closed in the books, and then its job goes on; repeated after a crash, it changes nothing. */
async function end(
  batch: InHand,
  backend: BackendConfig | undefined,
  ports: BatchPorts,
  { of, others = UNKNOWN }: BatchEnds,
): Promise<Step> {
  const { store, wires, maxAnswerBytes, clock } = ports;
  if (!batch.state.ending) await store.put(batch.batch, { ...batch.state, ending: true });
  const cancelled = await store.cancelled(batch.batch);
  await tellUnsent(batch, ports);
  for (let from = 0; from < batch.lines.length; from += TOLD_AT_ONCE)
    await Promise.all(
      batch.lines.slice(from, from + TOLD_AT_ONCE).map(async (line) => {
        const { attemptId } = line.work.terms;
        const ended: CallEnd = of.get(attemptId) ?? others;
        const isCancelled = cancelled.has(attemptId);
        const to = { backend, wires, nowMs: clock.nowMs(), maxAnswerBytes, isCancelled };
        const { closed, answer } = await endOfLine(line, ended, to);
        await ports.closed(closed);
        await store.jobGoesOn(
          { ...line.job, afterBatch: isCancelled ? { cancelled: true } : answer ? { answer } : {} },
          attemptId,
        );
      }),
    );
  await store.put(batch.batch, { released: [], over: true });
  return { over: true };
}

function lastDeadlineMs({ lines }: BatchCollectedV1): number {
  return Math.max(...lines.map(({ work }) => Date.parse(work.terms.deadlineAt)));
}

function pollMs({ collectedAt }: BatchCollectedV1, { batch }: BackendConfig, { clock }: BatchPorts): number {
  const ageMs = clock.nowMs() - Date.parse(collectedAt);
  return Math.min(LONGEST_POLL_MS, Math.max(batch!.pollSeconds * 1_000, ageMs / POLLS_OF_AGE));
}
