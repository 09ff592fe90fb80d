import type { Redis } from 'ioredis';
import type { Adjustment, ReserveCommand } from '@meritorder/budget-core';
import { MAX_COUNTER_NANOS, type Nanos } from '@meritorder/kernel';
import { dropKeys, loadHolds, loadWindows, readWindows } from './epoch-load.js';
import { epochOfKey, keys, parseWindowKey } from './keys.js';
import { checkServer, openRedis, withoutPassword } from './redis-server.js';
import type {
  AdjustReply,
  EpochState,
  ExtendReply,
  FinishReply,
  HoldStateText,
  LoadedHold,
  LoadedWindow,
  ReserveReply,
  TimedReply,
  WindowCounters,
} from './replies.js';
import { decodeReserve, encodeReserve, unreservable } from './reserve-call.js';
import { SCRIPTS, type Script } from './scripts.js';

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
    const redis = openRedis(url, options.commandTimeoutMs ?? 1_000);
    const counters = new Counters(redis, options.onError ?? (() => {}));
    try {
      await redis.connect();
      await checkServer(redis);
    } catch (error) {
      await counters.close();
      throw new Error(`cannot use Redis at ${withoutPassword(url)}: ${(error as Error).message}; check REDIS_URL`);
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
    const [info, [id, epochRunId, state, windows]] = await Promise.all([
      this.redis.info('server'),
      this.redis.hmget(keys.epoch, 'id', 'runId', 'state', 'windows'),
    ]);
    const runId = /run_id:(\w+)/.exec(info)?.[1] ?? '';
    const epoch = id
      ? { id: Number(id), runId: epochRunId ?? '', state: state as EpochState['state'], windows: Number(windows ?? 0) }
      : undefined;
    this.epoch = epoch;
    this.newestEpochId = Math.max(this.newestEpochId, epoch?.id ?? 0);
    this.verified = epoch !== undefined && epoch.runId === runId && epoch.id === this.newestEpochId;
    return { epoch, runId };
  }

  /** Grants the first candidate that fits in all its windows and its account's rates. One call, whatever is asked. */
  async reserve(command: ReserveCommand): Promise<ReserveReply> {
    const broken = unreservable(command);
    if (broken) return broken;
    const epochId = this.openEpochId();
    if (epochId === undefined) return { type: 'epoch' };
    const call = encodeReserve(command, epochId);
    const reply = (await this.run(SCRIPTS.reserve, call.keys, call.args, epochId)) as string[] | undefined;
    if (!reply || reply[0] === 'epoch') return this.epochOver();
    return decodeReserve(reply, command, epochId);
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

  /** A hold that was not opened yet keeps its money for another lease, from now on by Redis' clock. */
  async renew(attemptId: string, leaseMs: number): Promise<TimedReply> {
    const reply = await this.onHold(SCRIPTS.renew, attemptId, (epochId) => [epochId, attemptId, leaseMs]);
    return reply ? timed(reply) : this.epochOver();
  }

  /** reserved with a lease that is over -> expired. */
  async expire(attemptId: string): Promise<TimedReply> {
    const reply = await this.finishCall(attemptId, 'expire');
    return reply ? timed(reply) : this.epochOver();
  }

  /**
   * An opened hold grows to these amounts (of the whole hold), if every window has room for the growth at the limit in force; or
   * stays what it is. Asking for what it already has changes nothing, so a call is repeated and may be overtaken.
   */
  async extend(attemptId: string, to: { cashNanos: Nanos; fullNanos: Nanos }): Promise<ExtendReply> {
    assertCountable(to.cashNanos, to.fullNanos);
    const epochId = this.openEpochId();
    if (epochId === undefined) return { type: 'epoch' };
    const reply = (await this.run(
      SCRIPTS.extend,
      [keys.epoch, keys.hold(epochId, attemptId)],
      [epochId, text(to.cashNanos), text(to.fullNanos)],
      epochId,
    )) as string[] | undefined;
    switch (reply?.[0]) {
      case 'extended':
        return { type: 'extended', cashNanos: BigInt(reply[1]!), fullNanos: BigInt(reply[2]!) };
      case 'done':
        return { type: 'done', was: reply[1] as HoldStateText };
      case 'refused':
        return { type: 'refused', binding: extensionBinding(reply) };
      default:
        return this.epochOver();
    }
  }

  /** A changed limit is in force at once, also where no request brings it. False: not newer, or nobody used the window yet. */
  async changeLimit(of: {
    budget: string;
    window: string;
    limitNanos: Nanos;
    limitVersion: number;
  }): Promise<boolean | undefined> {
    assertCountable(of.limitNanos);
    const reply = await this.onWindow(SCRIPTS.limit, of, [text(of.limitNanos), of.limitVersion]);
    return reply === undefined || reply === 'epoch' ? undefined : reply === 'changed';
  }

  /**
   * Corrects what is committed in a window by a difference from the books, if it is still what was seen. Only for what is certain:
   * an attempt that the books know and the counters will still be told of must not be in the difference.
   */
  async adjust(of: { budget: string; window: string }, by: Adjustment): Promise<AdjustReply> {
    const settled = by.seenSettledNanos + by.settledChangeNanos;
    const unconfirmed = by.seenUnconfirmedNanos + by.unconfirmedChangeNanos;
    if (!isCountable(settled) || !isCountable(unconfirmed))
      return {
        type: 'range',
        message: `${of.budget}/${of.window} would be ${settled} settled, ${unconfirmed} unconfirmed`,
      };
    const reply = await this.onWindow(SCRIPTS.adjust, of, [
      text(by.seenSettledNanos),
      text(by.seenUnconfirmedNanos),
      text(settled),
      text(unconfirmed),
    ]);
    return reply === undefined || reply === 'epoch'
      ? this.epochOver()
      : { type: reply as 'adjusted' | 'moved' | 'missing' };
  }

  /**
   * Ends holds that were never opened and whose lease is over. Returns their attempts, which from now on can never be opened,
   * again and again until `forgetLeases` says that the books know of them.
   */
  async expireDue(limit = 500): Promise<string[]> {
    const epochId = this.openEpochId();
    if (epochId === undefined) return [];
    const due = await this.redis.zrangebyscore(keys.leases(epochId), '-inf', await this.serverMs(), 'LIMIT', 0, limit);
    const expired: string[] = [];
    for (const attemptId of due) {
      const reply = await this.expire(attemptId);
      // `unknown`: the tombstone went before the books were told.
      if (reply.type === 'done' && (reply.was === 'reserved' || reply.was === 'expired' || reply.was === 'unknown'))
        expired.push(attemptId);
    }
    return expired;
  }

  /** How many holds are past their lease by more than this: when it stays above zero nobody sweeps, which is an alarm. */
  async overdueLeases(byMs: number): Promise<number> {
    const epochId = this.openEpochId();
    if (epochId === undefined) return 0;
    return this.redis.zcount(keys.leases(epochId), '-inf', (await this.serverMs()) - byMs);
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
    await dropKeys(this.redis, keys.ofEpoch(id));
    await this.redis.multi().del(keys.epoch).hset(keys.epoch, { id, runId, state: 'building', windows: 0 }).exec();
  }

  loadWindows(epochId: number, windows: readonly LoadedWindow[]): Promise<void> {
    return loadWindows(this.redis, epochId, windows);
  }

  loadHolds(epochId: number, holds: readonly LoadedHold[]): Promise<void> {
    return loadHolds(this.redis, epochId, holds);
  }

  /** @returns 'incomplete' when Redis lost something while it was loaded, 'superseded' when another epoch was begun. */
  async openEpoch(epochId: number, windowCount: number): Promise<'ok' | 'superseded' | 'incomplete'> {
    const reply = await this.evaluate(SCRIPTS.openEpoch, [keys.epoch, keys.windows(epochId)], [epochId, windowCount]);
    await this.refreshEpoch();
    return reply as 'ok' | 'superseded' | 'incomplete';
  }

  /** Removes the keys of every epoch before this one; a newer one may have been opened meanwhile. */
  async dropOldEpochs(currentId: number): Promise<void> {
    await dropKeys(this.redis, keys.all, (key) => epochOfKey(key) < currentId);
  }

  /** Windows of the open epoch, for reconciliation and proofs: all, or those that are named and exist. */
  async inspectWindows(only?: readonly { budget: string; window: string }[]): Promise<WindowCounters[]> {
    const epochId = this.openEpochId();
    return epochId === undefined ? [] : readWindows(this.redis, epochId, only);
  }

  private async finish(
    attemptId: string,
    verb: 'open' | 'release' | 'settle' | 'unconfirm',
    cost?: { cashNanos: Nanos; fullNanos: Nanos },
  ): Promise<FinishReply> {
    const reply = await this.finishCall(attemptId, verb, cost);
    return reply ? { type: 'done', was: reply[1] as HoldStateText } : this.epochOver();
  }

  /** Undefined: the epoch is over. @throws Error when a window would leave 64 bits; nothing was done then. */
  private async finishCall(
    attemptId: string,
    verb: 'open' | 'release' | 'settle' | 'unconfirm' | 'expire',
    cost: { cashNanos: Nanos; fullNanos: Nanos } = { cashNanos: 0n, fullNanos: 0n },
  ): Promise<string[] | undefined> {
    // A provider may pay back: then the cost of an attempt is below zero.
    assertCountable(magnitude(cost.cashNanos), magnitude(cost.fullNanos));
    const reply = await this.onHold(SCRIPTS.finish, attemptId, (epochId) => [
      epochId,
      attemptId,
      verb,
      text(cost.cashNanos),
      text(cost.fullNanos),
      TOMBSTONE_MS,
    ]);
    if (reply?.[0] === 'range') throw new RangeError(`a window of attempt ${attemptId} cannot count more`);
    return reply;
  }

  private async onHold(
    script: Script,
    attemptId: string,
    args: (epochId: number) => (string | number)[],
  ): Promise<string[] | undefined> {
    const epochId = this.openEpochId();
    if (epochId === undefined) return undefined;
    const keyList = [keys.epoch, keys.windows(epochId), keys.leases(epochId), keys.hold(epochId, attemptId)];
    const reply = (await this.run(script, keyList, args(epochId), epochId)) as string[] | undefined;
    return reply?.[0] === 'epoch' ? undefined : reply;
  }

  private async onWindow(
    script: Script,
    of: { budget: string; window: string },
    args: (string | number)[],
  ): Promise<string | undefined> {
    const epochId = this.openEpochId();
    if (epochId === undefined) return undefined;
    const keyList = [keys.epoch, keys.window(epochId, of.budget, of.window)];
    return (await this.run(script, keyList, [epochId, ...args], epochId)) as string | undefined;
  }

  private async serverMs(): Promise<number> {
    const [seconds, micros] = await this.redis.time();
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
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
}

function text(nanos: Nanos): string {
  return nanos.toString();
}

function magnitude(nanos: Nanos): Nanos {
  return nanos < 0n ? -nanos : nanos;
}

function isCountable(nanos: Nanos): boolean {
  return nanos >= 0n && nanos <= MAX_COUNTER_NANOS;
}

/** @throws RangeError: an amount that counters cannot hold exactly. */
function assertCountable(...amounts: Nanos[]): void {
  const wrong = amounts.find((amount) => !isCountable(amount));
  if (wrong !== undefined)
    throw new RangeError(`${wrong} nano-USD cannot be counted exactly: it is not within 0 and 2^53`);
}

function timed(reply: string[]): TimedReply {
  return {
    type: 'done',
    was: reply[1] as HoldStateText,
    atMicros: reply[2] === undefined ? undefined : Number(reply[2]),
  };
}

function extensionBinding(reply: string[]): Extract<ExtendReply, { type: 'refused' }>['binding'] {
  const [, key, kind, limit, settled, unconfirmed, reserved, needed] = reply as string[] & { length: 8 };
  return {
    ...parseWindowKey(key!),
    kind: kind as 'exhausted' | 'held',
    limitNanos: BigInt(limit!),
    settledNanos: BigInt(settled!),
    unconfirmedNanos: BigInt(unconfirmed!),
    reservedNanos: BigInt(reserved!),
    neededNanos: BigInt(needed!),
  };
}
