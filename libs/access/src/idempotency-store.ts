import { claimKey, forgetAnswers, freeKey, keepAnswer, type KeptAnswer } from '@meritorder/ledger-store';
import { sha256Hex } from '@meritorder/kernel';
import { meter } from '@meritorder/telemetry';
import type { DataSource } from 'typeorm';
import { forgetAll, forgetEveryMinute } from './forget-every-minute.js';

const KEPT_MS = 24 * 3_600_000;

export type Claim =
  { state: 'claimed' } | { state: 'in-flight' } | ({ state: 'finished' } & KeptAnswer) | { state: 'mismatch' };

export interface IdempotencyOptions {
  /** The longest that a request may take (`limits.requestDeadlineMs`); after it and the grace, its claim can be taken over. */
  requestDeadlineMs: number;
  /** Default 30 s. */
  graceMs?: number;
  /** Body and headers of an answer; a larger one is not kept, and its duplicates are told that it is in flight. Default 4 MiB. */
  maxAnswerBytes?: number;
  /** Default 24 h. */
  keptMs?: number;
  onError?: (message: string) => void;
}

/**
 * The answers of requests with an `Idempotency-Key`, for 24 hours per org and key.
 *
 * A claim whose owner died can be taken over, by the same request, once it has been in flight for longer than any request may be.
 * That never charges twice, since it is not this claim that guards the money: the gateway sends the key on as
 * `meritorder.idempotency_key`, and the router claims that before its decision (ADR 14). If the first request was run, whoever
 * takes over is refused with `request_duplicate`; if it never came to a router, it runs now.
 */
export class PostgresIdempotencyStore {
  private readonly kept = meter().createCounter('meritorder_idempotency_answers', {
    description: 'Answers by what became of them: kept, too-large, or lost (the claim was taken over by then)',
  });
  private readonly ownerMs: number;
  private readonly keptMs: number;
  private readonly maxAnswerBytes: number;
  private stop = (): void => {};

  constructor(
    private readonly source: DataSource,
    private readonly options: IdempotencyOptions,
  ) {
    this.ownerMs = options.requestDeadlineMs + (options.graceMs ?? 30_000);
    this.keptMs = options.keptMs ?? KEPT_MS;
    this.maxAnswerBytes = options.maxAnswerBytes ?? 4 * 1024 * 1024;
  }

  /** Forgets what has ended, every minute, until `close`. */
  start(): void {
    this.stop = forgetEveryMinute(
      (limit) => forgetAnswers(this.source, limit),
      (error) => this.options.onError?.(`answers that have ended are not forgotten: ${error.message}`),
    );
  }

  close(): void {
    this.stop();
  }

  forgetEnded(): Promise<number> {
    return forgetAll((limit) => forgetAnswers(this.source, limit));
  }

  /** @param fingerprint of all that makes two requests the same. @throws when Postgres cannot be asked: then do not run it. */
  async claim(org: string, key: string, fingerprint: string, requestId: string): Promise<Claim> {
    const found = await claimKey(
      this.source,
      { org, keyHash: sha256Hex(key), fingerprint, requestId },
      { keptMs: this.keptMs, ownerMs: this.ownerMs },
    );
    if (!found) return { state: 'claimed' };
    if (found.fingerprint !== fingerprint) return { state: 'mismatch' };
    if (found.state !== 'finished') return { state: 'in-flight' };
    return { state: 'finished', status: found.status, headers: found.headers, body: found.body };
  }

  /** Keeps the answer for those that ask again, if it is not too large. */
  async finish(org: string, key: string, requestId: string, answer: KeptAnswer): Promise<void> {
    const bytes = answer.body.length + Buffer.byteLength(JSON.stringify(answer.headers));
    const fits = bytes <= this.maxAnswerBytes;
    const owned = await keepAnswer(this.source, { org, keyHash: sha256Hex(key), requestId }, fits ? answer : undefined);
    this.kept.add(1, { how: owned ? (fits ? 'kept' : 'too-large') : 'lost' });
  }

  /** Nothing was answered, and nothing charged: whoever asks again is the first. */
  async abandon(org: string, key: string, requestId: string): Promise<void> {
    await freeKey(this.source, { org, keyHash: sha256Hex(key), requestId });
  }
}
