import { z } from 'zod';
import { KEY_TERMS, KeyTerms } from '../config/key-terms.js';
import { Instant, Slug } from '../primitives.js';

/** Hex SHA-256 of a key. The key itself stays with whoever made it. */
export const KeyDigest = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hex');

const Which = { org: Slug, id: Slug, by: z.string().min(1).max(128) };

/** Rows of one answer. */
export const KEYS_PER_ANSWER = 200;

/** `access.keys.v1`: an operator makes keys, replaces their secrets, revokes and lists them. */
export const KeysRequest = z.discriminatedUnion('verb', [
  z.object({ verb: z.literal('list'), org: Slug.optional(), after: z.object({ org: Slug, id: Slug }).optional() }),
  z.object({
    verb: z.literal('create'),
    ...Which,
    digest: KeyDigest,
    terms: KeyTerms,
    expiresAt: Instant.optional(),
  }),
  /** A new secret; the ones before it are valid for so long, and not at all by default. */
  z.object({
    verb: z.literal('rotate'),
    ...Which,
    digest: KeyDigest,
    graceSeconds: z
      .int()
      .min(0)
      .max(30 * 86_400),
  }),
  z.object({ verb: z.literal('revoke'), ...Which }),
]);
export type KeysRequest = z.infer<typeof KeysRequest>;

export const KeyRow = z.object({
  org: Slug,
  id: Slug,
  terms: KeyTerms,
  state: z.enum(['valid', 'expired', 'revoked']),
  createdAt: Instant,
  createdBy: z.string(),
  expiresAt: Instant.nullable(),
  rotatedAt: Instant.nullable(),
  revokedAt: Instant.nullable(),
  revokedBy: z.string().nullable(),
  /** The newest first. Enough of a digest to tell two apart. */
  secrets: z.array(z.object({ digestStart: z.string(), madeAt: Instant, validUntil: Instant.nullable() })),
});
export type KeyRow = z.infer<typeof KeyRow>;

export const KeysReply = z.union([
  z.object({
    keys: z.array(KeyRow),
    more: z.boolean(),
    /** Of a change: routers and gateways know it. False: it is kept, and they are told as soon as NATS can be written. */
    told: z.boolean(),
  }),
  z.object({ error: z.object({ message: z.string() }) }),
]);
export type KeysReply = z.infer<typeof KeysReply>;

/**
 * One secret of a key, as routers and gateways know it: bucket KEYS, under the digest of the secret. What is revoked stays there
 * for a while, so that a write which comes late cannot bring it back.
 */
export const KeyEntry = z.object({
  org: Slug,
  id: Slug,
  /** Of the secret; a later one replaces an earlier one. */
  revision: z.int().min(1),
  revoked: z.boolean(),
  /** The end of the key, or of the grace of a secret that was replaced. */
  expiresAt: Instant.optional(),
  ...KEY_TERMS,
});
export type KeyEntry = z.infer<typeof KeyEntry>;
