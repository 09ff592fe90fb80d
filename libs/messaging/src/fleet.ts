import { BUCKETS, FoundModel, joinFleet, leaveFleet, type MeritorderConfig } from '@meritorder/contracts';
import type { Bus } from './bus.js';
import { decodeJson } from './cloud-events.js';
import { watchBucket } from './follow-bucket.js';

/**
 * Follows the bucket FLEET: what joins becomes a backend of the configuration in force, what leaves is taken out of it. Resolves
 * when all that has joined so far is in it.
 * @param changed told after each change, with the id of the backend
 * @param warn told what became no backend, and why
 */
export async function followFleet(
  bus: Bus,
  config: MeritorderConfig,
  changed: (id: string) => void,
  warn: (message: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const configured = new Set(config.backends.map((b) => b.id));
  const take = (id: string, value: Uint8Array | null): void => {
    if (configured.has(id)) return warn(`${id} is in the configuration, so what has joined under that name is nothing`);
    if (value === null) leaveFleet(config, id);
    else {
      const refused = joinFleet(config, decodeJson(FoundModel, value));
      if (refused) warn(`${id}: ${refused}`);
    }
    changed(id);
  };
  await watchBucket(
    bus,
    BUCKETS.fleet.name,
    (id, value) => {
      try {
        take(id, value);
      } catch (error) {
        warn(`${id} stays what it was: ${(error as Error).message}`);
      }
    },
    signal,
  );
}
