import { describe, expect, it } from 'vitest';
import { BUCKETS, type KeysReply, type KeysRequest } from '@meritorder/contracts';
import { ensureTopology, openBucket } from '@meritorder/messaging';
import { waitFor } from '@meritorder/testing';
import type { KeyRing } from '../keys/key-ring.js';
import { digestOf, newSecret } from '../keys/secrets.js';
import { config, useIssuers } from './fixture.for-tests.js';

const { nats, database, issuers, ask, bus, ring } = useIssuers();

type Create = Extract<KeysRequest, { verb: 'create' }>;

async function done(request: KeysRequest): Promise<Extract<KeysReply, { keys: unknown }>> {
  const reply = await ask(request);
  if ('error' in reply) throw new Error(reply.error.message);
  return reply;
}
async function create(id: string, more: Partial<Create> = {}): Promise<string> {
  const secret = newSecret(id);
  await done({ verb: 'create', org: 'acme', id, digest: digestOf(secret), terms: {}, by: 'ada', ...more });
  return secret;
}
const known = (of: KeyRing, secret: string) => waitFor(() => of.find(secret), 'the key to be known');
const unknown = (of: KeyRing, secret: string) => waitFor(() => !of.find(secret), 'the key to be unknown');

describe('a key', () => {
  it('works everywhere once it is made, with what it is bound to, and not in another org', async () => {
    const rings = [await ring(), await ring()];
    const terms = { department: 'eng', tier: 'gold', routes: ['auto'], limits: { requestsPerMinute: 60 } };
    const secret = await create('app', { terms });
    for (const of of rings) {
      expect(await known(of, secret)).toEqual({ org: 'acme', key: { id: 'app', ...terms } });
      expect(of.find(`${secret}x`)).toBeUndefined();
    }
  });

  it('of the configuration works beside them', async () => {
    expect((await ring()).find('the-configured-one')).toMatchObject({ org: 'acme', key: { id: 'old' } });
  });

  it('that is revoked works nowhere any more, nor does a secret before it in its grace', async () => {
    const rings = [await ring(), await ring(), await ring()];
    const first = await create('leaked');
    const second = newSecret('leaked');
    await done({
      verb: 'rotate',
      org: 'acme',
      id: 'leaked',
      digest: digestOf(second),
      graceSeconds: 3_600,
      by: 'ada',
    });
    for (const of of rings) for (const secret of [first, second]) await known(of, secret);
    const { keys, told } = await done({ verb: 'revoke', org: 'acme', id: 'leaked', by: 'bob' });
    expect(told).toBe(true);
    expect(keys).toMatchObject([{ state: 'revoked', revokedBy: 'bob' }]);
    for (const of of rings) for (const secret of [first, second]) await unknown(of, secret);
    // Told everybody before the operator heard of it: one that starts now does not know it either.
    expect((await ring()).find(second)).toBeUndefined();
  });

  it('that is rotated works with its new secret, and with the old one for the grace alone', async () => {
    let nowMs = Date.now();
    const of = await ring({ clock: { nowMs: () => nowMs }, staleAfterMs: 1e9 });
    const [atOnce, later] = [await create('at-once'), await create('later')];
    await known(of, later);
    const next = newSecret('x');
    const rotate = { verb: 'rotate', org: 'acme', graceSeconds: 0, by: 'ada' } as const;
    await done({ ...rotate, id: 'at-once', digest: digestOf(next) });
    expect((await known(of, next)).key.id).toBe('at-once');
    await unknown(of, atOnce);
    const after = newSecret('x');
    await done({ ...rotate, id: 'later', digest: digestOf(after), graceSeconds: 60 });
    await known(of, after);
    expect(of.find(later)).toBeDefined();
    nowMs += 61_000;
    expect(of.find(later)).toBeUndefined();
    expect(of.find(after)).toBeDefined();
  });

  it('ends when it says so, and is not rotated after that', async () => {
    let nowMs = Date.now();
    const of = await ring({ clock: { nowMs: () => nowMs }, staleAfterMs: 1e9 });
    const secret = await create('short', { expiresAt: new Date(nowMs + 3_600_000).toISOString() });
    await known(of, secret);
    nowMs += 3_600_001;
    expect(of.find(secret)).toBeUndefined();
    const over = ask({
      verb: 'create',
      org: 'acme',
      id: 'late',
      digest: digestOf('y'),
      terms: {},
      expiresAt: '2020-01-01T00:00:00.000Z',
      by: 'ada',
    });
    expect(await over).toMatchObject({ error: { message: /is over/ } });
  });

  it('is made once, however often its answer was lost', async () => {
    const secret = newSecret('again');
    const request: KeysRequest = {
      verb: 'create',
      org: 'acme',
      id: 'again',
      digest: digestOf(secret),
      terms: {},
      by: 'a',
    };
    const [one, two] = await Promise.all([done(request), done(request)]);
    expect(one.keys[0]!.createdAt).toBe(two.keys[0]!.createdAt);
    const rotate: KeysRequest = { ...request, verb: 'rotate', digest: digestOf(newSecret('again')), graceSeconds: 60 };
    await done(rotate);
    expect((await done(rotate)).keys[0]!.secrets).toHaveLength(2);
  });

  it.each<[string, Partial<Create>, RegExp]>([
    ['of an org that is not there', { org: 'nobody' }, /org "nobody" is not configured/],
    ['with the id of a configured one', { id: 'old' }, /configuration has a key "old"/],
    ['of a department that the org has not', { terms: { department: 'sales' } }, /no department "sales".*eng, support/],
    ['of a tier that the org has not', { terms: { tier: 'free' } }, /no tier "free"/],
    ['for a route that is not there', { terms: { routes: ['nope'] } }, /may not use "nope"/],
    ['for a backend that its org may not use', { org: 'globex', terms: { routes: ['b'] } }, /may not use "b"/],
    ['with a secret in clear where its hash should be', { digest: newSecret('x') }, /digest: must be a SHA-256/],
  ])('%s is refused', async (_what, more, message) => {
    const reply = await ask({
      verb: 'create',
      org: 'acme',
      id: 'refused',
      digest: digestOf('z'),
      terms: {},
      by: 'ada',
      ...more,
    });
    expect(reply).toEqual({ error: { message: expect.stringMatching(message) } });
    expect(JSON.stringify(reply)).not.toContain('mo_x_');
  });

  it('of one org is not touched through another; an id is used once; what is not there is not changed', async () => {
    const secret = await create('mine');
    const of = await ring();
    const message = (text: string) => ({ error: { message: expect.stringContaining(text) } });
    expect(await ask({ verb: 'revoke', org: 'globex', id: 'mine', by: 'eve' })).toEqual(message('has no key "mine"'));
    const again = { verb: 'create', org: 'acme', id: 'mine', terms: {}, by: 'eve' } as const;
    expect(await ask({ ...again, digest: digestOf('other') })).toEqual(message('an id is used once'));
    // The same secret for another org would make one key two.
    expect(await ask({ ...again, org: 'globex', digest: digestOf(secret) })).toEqual(
      message('is, or was, another key'),
    );
    expect(of.find(secret)).toMatchObject({ org: 'acme' });
    const listed = await done({ verb: 'list', org: 'globex' });
    expect(listed.keys).toEqual([]);
  });
});

describe('what routers and gateways know', () => {
  it('comes back when the bucket is lost', async () => {
    const of = await ring();
    const [kept, revoked] = [await create('kept'), await create('gone')];
    await done({ verb: 'revoke', org: 'acme', id: 'gone', by: 'ada' });
    await known(of, kept);
    const operator = await bus();
    await (await operator.manager()).streams.delete(`KV_${BUCKETS.keys.name}`);
    await ensureTopology(operator, config);
    // Until it has noticed the loss it goes by what it knew; one that starts knows the new bucket alone.
    const starting = await ring();
    await known(starting, kept);
    await known(of, kept);
    expect(of.find(revoked)).toBeUndefined();
    expect(starting.find(revoked)).toBeUndefined();
  });

  it('hears of a change that could not be told at once', async () => {
    const of = await ring();
    const secret = await create('missed');
    await known(of, secret);
    // As a process leaves it that dies between its two writes.
    await database().query(`update api_keys set revoked_at = now(), revoked_by = 'x' where id = 'missed'`);
    await database().query(`update api_key_secrets set revision = revision + 1, told = false where key_id = 'missed'`);
    await unknown(of, secret);
  });

  it('loses what nobody here wrote', async () => {
    const of = await ring();
    const secret = await create('true');
    const bucket = await openBucket(await bus(), BUCKETS.keys.name);
    const forged = { org: 'globex', id: 'forged', revision: 9, revoked: false };
    await bucket.put(digestOf('forged-secret'), JSON.stringify(forged));
    await bucket.put(digestOf(secret), JSON.stringify(forged));
    await waitFor(() => of.find(secret)?.org === 'globex', 'the forgery to be heard');
    await issuers[0]!.publisher.sweep();
    await waitFor(() => of.find(secret)?.org === 'acme', 'the truth to be back');
    expect(of.find('forged-secret')).toBeUndefined();
  });

  it('of two issuers that write at once is what the database says in the end', async () => {
    const of = await ring();
    const keys = Array.from({ length: 20 }, (_, i) => `race-${i}`);
    const secrets = new Map<string, string[]>();
    await Promise.all(
      keys.map(async (id, i) => {
        const all = [await create(id)];
        secrets.set(id, all);
        all.push(newSecret(id));
        const rotating = done({
          verb: 'rotate',
          org: 'acme',
          id,
          digest: digestOf(all[1]!),
          graceSeconds: 600,
          by: 'a',
        });
        const sweeping = issuers[i % 2]!.publisher.sweep();
        if (i % 2 === 0) await Promise.all([rotating, done({ verb: 'revoke', org: 'acme', id, by: 'a' })].map(quiet));
        await Promise.all([rotating, sweeping].map(quiet));
      }),
    );
    for (const [i, id] of keys.entries()) {
      if (i % 2 === 0) await done({ verb: 'revoke', org: 'acme', id, by: 'a' });
      for (const secret of secrets.get(id)!) await (i % 2 === 0 ? unknown(of, secret) : known(of, secret));
    }
    const left: unknown[] = await database().query(`select from api_key_secrets where not told`);
    expect(left).toHaveLength(0);
  });

  it('is nothing after NATS was away for longer than stated; keys of the configuration work; then all is known again', async () => {
    const errors: string[] = [];
    const of = await ring({ staleAfterMs: 1_000, onError: (message) => errors.push(message) });
    const secret = await create('away');
    await known(of, secret);
    await nats.kill();
    await waitFor(() => of.stale(), 'the keys to be stale');
    expect(of.find(secret)).toBeUndefined();
    expect(of.stale()).toMatch(/no word of the keys for \d+ s/);
    expect(of.find('the-configured-one')).toBeDefined();
    await nats.restart();
    await waitFor(() => of.stale() === undefined, 'the keys to be known again');
    await known(of, secret);
    await waitFor(() => issuers.every((issuer) => issuer.notReady().length === 0), 'the issuers to be well');
  });

  it('is nothing of a value that cannot be read: it may have said that the key is revoked', async () => {
    const errors: string[] = [];
    const of = await ring({ onError: (message) => errors.push(message) });
    const secret = await create('unreadable');
    await known(of, secret);
    await (await openBucket(await bus(), BUCKETS.keys.name)).put(digestOf(secret), '{"org": 1}');
    await unknown(of, secret);
    expect(errors[0]).toMatch(/is not accepted: org/);
  });
});

it('an org can neither ask for keys, nor read or write what is known of them, nor is it answered', async () => {
  const app = await bus('org-acme');
  const list = JSON.stringify({ verb: 'list' });
  const bucket = `KV_${BUCKETS.keys.name}`;
  const attempts: [string, string][] = [
    ['access.keys.v1', list],
    [`$KV.${BUCKETS.keys.name}.${digestOf('x')}`, '{"org":"acme","id":"x","revision":1,"revoked":false}'],
    [`$JS.API.STREAM.INFO.${bucket}`, ''],
    [`$JS.API.DIRECT.GET.${bucket}.$KV.${BUCKETS.keys.name}.${digestOf('x')}`, ''],
  ];
  for (const [subject, body] of attempts)
    await expect(app.nats.request(subject, body, { timeout: 2_000 })).rejects.toThrow(/ermission|timeout/i);
  // Nor is one who may ask, and names the inbox of somebody else.
  const got: unknown[] = [];
  app.nats.subscribe('_INBOX_acme.x', { callback: (_error, message) => void got.push(message.json()) });
  await app.nats.flush();
  const operator = await bus();
  operator.nats.publish('access.keys.v1', list, { reply: '_INBOX_acme.x' });
  await done({ verb: 'list' });
  await app.nats.flush();
  expect(got).toEqual([]);
  expect((await ring()).find('x')).toBeUndefined();
});

/** A refusal is an answer too. */
async function quiet(promise: Promise<unknown>): Promise<void> {
  await promise.catch(() => {});
}
