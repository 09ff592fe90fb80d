import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { WORKSPACE, type ServiceName, type Stack } from '@meritorder/launcher';
import type { NatsConnection } from '@nats-io/transport-node';
import { startChaos } from '../replay/chaos.js';
import type { RedisServers } from './redis-servers.js';

/** What a fault may break, and the time it has. */
export interface FaultGround {
  stack: Stack;
  redis: RedisServers;
  operator: NatsConnection;
  routers: number;
  seconds: number;
  seed: number;
  /** Resolves after this share of the load's time. */
  at(share: number): Promise<void>;
  /** Reads the counters: before they are lost. */
  sample(): Promise<void>;
}

export interface Fault {
  /** What happens, in one line. */
  describe: string;
  /** Routers at the start; default all. */
  routersAtStart?: number;
  /** Runs beside the load and ends with it. Returns how often it struck. */
  run(ground: FaultGround): Promise<number>;
}

const SKEW_MS = 5_000;
/** Longer than the second after which a command is given up. */
const SILENCE_MS = 1_300;

const SINGLE_FAULTS: Record<string, Fault> = {
  none: { describe: 'nothing breaks', run: async () => 0 },
  kill: {
    describe: 'kill -9 of services, each in turn and then any',
    async run(ground) {
      const chaos = startChaos(ground.stack, ground.operator, {
        seed: ground.seed,
        killEveryMs: Math.min(1_500, ground.seconds * 200),
        duplicates: false,
      });
      await ground.at(1);
      return sum(Object.values((await chaos.stop()).kills));
    },
  },
  'redis-wipe': {
    describe: 'Redis loses everything, twice',
    async run({ redis, at, sample }) {
      for (const share of [0.35, 0.65]) {
        await at(share);
        await sample();
        await redis.wipe();
      }
      return 2;
    },
  },
  'redis-failover': {
    describe: 'a replica that lags behind is promoted',
    async run({ redis, at, sample }) {
      await redis.replicate();
      await at(0.3);
      await redis.partReplica();
      await at(0.5);
      await sample();
      redis.failover();
      return 1;
    },
  },
  'redis-failback': {
    describe:
      'a stale replica is promoted, then the first server, stale by now, is back, with services that just start',
    async run({ stack, redis, at, sample }) {
      await redis.replicate();
      await at(0.2);
      await redis.partReplica();
      await at(0.3);
      await sample();
      redis.failover();
      await at(0.7);
      await sample();
      // Neither who rebuilds nor one of the routers remembers what happened meanwhile.
      for (const name of ['budget-policy', 'router'] as const) stack.of(name)[0]?.child.kill('SIGKILL');
      redis.failover();
      return 2;
    },
  },
  'redis-timeout': {
    describe: 'replies of Redis are late or lost, after the command was applied',
    async run({ redis, at, seconds }) {
      const share = SILENCE_MS / 1_000 / seconds;
      let times = 0;
      for (let start = share; start + share < 1; start += 2.5 * share) {
        await at(start);
        redis.proxy.holdReplies();
        await at(start + share);
        redis.proxy.releaseReplies(times++ % 2 === 0);
      }
      return times;
    },
  },
  duplicate: {
    describe: 'usage events are published again, duplicated and out of order',
    async run(ground) {
      const chaos = startChaos(ground.stack, ground.operator, {
        seed: ground.seed,
        killEveryMs: Number.MAX_SAFE_INTEGER,
        duplicates: true,
      });
      await ground.at(1);
      return (await chaos.stop()).duplicatesPublished;
    },
  },
  'clock-skew': {
    describe: 'one router is 5 s ahead, one worker and one metering 5 s behind',
    async run({ stack, routers }) {
      await Promise.all([
        stack.startService('router', routers, skewed(SKEW_MS)),
        stack.startService('provider-worker', 1, skewed(-SKEW_MS)),
        stack.startService('metering', 1, skewed(-SKEW_MS)),
      ]);
      return 3;
    },
  },
  scale: {
    describe: 'from one router to all of them during the load',
    routersAtStart: 1,
    async run({ stack, routers, at }) {
      for (let index = 1; index < routers; index++) {
        await at((0.6 * index) / routers);
        await stack.startService('router' satisfies ServiceName, index);
      }
      return routers - 1;
    },
  },
};

export const FAULTS: Record<string, Fault> = {
  ...SINGLE_FAULTS,
  everything: {
    describe: 'kill, duplicate, redis-timeout and redis-wipe at the same time',
    async run(ground) {
      const names = ['kill', 'duplicate', 'redis-timeout', 'redis-wipe'];
      return sum(await Promise.all(names.map((name) => SINGLE_FAULTS[name]!.run(ground))));
    },
  },
};

function skewed(offsetMs: number): Record<string, string> {
  const preload = pathToFileURL(join(WORKSPACE, 'tools/bench/overshoot/skewed-clock.mjs')).href;
  return { NODE_OPTIONS: `--import=${preload}`, BENCH_CLOCK_OFFSET_MS: String(offsetMs) };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
