import { followBucket, openBucket, readValue, type BucketEntry, type Bus } from '@meritorder/messaging';
import { errors } from '@nats-io/transport-node';
import { LearnedOrgs, POOL, type Keeper, type Learner } from '../application/learned-orgs.js';

const SAVE_EVERY_MS = 60_000;

/** Where in a bucket: an org's id behind a prefix; the pool under a key that no org's can be, since slugs have no "_" and no ".". */
export interface LearnedPlace {
  readonly bucket: string;
  readonly prefix: string;
  readonly poolKey?: string;
}

/**
 * What a router has learned, left in a bucket for a router that starts, and for itself when it has learned of more orgs than it
 * has room for. Every router hears of the same facts and so learns the same: whoever saves last says what all would say.
 */
export class LearnedBucket extends LearnedOrgs {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly bus: Bus,
    private readonly place: LearnedPlace,
    learner: Learner,
    onError: (message: string) => void,
  ) {
    super(learner, keeperIn(bus, place), onError);
  }

  /** Takes the pool and as much of what was learned last as there is room for, and from then on keeps what is learned. */
  async start(): Promise<void> {
    const { prefix, poolKey } = this.place;
    const latest = new Map<string, BucketEntry>();
    let pool: BucketEntry | undefined;
    const following = await followBucket(this.bus, this.place.bucket, (entry) => {
      if (entry.key === poolKey) pool = entry;
      else if (entry.key.startsWith(prefix)) {
        // They come as they were saved, the latest last.
        latest.delete(entry.key);
        latest.set(entry.key, entry);
        if (latest.size > this.mostOrgs) latest.delete(latest.keys().next().value!);
      }
    });
    following.stop();
    if (pool?.operation === 'PUT') this.restore(POOL, pool.string());
    for (const [key, entry] of latest)
      if (entry.operation === 'PUT') this.restore(key.slice(prefix.length), entry.string());
    this.timer = setInterval(() => void this.save(), SAVE_EVERY_MS);
    this.timer.unref();
  }

  override async close(): Promise<void> {
    clearInterval(this.timer);
    await super.close();
  }
}

function keeperIn(bus: Bus, { bucket, prefix, poolKey }: LearnedPlace): Keeper {
  let opened: ReturnType<typeof openBucket> | undefined;
  const keyOf = (org: string): string => (org === POOL && poolKey !== undefined ? poolKey : prefix + org);
  return {
    async read(org) {
      const value = await readValue(bus, bucket, keyOf(org));
      return value && new TextDecoder().decode(value);
    },
    async write(org, text) {
      opened ??= openBucket(bus, bucket);
      try {
        const kv = await opened.catch((error: Error) => {
          opened = undefined;
          throw error;
        });
        await kv.put(keyOf(org), text);
        return undefined;
      } catch (error) {
        if (opened === undefined || isAway(error)) throw error;
        return `${keyOf(org)}: ${(error as Error).message}`;
      }
    },
  };
}

/** No other key would be answered either. */
function isAway(error: unknown): boolean {
  return [
    errors.TimeoutError,
    errors.RequestError,
    errors.NoRespondersError,
    errors.ConnectionError,
    errors.ClosedConnectionError,
    errors.DrainingConnectionError,
  ].some((kind) => error instanceof kind);
}

/** Identities of facts that were learned, so that a repeated delivery teaches nothing. */
export class Remembered {
  private readonly seen = new Set<string>();

  constructor(private readonly most = 20_000) {}

  isNew(identity: string): boolean {
    if (this.seen.has(identity)) return false;
    this.seen.add(identity);
    if (this.seen.size > this.most) this.seen.delete(this.seen.values().next().value!);
    return true;
  }
}
