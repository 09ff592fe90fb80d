import { expect, it } from 'vitest';
import { digestOf, newSecret } from '@meritorder/access/keys';
import type { KeyRow } from '@meritorder/contracts';
import { createRequest, keysTable } from './keys.js';

const ROW: KeyRow = {
  org: 'acme',
  id: 'app',
  terms: {
    department: 'eng',
    tier: 'gold',
    routes: ['auto', 'fast'],
    limits: { requestsPerMinute: 60, concurrency: 4 },
  },
  state: 'valid',
  createdAt: '2026-11-01T10:00:00.000Z',
  createdBy: 'ada',
  expiresAt: null,
  rotatedAt: '2026-11-02T10:00:00.000Z',
  revokedAt: null,
  revokedBy: null,
  secrets: [
    { digestStart: 'aaaaaaaa', madeAt: '2026-11-02T10:00:00.000Z', validUntil: null },
    { digestStart: 'bbbbbbbb', madeAt: '2026-11-01T10:00:00.000Z', validUntil: '2026-11-02T11:00:00.000Z' },
  ],
};

it('what leaves the machine is the hash of the secret', () => {
  const secret = newSecret('app');
  const request = createRequest('acme', 'app', digestOf(secret), {
    department: 'eng',
    routes: ['auto'],
    tokensPerMinute: 1_000,
    expires: Date.UTC(2027, 11, 31),
    by: 'ada',
  });
  expect(request).toEqual({
    verb: 'create',
    org: 'acme',
    id: 'app',
    digest: digestOf(secret),
    terms: { department: 'eng', routes: ['auto'], limits: { tokensPerMinute: 1_000 } },
    expiresAt: '2027-12-31T00:00:00.000Z',
    by: 'ada',
  });
  expect(JSON.stringify(request)).not.toContain(secret.slice(-20));
});

it('a wrong option is named before anything is asked', () => {
  const digest = digestOf('x');
  expect(() => createRequest('acme', 'App', digest, { by: 'ada' })).toThrow(/^id: must be a slug/);
  expect(() => createRequest('acme', 'app', digest, { by: 'ada', concurrency: 0 })).toThrow('terms.limits.concurrency');
  expect(() => createRequest('acme', 'app', digest, { by: 'ada', department: '' })).toThrow('terms.department');
});

it('a row says what a key is bound to, what became of it, and until when an old secret works', () => {
  const [, , valid, revoked] = keysTable([
    ROW,
    { ...ROW, id: 'gone', state: 'revoked', revokedAt: '2026-11-03T09:30:00.000Z', revokedBy: 'bob' },
  ]).split('\n');
  expect(valid).toMatch(
    /^acme +app +valid +department=eng tier=gold +auto fast +60 requests\/min, 4 at once +never +aaaaaaaa, bbbbbbbb until 2026-11-02 11:00Z +ada 2026-11-01 10:00Z$/,
  );
  expect(revoked).toContain('revoked 2026-11-03 09:30Z by bob');
});
