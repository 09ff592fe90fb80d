import { Redis } from 'ioredis';
import type { Basis } from '@meritorder/contracts';
import { invariant, MAX_COUNTER_NANOS, type Nanos } from '@meritorder/kernel';
import { epochOfKey, keys, parseWindowKey } from './keys.js';
import { SCRIPTS, type Script } from './scripts.js';

export interface CandidateWindow {
  budget: string;
  window: string;
  basis: Basis;
  limitNanos: Nanos;
  limitVersion: number;
}
export interface ReserveCandidate {
  backend: string;
  maxTokens: number;
  minTokens: number;
  cash: { fixedNanos: Nanos; perOutputTokenNanos: Nanos };
  full: { fixedNanos: Nanos; perOutputTokenNanos: Nanos };
  windows: CandidateWindow[];
}
export interface ReserveCommand {
  attemptId: string;
  /** How long the hold lasts without being opened, by Redis' clock. */
  leaseMs: number;
  /** In order of preference; the first that fits in all its windows is granted. */
  candidates: ReserveCandidate[];
}
export interface ReserveGrant {
  type: 'granted';
  epochId: number;
  candidateIndex: number;
  /** Output tokens of one choice, clamped to what the budgets leave. */
  maxTokens: number;
  cashNanos: Nanos;
  fullNanos: Nanos;
  leaseUntilMs: number;
  /** As of this reservation; empty when the reply repeats an earlier grant. */
  left: { budget: string; window: string; basis: Basis; leftNanos: Nanos }[];
}
export interface BindingBudget {
  budget: string;
  window: string;
  basis: Basis;
  /** `held`: it would fit, were the requests in flight over. */
  kind: 'exhausted' | 'held';
  limitNanos: Nanos;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
  reservedNanos: Nanos;
  neededNanos: Nanos;
  /** When the earliest lease of any hold ends, in ms from now by Redis' clock; undefined when all are opened. */
  earliestLeaseInMs: number | undefined;
}
export interface ReserveRefusal {
  type: 'refused';
  /** One per candidate: the first window that did not fit. */
  candidates: BindingBudget[];
}
export type ReserveReply = ReserveGrant | ReserveRefusal | { type: 'epoch' } | { type: 'range'; message: string };

export type HoldStateText = 'reserved' | 'opened' | 'unconfirmed' | 'settled' | 'released' | 'expired' | 'unknown';
/** What the hold was before the verb, or that the epoch is not open: then nothing happened. */
export type FinishReply = { type: 'done'; was: HoldStateText } | { type: 'epoch' };

export interface EpochState {
  id: number;
  runId: string;
  state: 'open' | 'building' | 'broken';
  windows: number;
}
export interface WindowCounters {
  budget: string;
  window: string;
  limitNanos: Nanos;
  settledNanos: Nanos;
  unconfirmedNanos: Nanos;
  reservedNanos: Nanos;
  /** The most that was ever spent and held at once, as grants saw it. */
  peakNanos: Nanos;
}
export interface LoadedHold {
  attemptId: string;
  state: 'opened' | 'unconfirmed';
  cashNanos: Nanos;
  fullNanos: Nanos;
  windows: { budget: string; window: string; basis: Basis }[];
}

const TOMBSTONE_MS = 60_000;
const TRIES = 5;

/**
 * The Redis counters of budgets. Every verb is idempotent by attempt id, so a call that timed out is repeated with the same
 * arguments. After each (re)connect nothing is let through before the server's run id was compared with the epoch's: a
 * replica that was promoted in between still holds a valid epoch key. Nor is anything let through in an epoch older than the
 * newest ever heard of: a primary that comes back after such a failover holds a valid key with its own run id.
 */
export class Counters {
  private verified = false;
  private epoch: EpochState | undefined;
  private newestEpochId = 0;
  private readonly poll: NodeJS.Timeout;

  private constructor(
    private readonly redis: Redis,
    private readonly onError: (error: Error) => void,
  ) {
    redis.on('close', () => {
      this.verified = false;
      this.epoch = undefined;
    });
    redis.on('ready', () => void this.refreshEpoch().catch(this.onError));
    redis.on('error', this.onError);
    this.poll = setInterval(() => void this.refreshEpoch().catch(() => {}), 250);
    this.poll.unref();
  }

  /** @throws Error with one line when Redis cannot be used: unreachable, too old, or allowed to evict. */
  static async connect(
    url: string,
    options: { commandTimeoutMs?: number; onError?: (error: Error) => void } = {},
  ): Promise<Counters> {
    const redis = new Redis(url, {
      lazyConnect: true,
      commandTimeout: options.commandTimeoutMs ?? 1_000,
      // A command that was under way when the connection broke is not sent again by the client: it could reach another server.
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => Math.min(500, 25 * times),
    });
    const counters = new Counters(redis, options.onError ?? (() => {}));
    try {
      await redis.connect();
      await checkServer(redis);
    } catch (error) {
      await counters.close();
      throw new Error(
        `cannot use Redis at ${url.replace(/:[^:@/]*@/, ':***@')}: ${(error as Error).message}; check REDIS_URL`,
      );
    }
    await counters.refreshEpoch();
    return counters;
  }

  async close(): Promise<void> {
    clearInterval(this.poll);
    this.redis.disconnect();
  }

  /** The open epoch of a verified server; undefined while admission is closed. */
  openEpochId(): number | undefined {
    return this.verified && this.epoch?.state === 'open' ? this.epoch.id : undefined;
  }

  /** Nothing is let through any more in an epoch before this one. */
  requireEpoch(id: number): void {
    this.newestEpochId = Math.max(this.newestEpochId, id);
    if (this.epoch && this.epoch.id < this.newestEpochId) this.verified = false;
  }

  /** The newest epoch heard of since the start, on any server; 0 for none. */
  newestEpoch(): number {
    return this.newestEpochId;
  }

  /** Reads the epoch and the server's run id. They decide whether anything is let through. */
  async refreshEpoch(): Promise<{ epoch: EpochState | undefined; runId: string }> {
    const [info, fields] = await Promise.all([this.redis.info('server'), this.redis.hgetall(keys.epoch)]);
    const runId = /run_id:(\w+)/.exec(info)?.[1] ?? '';
    const epoch = fields['id']
      ? {
          id: Number(fields['id']),
          runId: fields['runId'] ?? '',
          state: fields['state'] as EpochState['state'],
          windows: Number(fields['windows'] ?? 0),
        }
      : undefined;
    this.epoch = epoch;
    this.newestEpochId = Math.max(this.newestEpochId, epoch?.id ?? 0);
    this.verified = epoch !== undefined && epoch.runId === runId && epoch.id === this.newestEpochId;
    return { epoch, runId };
  }

  /** Grants the first candidate that fits everywhere. `epoch`: admission is closed. `range`: an amount is beyond 2^53. */
  async reserve(command: ReserveCommand): Promise<ReserveReply> {
    const broken = outOfRange(command);
    if (broken) return { type: 'range', message: broken };
    const epochId = this.openEpochId();
    if (epochId === undefined) return { type: 'epoch' };
    const windowKeys: string[] = [];
    const indexOf = new Map<string, number>();
    const args: (string | number)[] = [epochId, command.attemptId, command.leaseMs, command.candidates.length];
    for (const c of command.candidates) {
      args.push(
        c.maxTokens,
        c.minTokens,
        text(c.cash.fixedNanos),
        text(c.cash.perOutputTokenNanos),
        text(c.full.fixedNanos),
        text(c.full.perOutputTokenNanos),
        c.windows.length,
      );
      for (const w of c.windows) {
        const key = keys.window(epochId, w.budget, w.window);
        let index = indexOf.get(key);
        if (index === undefined) {
          windowKeys.push(key);
          index = windowKeys.length + 4;
          indexOf.set(key, index);
        }
        args.push(index, w.basis === 'cash' ? 'c' : 'f', text(w.limitNanos), w.limitVersion);
      }
    }
    const keyList = [
      keys.epoch,
      keys.windows(epochId),
      keys.leases(epochId),
      keys.hold(epochId, command.attemptId),
      ...windowKeys,
    ];
    const reply = (await this.run(SCRIPTS.reserve, keyList, args, epochId)) as string[] | undefined;
    if (!reply || reply[0] === 'epoch') return this.epochOver();
    return reply[0] === 'granted' ? granted(reply, command, epochId) : refused(reply, command);
  }

  /** reserved -> opened. Anything but `reserved` or `opened` before means: do not send. */
  open(attemptId: string): Promise<FinishReply> {
    return this.finish(attemptId, 'open');
  }
  /** reserved, opened or unconfirmed -> released: it cost nothing. */
  release(attemptId: string): Promise<FinishReply> {
    return this.finish(attemptId, 'release');
  }
  /** reserved, opened or unconfirmed -> settled at the booked cost. */
  settle(attemptId: string, cost: { cashNanos: Nanos; fullNanos: Nanos }): Promise<FinishReply> {
    return this.finish(attemptId, 'settle', cost);
  }
  /** reserved or opened -> unconfirmed at what it holds. */
  unconfirm(attemptId: string): Promise<FinishReply> {
    return this.finish(attemptId, 'unconfirm');
  }

  /**
   * Ends holds that were never opened and whose lease is over. Returns their attempts, which from now on can never be opened,
   * again and again until `forgetLeases` says that the books know of them.
   */
  async expireDue(limit = 500): Promise<string[]> {
    const epochId = this.openEpochId();
    if (epochId === undefined) return [];
    const [seconds] = await this.redis.time();
    const due = await this.redis.zrangebyscore(
      keys.leases(epochId),
      '-inf',
      Number(seconds) * 1_000,
      'LIMIT',
      0,
      limit,
    );
    const expired: string[] = [];
    for (const attemptId of due) {
      const reply = await this.finish(attemptId, 'expire');
      // `unknown`: the tombstone went before the books were told.
      if (reply.type === 'done' && (reply.was === 'reserved' || reply.was === 'expired' || reply.was === 'unknown'))
        expired.push(attemptId);
    }
    return expired;
  }

  async forgetLeases(attemptIds: readonly string[]): Promise<void> {
    const epochId = this.openEpochId();
    if (epochId !== undefined && attemptIds.length > 0) await this.redis.zrem(keys.leases(epochId), ...attemptIds);
  }

  /** Closes admission, whatever the epoch was. */
  async closeEpoch(): Promise<void> {
    await this.redis.del(keys.epoch);
    this.epoch = undefined;
  }

  /** Starts building a new epoch on this server: nothing is admitted until it is opened. */
  async beginEpoch(id: number): Promise<void> {
    const { runId } = await this.refreshEpoch();
    await this.dropKeys(keys.ofEpoch(id));
    await this.redis.multi().del(keys.epoch).hset(keys.epoch, { id, runId, state: 'building', windows: 0 }).exec();
  }

  async loadWindows(epochId: number, windows: readonly WindowCounters[]): Promise<void> {
    const pipeline = this.redis.pipeline();
    for (const w of windows) {
      invariant(w.settledNanos <= MAX_COUNTER_NANOS, `window ${w.budget}/${w.window} is beyond 2^53 nano-USD`);
      const key = keys.window(epochId, w.budget, w.window);
      pipeline.hset(key, {
        limit: text(w.limitNanos),
        version: 0,
        settled: text(w.settledNanos),
        unconfirmed: text(w.unconfirmedNanos),
        reserved: text(w.reservedNanos),
        peak: 0,
      });
      pipeline.sadd(keys.windows(epochId), key);
    }
    await execute(pipeline);
  }

  async loadHolds(epochId: number, holds: readonly LoadedHold[]): Promise<void> {
    const pipeline = this.redis.pipeline();
    for (const hold of holds) {
      const windows = hold.windows
        .map((w) => `${w.basis === 'cash' ? 'c' : 'f'}${keys.window(epochId, w.budget, w.window)}`)
        .join('\n');
      pipeline.hset(keys.hold(epochId, hold.attemptId), {
        s: hold.state,
        c: text(hold.cashNanos),
        f: text(hold.fullNanos),
        g: 0,
        t: 0,
        l: 0,
        w: windows,
      });
    }
    await execute(pipeline);
  }

  /** @returns 'incomplete' when Redis lost something while it was loaded, 'superseded' when another epoch was begun. */
  async openEpoch(epochId: number, windowCount: number): Promise<'ok' | 'superseded' | 'incomplete'> {
    const reply = await this.evaluate(SCRIPTS.openEpoch, [keys.epoch, keys.windows(epochId)], [epochId, windowCount]);
    await this.refreshEpoch();
    return reply as 'ok' | 'superseded' | 'incomplete';
  }

  /** Removes the keys of every epoch before this one; a newer one may have been opened meanwhile. */
  async dropOldEpochs(currentId: number): Promise<void> {
    await this.dropKeys(keys.all, (key) => epochOfKey(key) < currentId);
  }

  /** All windows of the open epoch, for reconciliation and proofs. */
  async inspectWindows(): Promise<WindowCounters[]> {
    const epochId = this.openEpochId();
    if (epochId === undefined) return [];
    const found: WindowCounters[] = [];
    for (const key of await this.redis.smembers(keys.windows(epochId))) {
      const h = await this.redis.hgetall(key);
      found.push({
        ...parseWindowKey(key),
        limitNanos: BigInt(h['limit'] ?? 0),
        settledNanos: BigInt(h['settled'] ?? 0),
        unconfirmedNanos: BigInt(h['unconfirmed'] ?? 0),
        reservedNanos: BigInt(h['reserved'] ?? 0),
        peakNanos: BigInt(h['peak'] ?? 0),
      });
    }
    return found;
  }

  private async finish(
    attemptId: string,
    verb: 'open' | 'release' | 'settle' | 'unconfirm' | 'expire',
    cost: { cashNanos: Nanos; fullNanos: Nanos } = { cashNanos: 0n, fullNanos: 0n },
  ): Promise<FinishReply> {
    const epochId = this.openEpochId();
    if (epochId === undefined) return { type: 'epoch' };
    const reply = (await this.run(
      SCRIPTS.finish,
      [keys.epoch, keys.windows(epochId), keys.leases(epochId), keys.hold(epochId, attemptId)],
      [epochId, attemptId, verb, text(cost.cashNanos), text(cost.fullNanos), TOMBSTONE_MS],
      epochId,
    )) as string[] | undefined;
    if (!reply || reply[0] === 'epoch') return this.epochOver();
    return { type: 'done', was: reply[1] as HoldStateText };
  }

  private epochOver(): { type: 'epoch' } {
    void this.refreshEpoch().catch(() => {});
    return { type: 'epoch' };
  }

  /**
   * Runs a script, repeating it after a time-out or a broken connection as long as the epoch stays the same. Undefined: the
   * epoch is over, or Redis stayed away; a hold that was made unheard ends with its lease.
   */
  private async run(script: Script, keyList: string[], args: (string | number)[], epochId: number): Promise<unknown> {
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      if (this.verified) {
        if (this.openEpochId() !== epochId) return undefined;
        try {
          return await this.evaluate(script, keyList, args);
        } catch (error) {
          this.onError(error as Error);
        }
      }
      await new Promise((r) => setTimeout(r, 25 * 2 ** attempt));
      await this.refreshEpoch().catch(() => {
        this.verified = false;
      });
    }
    return undefined;
  }

  private async evaluate(script: Script, keyList: string[], args: (string | number)[]): Promise<unknown> {
    try {
      return await this.redis.evalsha(script.sha1, keyList.length, ...keyList, ...args);
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
      return this.redis.eval(script.text, keyList.length, ...keyList, ...args);
    }
  }

  private async dropKeys(pattern: string, only: (key: string) => boolean = () => true): Promise<void> {
    let cursor = '0';
    do {
      const [next, found] = await this.redis.scan(cursor, 'MATCH', pattern, 'COUNT', 500);
      cursor = next;
      const drop = found.filter(only);
      if (drop.length > 0) await this.redis.unlink(...drop);
    } while (cursor !== '0');
  }
}

async function checkServer(redis: Redis): Promise<void> {
  const version = /redis_version:(\d+)\.(\d+)/.exec(await redis.info('server'));
  if (!version || Number(version[1]) < 6 || (Number(version[1]) === 6 && Number(version[2]) < 2))
    throw new Error('it is older than 6.2');
  const policy = (await redis.config('GET', 'maxmemory-policy').catch(() => ['', 'noeviction'])) as string[];
  if (policy[1] !== 'noeviction')
    throw new Error(`its maxmemory-policy is ${policy[1]}, which loses counters; set it to noeviction`);
}

function text(nanos: Nanos): string {
  return nanos.toString();
}

function outOfRange(command: ReserveCommand): string | undefined {
  const fits = (n: Nanos): boolean => n >= 0n && n <= MAX_COUNTER_NANOS;
  for (const c of command.candidates) {
    for (const line of [c.cash, c.full]) {
      if (!fits(line.fixedNanos + line.perOutputTokenNanos * BigInt(c.maxTokens)))
        return `the bound of ${c.backend} is beyond 2^53 nano-USD`;
    }
    const wide = c.windows.find((w) => !fits(w.limitNanos));
    if (wide) return `the limit of ${wide.budget} is beyond 2^53 nano-USD; split the budget`;
  }
  return undefined;
}

function granted(reply: string[], command: ReserveCommand, epochId: number): ReserveGrant {
  const candidateIndex = Number(reply[1]);
  const left = reply.slice(6);
  return {
    type: 'granted',
    epochId,
    candidateIndex,
    maxTokens: Number(reply[2]),
    cashNanos: BigInt(reply[3]!),
    fullNanos: BigInt(reply[4]!),
    leaseUntilMs: Number(reply[5]),
    left: left.map((nanos, i) => {
      const { budget, window, basis } = command.candidates[candidateIndex]!.windows[i]!;
      return { budget, window, basis, leftNanos: BigInt(nanos) };
    }),
  };
}

function refused(reply: string[], command: ReserveCommand): ReserveRefusal {
  const earliest = reply.at(-1);
  return {
    type: 'refused',
    candidates: command.candidates.map((candidate, i) => {
      const [position, kind, limit, settled, unconfirmed, reserved, needed] = reply.slice(1 + i * 7, 8 + i * 7);
      const { budget, window, basis } = candidate.windows[Number(position)]!;
      return {
        budget,
        window,
        basis,
        kind: kind as 'exhausted' | 'held',
        limitNanos: BigInt(limit!),
        settledNanos: BigInt(settled!),
        unconfirmedNanos: BigInt(unconfirmed!),
        reservedNanos: BigInt(reserved!),
        neededNanos: BigInt(needed!),
        earliestLeaseInMs: earliest ? Math.max(0, Number(earliest)) : undefined,
      };
    }),
  };
}

async function execute(pipeline: ReturnType<Redis['pipeline']>): Promise<void> {
  for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
}
