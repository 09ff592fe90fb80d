import { BUCKETS } from '@meritorder/contracts';
import type { Bus } from './bus.js';
import { watchBucket } from './follow-bucket.js';
import { openBucket } from './topology.js';

const KEY = 'newest';

/** Tells everybody that no epoch before this one may admit anything. Returns once it is kept. */
export async function announceEpoch(bus: Bus, id: number): Promise<void> {
  await (await openBucket(bus, BUCKETS.epoch.name)).put(KEY, String(id));
}

/**
 * Follows the newest epoch. Resolves once the one that was announced last is known: a process that starts while a stale Redis
 * is in charge has no memory of its own.
 */
export function followEpoch(bus: Bus, onNewest: (id: number) => void, signal: AbortSignal): Promise<void> {
  return watchBucket(
    bus,
    BUCKETS.epoch.name,
    (key, value) => {
      const id = value === null ? Number.NaN : Number(new TextDecoder().decode(value));
      if (key === KEY && Number.isSafeInteger(id)) onNewest(id);
    },
    signal,
  );
}
