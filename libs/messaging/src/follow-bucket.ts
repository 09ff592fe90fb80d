import { Kvm, type KvEntry, type KvWatchEntry } from '@nats-io/kv';
import type { Bus } from './bus.js';

/** A value, or the mark of a deletion, with its revision. */
export type BucketEntry = KvWatchEntry;

const ASK_AGAIN_MS = 250;
const LIMIT_MS = 30_000;

/**
 * Hands over every value (and mark of a deletion) that is in a bucket, and every later change, until it is stopped; goes on
 * through reconnects. Resolves once everything that was there at the call has been handed over. That is told by the newest
 * revision the bucket has: the count of messages still to come, which each one carries, never reaches 0 when a value is replaced
 * while the watch is being made.
 * @param limitMs how long what was there may take to come
 * @throws Error when it did not come, or the bucket cannot be read
 */
export async function followBucket(
  bus: Bus,
  bucket: string,
  onEntry: (entry: BucketEntry) => void,
  limitMs = LIMIT_MS,
): Promise<{ stop(): void }> {
  const deadlineMs = performance.now() + limitMs;
  const kv = await new Kvm(bus.jetstream).open(bucket);
  let newest = await newestRevision(bus, bucket);
  let heard = 0;
  const filled = Promise.withResolvers<true>();
  const watch = await kv.watch();
  const following = (async () => {
    for await (const entry of watch) {
      onEntry(entry);
      heard = Math.max(heard, entry.revision);
      if (heard >= newest) filled.resolve(true);
    }
  })();
  following.then(() => filled.reject(new Error(`the watch of the bucket ${bucket} ended`)), filled.reject);
  try {
    while (heard < newest) {
      const wait = new Promise<false>((resolve) => setTimeout(resolve, ASK_AGAIN_MS, false));
      if (await Promise.race([filled.promise, wait])) break;
      if (performance.now() > deadlineMs)
        throw new Error(`the values of the bucket ${bucket} did not come within ${limitMs / 1000} s`);
      // What was the newest may have been cleared away.
      newest = await newestRevision(bus, bucket);
    }
  } catch (error) {
    watch.stop();
    throw error;
  } finally {
    filled.promise.catch(() => {});
  }
  return { stop: () => watch.stop() };
}

/** {@link followBucket} until `signal` is aborted. @param onChange with null for a value that was deleted */
export async function watchBucket(
  bus: Bus,
  bucket: string,
  onChange: (key: string, value: Uint8Array | null) => void,
  signal: AbortSignal,
): Promise<void> {
  const take = (entry: BucketEntry): void => onChange(entry.key, entry.operation === 'PUT' ? entry.value : null);
  const following = await followBucket(bus, bucket, take);
  if (signal.aborted) following.stop();
  else signal.addEventListener('abort', () => following.stop(), { once: true });
}

/** The values that are in a bucket now, by their keys. @throws Error as {@link followBucket} */
export async function readBucket(bus: Bus, bucket: string, limitMs = LIMIT_MS): Promise<Map<string, KvEntry>> {
  const values = new Map<string, KvEntry>();
  const following = await followBucket(
    bus,
    bucket,
    (entry) => {
      if (entry.operation === 'PUT') values.set(entry.key, entry);
      else values.delete(entry.key);
    },
    limitMs,
  );
  following.stop();
  return values;
}

/**
 * The value under one key; undefined: there is none. Asks who leads the bucket: a replica, which the bucket's own `get` may come to,
 * can be behind what this process has put.
 * @throws Error when nobody answers
 */
export async function readValue(bus: Bus, bucket: string, key: string): Promise<Uint8Array | undefined> {
  const { streams } = await bus.manager();
  const found = await streams.getMessage(`KV_${bucket}`, { last_by_subj: `$KV.${bucket}.${key}` });
  // What was deleted leaves a mark.
  return found === null || found.header?.get('KV-Operation') ? undefined : found.data;
}

/** 0: nothing is in it. */
async function newestRevision(bus: Bus, bucket: string): Promise<number> {
  const { streams } = await bus.manager();
  const newest = await streams.getMessage(`KV_${bucket}`, { last_by_subj: `$KV.${bucket}.>` });
  return newest?.seq ?? 0;
}
