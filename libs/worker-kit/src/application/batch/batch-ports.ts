import type { BackendConfig, BatchCollectedV1, BatchStateV1, JobAcceptedV1, JobInBatchV1 } from '@meritorder/contracts';
import type { Credential, WireReply } from '../ports.js';

/** Whose batches, and as whom. */
export interface BatchAccount {
  backend: BackendConfig;
  credential: Credential;
}

/** One call of a batch. */
export interface BatchCall {
  /** What its end is told by, and what the provider's invoice names. */
  id: string;
  /** Below the version: all of one batch have the same. */
  path: string;
  body: Record<string, unknown>;
}

/** How a call ended: with the reply that it would have had alone, or `notRun`, which costs nothing. */
export type CallEnd = { reply: WireReply } | { notRun: string };

export interface BatchEnds {
  of: ReadonlyMap<string, CallEnd>;
  /** Of calls that are not in it; undefined: nobody knows. */
  others: CallEnd | undefined;
}

export interface SoughtBatch {
  name: string;
  /** When it was about to be submitted, by our clock. */
  sentAtMs: number;
  /** Of its calls. */
  ids: ReadonlySet<string>;
}

/** `notYet`: one that may be it does not tell before it has ended. */
export type FoundBatch = { providerId: string } | { notYet: true };

/** A provider's batch API. No retries of its own. Every method throws UpstreamError. */
export interface BatchApi {
  /** @param name under which it is kept where a provider keeps names @returns what the provider calls it */
  submit(account: BatchAccount, name: string, calls: readonly BatchCall[]): Promise<string>;
  /** A batch that was perhaps submitted; undefined: the provider does not have it. */
  find(account: BatchAccount, sought: SoughtBatch): Promise<FoundBatch | undefined>;
  /** Undefined: it has not ended. */
  ends(account: BatchAccount, providerId: string): Promise<BatchEnds | undefined>;
  /** Asks for the whole of it to be cancelled: what was run by then is charged, and in how it ends. */
  cancel(account: BatchAccount, providerId: string): Promise<void>;
}

/** Where batches are until all of their jobs have gone on. Survives this process. */
export interface BatchStore {
  /** Repeats until it is certain. */
  keep(batch: BatchCollectedV1): Promise<void>;
  /** By its job; what is kept of a job later wins. */
  keepWhere(where: JobInBatchV1): Promise<void>;
  whereIs(org: string, requestId: string): Promise<JobInBatchV1 | undefined>;
  /** Those of a batch whose jobs were cancelled. */
  cancelled(batch: string): Promise<ReadonlySet<string>>;
  addCancelled(batch: string, attemptId: string): Promise<void>;
  state(batch: string): Promise<BatchStateV1 | undefined>;
  /** The first word on a batch; repeats until it is certain. False: somebody else had it. */
  decide(batch: string, state: BatchStateV1): Promise<boolean>;
  /** False: somebody did so before. */
  beginSending(batch: string, state: BatchStateV1): Promise<boolean>;
  put(batch: string, state: BatchStateV1): Promise<void>;
  /** A job goes on to a router, with what is in its `afterBatch`. Repeating it with the same attempt is harmless. */
  jobGoesOn(job: JobAcceptedV1, attemptId: string): Promise<void>;
}
