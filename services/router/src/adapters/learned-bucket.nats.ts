import { followBucket, openBucket, readValue, type BucketEntry, type Bus } from '@meritorder/messaging';
import { errors } from '@nats-io/transport-node';
import { LearnedOrgs, POOL, type Keeper, type Learner, type Source } from '../application/learned-orgs.js';
import type { EventsFeed } from './events-feed.nats.js';

const SAVE_EVERY_MS = 60_000;
/** Behind the prefix: no org's id. */
const HEARD = '_heard';
/**
 * So much of the stream is heard again after a restart: another router may have kept what it learned a little earlier. What is in
 * what is kept teaches nothing again; nobody reads an org for it.
 */
const HEARD_AGAIN = 1_000;

/** Where in a bucket: an org's id behind a prefix; the pool under a key that no org's can be, since slugs have no "_" and no ".". */
export interface LearnedPlace {
  readonly bucket: string;
  readonly prefix: string;
  readonly poolKey?: string;
}

/**
 * What a router has learned, left in a bucket for a router that starts, and for itself when it has learned of more orgs than it
 * has room for. Every router hears of the same facts and so learns the same: whoever saves last says what all would say. Facts are
 * heard from their stream, from where what was kept ends: also those that came while no router ran, or that a crash forgot.
 */
export class LearnedBucket extends LearnedOrgs {
  private timer: NodeJS.Timeout | undefined;
  private readonly lessons = new Map<string, (data: Uint8Array, source: Source) => void>();

  constructor(
    private readonly bus: Bus,
    private readonly feed: EventsFeed,
    private readonly place: LearnedPlace,
    learner: Learner,
    onError: (message: string) => void,
  ) {
    super(learner, keeperIn(bus, place, feed), onError, undefined, () => feed.streamId);
  }

  /** @param subject without its last part, the org. @param learn does not throw */
  on(subject: string, learn: (data: Uint8Array, source: Source) => void): void {
    this.lessons.set(subject, learn);
  }

  /** Takes the pool and as much of what was learned last as there is room for, and from then on keeps what is learned. */
  async start(): Promise<void> {
    const { prefix, poolKey } = this.place;
    const latest = new Map<string, BucketEntry>();
    let pool: BucketEntry | undefined;
    let heard: BucketEntry | undefined;
    const following = await followBucket(this.bus, this.place.bucket, (entry) => {
      if (entry.key === poolKey) pool = entry;
      else if (entry.key === prefix + HEARD) heard = entry;
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
    const kept = heard?.operation === 'PUT' ? heardIn(heard.string(), this.feed.streamId) : undefined;
    // What was kept before it was noted how far was heard is not learned twice.
    const isOld = heard === undefined && (latest.size > 0 || pool !== undefined);
    this.follow(isOld ? this.feed.newest : (kept ?? 0));
    this.timer = setInterval(() => void this.save(), SAVE_EVERY_MS);
    this.timer.unref();
  }

  /** @param heard all up to there is in what was kept */
  private follow(heard: number): void {
    this.feed.add(heard + 1 - HEARD_AGAIN, ({ subject, data, sequence }) => {
      const source = { sequence, isAgain: sequence <= heard };
      this.hear(source);
      this.lessons.get(subject.slice(0, subject.lastIndexOf('.')))?.(data, source);
      if (this.isBehind) return this.settled();
    });
  }

  override async close(): Promise<void> {
    clearInterval(this.timer);
    await super.close();
  }
}

/** Undefined: of a stream that is no more, or nobody can read it. All is heard again then, and what is kept knows how far it goes. */
function heardIn(text: string, stream: string): number | undefined {
  try {
    const kept = JSON.parse(text) as { stream?: unknown; heard?: unknown } | null;
    return kept?.stream === stream && Number.isSafeInteger(kept.heard) ? (kept.heard as number) : undefined;
  } catch {
    return undefined;
  }
}

function keeperIn(bus: Bus, { bucket, prefix, poolKey }: LearnedPlace, feed: EventsFeed): Keeper {
  let opened: ReturnType<typeof openBucket> | undefined;
  const keyOf = (org: string): string => (org === POOL && poolKey !== undefined ? poolKey : prefix + org);
  const put = async (key: string, text: string): Promise<void> => {
    opened ??= openBucket(bus, bucket);
    const kv = await opened.catch((error: Error) => {
      opened = undefined;
      throw error;
    });
    await kv.put(key, text);
  };
  return {
    async read(org) {
      const value = await readValue(bus, bucket, keyOf(org));
      return value && new TextDecoder().decode(value);
    },
    writeHeard: (heard) => put(prefix + HEARD, JSON.stringify({ stream: feed.streamId, heard })),
    async write(org, text) {
      try {
        await put(keyOf(org), text);
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
