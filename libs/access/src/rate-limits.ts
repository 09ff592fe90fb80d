import type { KeyConfig } from '@meritorder/contracts';
import { meter } from '@meritorder/telemetry';
import { Redis } from 'ioredis';
import { runScript, SCRIPTS } from './scripts.js';

/**
 * How long a request waits for Redis at most; then it is let through. The router waits as long for the same Redis, so a shorter time
 * would answer nothing sooner, and let through what a busy moment holds up.
 */
const COMMAND_TIMEOUT_MS = 1_000;

/** For `x-ratelimit-limit-*`, `-remaining-*` and `-reset-*`. */
export interface RateState {
  limit: number;
  remaining: number;
  /** Until all of it is there again. */
  resetSeconds: number;
}

export interface Taken {
  allowed: boolean;
  /** Of what refused; else of requests, or of tokens if these alone are limited. Absent: no limit, or Redis did not answer. */
  limit?: number;
  remaining?: number;
  resetSeconds?: number;
  /** Refused: when it fits. Absent when it never does, since it expects more tokens than a minute has. */
  retryAfterSeconds?: number;
  refusedBy?: 'requests' | 'tokens' | 'concurrency';
  requests?: RateState;
  tokens?: RateState;
}

/**
 * Requests and tokens a minute and requests at once of each key, counted in Redis over all gateways: one round trip.
 *
 * A bucket holds a minute's worth and fills evenly: an idle key may use it up at once, and has the limit as its rate from then on.
 *
 * **It fails open**: while Redis does not answer, requests are let through, counted as such, and not limited. They are not unpaid
 * for: budgets are the router's, which admits nothing while its counters cannot be asked.
 */
export class RedisRateLimits {
  private readonly outcomes = meter().createCounter('meritorder_rate_limits', {
    description: 'Requests of limited keys: taken, refused, or let through because Redis did not answer',
  });

  private constructor(
    private readonly redis: Redis,
    private readonly onError: (message: string) => void,
  ) {}

  /** It connects by itself, again and again: nothing waits for Redis. */
  static open(url: string, onError: (message: string) => void = () => {}): RedisRateLimits {
    const redis = new Redis(url, {
      commandTimeout: COMMAND_TIMEOUT_MS,
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => Math.min(500, 25 * times),
    });
    redis.on('error', (error) => onError(`Redis: ${error.message}`));
    return new RedisRateLimits(redis, onError);
  }

  close(): void {
    this.redis.disconnect();
  }

  /** Whether Redis can be asked at the moment. */
  isConnected(): boolean {
    return this.redis.status === 'ready';
  }

  /**
   * @param tokensExpected input and output together.
   * @param inFlight counts the request as in flight until `leave`, or for so long if its gateway dies: without it, the
   * concurrency of the key is compared and not counted.
   */
  async take(
    org: string,
    key: KeyConfig,
    tokensExpected = 0,
    inFlight?: { requestId: string; forMs: number },
  ): Promise<Taken> {
    const { requestsPerMinute = 0, tokensPerMinute = 0, concurrency = 0 } = key.limits ?? {};
    if (requestsPerMinute + tokensPerMinute + concurrency === 0) return { allowed: true };
    const expected = Math.max(0, Math.ceil(tokensExpected));
    if (tokensPerMinute > 0 && expected > tokensPerMinute) {
      this.outcomes.add(1, { how: 'refused', by: 'tokens' });
      return { allowed: false, refusedBy: 'tokens', limit: tokensPerMinute };
    }
    let reply: [Taken['refusedBy'] | '', number, number, number, number, number];
    try {
      const args = [
        requestsPerMinute,
        tokensPerMinute,
        concurrency,
        expected,
        inFlight?.requestId ?? '',
        inFlight?.forMs ?? 0,
      ];
      reply = (await runScript(
        this.redis,
        SCRIPTS.take,
        [rates(org, key.id), flights(org, key.id)],
        args,
      )) as typeof reply;
    } catch (error) {
      this.outcomes.add(1, { how: 'not-asked' });
      this.onError(`the limits of ${org}/${key.id} were not asked: ${(error as Error).message}`);
      return { allowed: true };
    }
    const [refusedBy, requestsLeft, tokensLeft, flying, waitRequestMs, waitTokensMs] = reply;
    const requests = stateOf(requestsPerMinute, requestsLeft);
    const tokens = stateOf(tokensPerMinute, tokensLeft);
    const states = { ...(requests ? { requests } : {}), ...(tokens ? { tokens } : {}) };
    this.outcomes.add(1, refusedBy === '' || !refusedBy ? { how: 'taken' } : { how: 'refused', by: refusedBy });
    if (!refusedBy) return { allowed: true, ...(requests ?? tokens), ...states };
    const binding =
      refusedBy === 'concurrency'
        ? { limit: concurrency, remaining: Math.max(0, concurrency - flying) }
        : refusedBy === 'tokens'
          ? tokens
          : requests;
    // Nobody knows when one of those in flight ends.
    const waitMs = refusedBy === 'concurrency' ? 1_000 : Math.max(waitRequestMs, waitTokensMs);
    return { allowed: false, refusedBy, ...binding, retryAfterSeconds: Math.ceil(waitMs / 1_000), ...states };
  }

  /** What it really took, once that is known: what was expected too much comes back, what was expected too little is owed. */
  async correct(org: string, key: KeyConfig, tokensExpected: number, tokensUsed: number): Promise<void> {
    const limit = key.limits?.tokensPerMinute;
    const more = Math.round(tokensUsed - Math.max(0, Math.ceil(tokensExpected)));
    if (limit === undefined || more === 0) return;
    await runScript(this.redis, SCRIPTS.correct, [rates(org, key.id)], [limit, more]).catch((error: Error) =>
      this.onError(`the tokens of ${org}/${key.id} were not corrected: ${error.message}`),
    );
  }

  /** The request is not in flight any more. */
  async leave(org: string, key: KeyConfig, requestId: string): Promise<void> {
    if (key.limits?.concurrency === undefined) return;
    await this.redis
      .zrem(flights(org, key.id), requestId)
      .catch((error: Error) => this.onError(`${org}/${key.id} keeps a request in flight: ${error.message}`));
  }
}

/** One hash tag per key: the two of a key are in one slot, and keys spread over slots. Slugs have neither braces nor dots. */
function rates(org: string, key: string): string {
  return `mo:rate:{${org}.${key}}`;
}
function flights(org: string, key: string): string {
  return `mo:flights:{${org}.${key}}`;
}

function stateOf(limit: number, left: number): RateState | undefined {
  if (limit === 0) return undefined;
  const remaining = Math.max(0, left);
  return { limit, remaining, resetSeconds: Math.ceil(((limit - left) * 60) / limit) };
}
