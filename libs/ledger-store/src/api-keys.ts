import type { KeyEntry, KeyRow, KeyTerms } from '@meritorder/contracts';
import type { DataSource, EntityManager } from 'typeorm';
import { inTransaction } from './database.js';

/** The most keys of one org that are not revoked. */
export const KEYS_PER_ORG = 10_000;
/** The most secrets of one key that are valid at once: the newest, and those in their grace. */
const SECRETS_AT_ONCE = 4;
/** How long the bucket keeps what is not valid any more. A write that is later than this is impossible. */
const KEPT_DEAD = `interval '1 day'`;

/** One secret as the bucket should have it. */
export interface SecretEntry {
  digest: string;
  entry: KeyEntry;
}

/** A change that cannot be made; the message is for the operator. */
export class KeyRefusal extends Error {}

/** Keeps a new key. The same call again, with the same digest, changes nothing. @throws KeyRefusal */
export async function createKey(
  source: DataSource,
  key: { org: string; id: string; digest: string; terms: KeyTerms; expiresAt?: string | undefined; by: string },
): Promise<void> {
  await inTransaction(source, async (manager) => {
    await lockOrg(manager, key.org);
    const [same]: { same: boolean }[] = await manager.query(
      `select exists (select from api_key_secrets s where s.digest = $3 and s.org = $1 and s.key_id = $2) as same
       from api_keys where org = $1 and id = $2`,
      [key.org, key.id, key.digest],
    );
    if (same?.same) return;
    if (same) throw new KeyRefusal(`the org ${key.org} has, or had, a key "${key.id}"; an id is used once`);
    const [{ count }] = (await manager.query(
      `select count(*)::int as count from api_keys where org = $1 and revoked_at is null`,
      [key.org],
    )) as [{ count: number }];
    if (count >= KEYS_PER_ORG) throw new KeyRefusal(`the org ${key.org} has ${count} keys, the most it may have`);
    await manager.query(
      `insert into api_keys (org, id, terms, created_by, expires_at) values ($1, $2, $3::jsonb, $4, $5)`,
      [key.org, key.id, JSON.stringify(key.terms), key.by, key.expiresAt ?? null],
    );
    await addSecret(manager, key);
  });
}

/**
 * Gives a key a new secret; those before it end after the grace, or when they would have ended. The same call again, with the
 * same digest, changes nothing. @throws KeyRefusal
 */
export async function rotateKey(
  source: DataSource,
  key: { org: string; id: string; digest: string; graceSeconds: number },
): Promise<void> {
  await inTransaction(source, async (manager) => {
    const [row]: { revoked: boolean; expired: boolean; same: boolean }[] = await manager.query(
      `select revoked_at is not null as revoked, coalesce(expires_at <= now(), false) as expired,
         exists (select from api_key_secrets s where s.digest = $3 and s.org = k.org and s.key_id = k.id) as same
       from api_keys k where org = $1 and id = $2 for update`,
      [key.org, key.id, key.digest],
    );
    if (!row) throw unknown(key);
    if (row.same) return;
    if (row.revoked || row.expired)
      throw new KeyRefusal(`the key ${key.org}/${key.id} is ${row.revoked ? 'revoked' : 'expired'}; make a new one`);
    const ended = `coalesce(valid_until <= clock_timestamp(), false)`;
    await manager.query(
      `update api_key_secrets set valid_until = least(valid_until, clock_timestamp() + $3 * interval '1 second'), ${CHANGED}
       where org = $1 and key_id = $2 and not ${ended}`,
      [key.org, key.id, key.graceSeconds],
    );
    const [{ count }] = (await manager.query(
      `select count(*)::int as count from api_key_secrets where org = $1 and key_id = $2 and not ${ended}`,
      [key.org, key.id],
    )) as [{ count: number }];
    if (count >= SECRETS_AT_ONCE)
      throw new KeyRefusal(
        `the key ${key.org}/${key.id} has ${count} secrets that are still valid; rotate without grace`,
      );
    await addSecret(manager, key);
    await manager.query(`update api_keys set rotated_at = now() where org = $1 and id = $2`, [key.org, key.id]);
  });
}

/** Ends a key with all its secrets. Doing it again changes nothing. @throws KeyRefusal */
export async function revokeKey(source: DataSource, key: { org: string; id: string; by: string }): Promise<void> {
  await inTransaction(source, async (manager) => {
    const [row]: { revoked: boolean }[] = await manager.query(
      `select revoked_at is not null as revoked from api_keys where org = $1 and id = $2 for update`,
      [key.org, key.id],
    );
    if (!row) throw unknown(key);
    if (row.revoked) return;
    await manager.query(`update api_keys set revoked_at = now(), revoked_by = $3 where org = $1 and id = $2`, [
      key.org,
      key.id,
      key.by,
    ]);
    await manager.query(`update api_key_secrets set ${CHANGED} where org = $1 and key_id = $2`, [key.org, key.id]);
  });
}

/** Keys by org and id, from after one on. */
export async function listKeys(
  source: DataSource,
  of: { org?: string | undefined; id?: string; after?: { org: string; id: string } | undefined; limit: number },
): Promise<KeyRow[]> {
  const rows: {
    org: string;
    id: string;
    terms: KeyTerms;
    created_at: Date;
    created_by: string;
    expires_at: Date | null;
    rotated_at: Date | null;
    revoked_at: Date | null;
    revoked_by: string | null;
    expired: boolean;
    secrets: KeyRow['secrets'];
  }[] = await source.query(
    `select k.*, coalesce(k.expires_at <= now(), false) as expired, (
       select jsonb_agg(jsonb_build_object('digestStart', left(s.digest, 8),
         'madeAt', ${instant('s.made_at')}, 'validUntil', ${instant('s.valid_until')}) order by s.made_at desc)
       from api_key_secrets s where s.org = k.org and s.key_id = k.id
         and (s.valid_until is null or s.valid_until > now() - ${KEPT_DEAD})
     ) as secrets
     from api_keys k
     where ($1::text is null or k.org = $1) and ($2::text is null or k.id = $2)
       and ($3::text is null or (k.org, k.id) > ($3, $4))
     order by k.org, k.id limit $5`,
    [of.org ?? null, of.id ?? null, of.after?.org ?? null, of.after?.id ?? null, of.limit],
  );
  return rows.map((r) => ({
    org: r.org,
    id: r.id,
    terms: r.terms,
    state: r.revoked_at ? 'revoked' : r.expired ? 'expired' : 'valid',
    createdAt: r.created_at.toISOString(),
    createdBy: r.created_by,
    expiresAt: r.expires_at?.toISOString() ?? null,
    rotatedAt: r.rotated_at?.toISOString() ?? null,
    revokedAt: r.revoked_at?.toISOString() ?? null,
    revokedBy: r.revoked_by,
    secrets: r.secrets ?? [],
  }));
}

/** Secrets of which the bucket does not have the last word, the oldest first; of one key, if it is named. */
export function untoldSecrets(
  source: DataSource,
  limit: number,
  of?: { org: string; id: string },
): Promise<SecretEntry[]> {
  return read(
    source,
    `not s.told and ($2::text is null or (s.org = $2 and s.key_id = $3)) order by s.changed_at limit $1`,
    [limit, of?.org ?? null, of?.id ?? null],
  );
}

/** Secrets that the bucket should have, by digest, from after one on: all but those that ended a day ago or more. */
export function secretsToTell(source: DataSource, after: string, limit: number): Promise<SecretEntry[]> {
  return read(
    source,
    `s.digest > $1 and least(s.valid_until, k.expires_at, k.revoked_at, 'infinity') > now() - ${KEPT_DEAD}
     order by s.digest limit $2`,
    [after, limit],
  );
}

/** The bucket has these revisions; what has changed meanwhile stays untold. */
export async function markTold(source: DataSource, secrets: readonly SecretEntry[]): Promise<void> {
  if (secrets.length === 0) return;
  await source.query(
    `update api_key_secrets s set told = true from unnest($1::text[], $2::int[]) as t(digest, revision)
     where s.digest = t.digest and s.revision = t.revision`,
    [secrets.map((s) => s.digest), secrets.map((s) => s.entry.revision)],
  );
}

/** The bucket has another word under a revision that is not lower, which nobody here wrote: ours gets a higher one. */
export async function outrank(source: DataSource, secret: SecretEntry, revision: number): Promise<void> {
  await source.query(
    `update api_key_secrets set revision = $3, changed_at = clock_timestamp(), told = false where digest = $1 and revision = $2`,
    [secret.digest, secret.entry.revision, revision + 1],
  );
}

const CHANGED = `revision = revision + 1, changed_at = clock_timestamp(), told = false`;

function instant(column: string): string {
  return `to_char(${column} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}

async function read(source: DataSource, where: string, parameters: unknown[]): Promise<SecretEntry[]> {
  const rows: {
    digest: string;
    org: string;
    key_id: string;
    revision: number;
    revoked: boolean;
    ends_at: Date | null;
    terms: KeyTerms;
  }[] = await source.query(
    `select s.digest, s.org, s.key_id, s.revision,
       -- Without grace it ends now, whatever the clocks of routers say.
       k.revoked_at is not null or coalesce(s.valid_until <= s.changed_at, false) as revoked,
       least(s.valid_until, k.expires_at) as ends_at, k.terms
     from api_key_secrets s join api_keys k on k.org = s.org and k.id = s.key_id where ${where}`,
    parameters,
  );
  return rows.map((r) => ({
    digest: r.digest,
    entry: {
      org: r.org,
      id: r.key_id,
      revision: r.revision,
      revoked: r.revoked,
      ...(r.ends_at ? { expiresAt: r.ends_at.toISOString() } : {}),
      ...r.terms,
    },
  }));
}

async function addSecret(manager: EntityManager, key: { org: string; id: string; digest: string }): Promise<void> {
  const rows: unknown[] = await manager.query(
    `insert into api_key_secrets (digest, org, key_id) values ($1, $2, $3) on conflict do nothing returning 1`,
    [key.digest, key.org, key.id],
  );
  if (rows.length === 0) throw new KeyRefusal('this secret is, or was, another key; every secret is made anew');
}

/** Two that count the keys of an org at once would both find room for the last. */
async function lockOrg(manager: EntityManager, org: string): Promise<void> {
  await manager.query(`select pg_advisory_xact_lock(hashtext('api_keys'), hashtext($1))`, [org]);
}

function unknown({ org, id }: { org: string; id: string }): KeyRefusal {
  return new KeyRefusal(
    `the org ${org} has no key "${id}" that was made here; those of meritorder.yaml are changed there`,
  );
}
