import type { DataSource } from 'typeorm';

export interface KeptAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export type AnswerRow =
  { state: 'in-flight' | 'unkept'; fingerprint: string } | ({ state: 'finished'; fingerprint: string } & KeptAnswer);

const TRIES = 5;

/**
 * Claims a key of an org: undefined, it is claimed; else what holds it. One statement decides, so of many at once one claims.
 * A key is free again once it has ended, and, to the same request, once its owner has not been heard of for `ownerMs`.
 */
export async function claimKey(
  source: DataSource,
  claim: { org: string; keyHash: string; fingerprint: string; requestId: string },
  { keptMs, ownerMs }: { keptMs: number; ownerMs: number },
): Promise<AnswerRow | undefined> {
  for (let attempt = 1; ; attempt++) {
    const claimed: unknown[] = await source.query(
      `insert into idempotency_answers as a (org, key_hash, fingerprint, request_id, state, claimed_at, expires_at)
       values ($1, $2, $3, $4, 'in-flight', now(), now() + $5 * interval '1 ms')
       on conflict (org, key_hash) do update set
         fingerprint = excluded.fingerprint, request_id = excluded.request_id, state = 'in-flight', claimed_at = now(),
         -- Whoever takes over does not make it last longer.
         expires_at = case when a.expires_at <= now() then excluded.expires_at else a.expires_at end,
         status = null, headers = null, body = null
       where a.expires_at <= now()
         or (a.state = 'in-flight' and a.fingerprint = excluded.fingerprint and a.claimed_at < now() - $6 * interval '1 ms')
       returning 1`,
      [claim.org, claim.keyHash, claim.fingerprint, claim.requestId, keptMs, ownerMs],
    );
    if (claimed.length > 0) return undefined;
    const [found]: AnswerRow[] = await source.query(
      `select state, fingerprint, status, headers, body from idempotency_answers where org = $1 and key_hash = $2`,
      [claim.org, claim.keyHash],
    );
    if (found) return found;
    // It was given up in between.
    if (attempt === TRIES) throw new Error('an idempotency key is claimed and given up again and again');
  }
}

/** Keeps the answer of the owner; without one, that there was one. False: the claim is somebody else's by now, or has ended. */
export async function keepAnswer(
  source: DataSource,
  of: { org: string; keyHash: string; requestId: string },
  answer: KeptAnswer | undefined,
): Promise<boolean> {
  const [, changed]: [unknown, number] = await source.query(
    `update idempotency_answers set state = $4, status = $5, headers = $6::jsonb, body = $7
     where org = $1 and key_hash = $2 and request_id = $3 and state = 'in-flight'`,
    [
      of.org,
      of.keyHash,
      of.requestId,
      answer ? 'finished' : 'unkept',
      answer?.status ?? null,
      answer ? JSON.stringify(answer.headers) : null,
      answer?.body ?? null,
    ],
  );
  return changed > 0;
}

/** Frees a key that was not answered. */
export async function freeKey(
  source: DataSource,
  of: { org: string; keyHash: string; requestId: string },
): Promise<void> {
  await source.query(
    `delete from idempotency_answers where org = $1 and key_hash = $2 and request_id = $3 and state = 'in-flight'`,
    [of.org, of.keyHash, of.requestId],
  );
}

/** Forgets what has ended, some of it at a time. @returns how many. */
export async function forgetAnswers(source: DataSource, limit: number): Promise<number> {
  const [, deleted]: [unknown, number] = await source.query(
    `delete from idempotency_answers where (org, key_hash) in (
       select org, key_hash from idempotency_answers where expires_at <= now() limit $1 for update skip locked)`,
    [limit],
  );
  return deleted;
}
