import { seededRandom } from '@meritorder/kernel';
import { STREAMS } from '@meritorder/contracts';
import { busOn } from '@meritorder/messaging';
import type { ServiceName, Stack } from '@meritorder/launcher';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { Redis } from 'ioredis';

export interface ChaosPlan {
  seed: number;
  /** A service process is killed with -9 about this often. */
  killEveryMs: number;
  /** Messages of the usage stream are published again, out of order. */
  duplicates: boolean;
  /** When Redis loses everything, from the start. */
  wipeRedisAtMs?: number;
}

export interface ChaosReport {
  kills: Record<string, number>;
  duplicatesPublished: number;
  redisWipes: number;
}

const VICTIMS: ServiceName[] = ['router', 'provider-worker', 'local-worker', 'metering', 'budget-policy'];

/** Breaks the stack until it is told to stop. The stack must be supervised. */
export function startChaos(stack: Stack, operator: NatsConnection, plan: ChaosPlan): { stop(): Promise<ChaosReport> } {
  const random = seededRandom(plan.seed);
  const report: ChaosReport = { kills: {}, duplicatesPublished: 0, redisWipes: 0 };
  let stopped = false;
  const loops = [kills(), duplicates(), wipe()];

  async function pause(ms: number): Promise<void> {
    const until = Date.now() + ms;
    while (!stopped && Date.now() < until) await new Promise((r) => setTimeout(r, 50));
  }

  async function kills(): Promise<void> {
    for (let round = 0; ; round++) {
      await pause(plan.killEveryMs * (0.5 + random()));
      if (stopped) return;
      // Each in turn first, so that none is spared by chance; then any.
      const name = round < VICTIMS.length ? VICTIMS[round]! : VICTIMS[Math.floor(random() * VICTIMS.length)]!;
      const running = stack.of(name);
      const victim = running[Math.floor(random() * running.length)];
      if (!victim) continue;
      victim.child.kill('SIGKILL');
      report.kills[name] = (report.kills[name] ?? 0) + 1;
    }
  }

  async function duplicates(): Promise<void> {
    if (!plan.duplicates) return;
    const manager = await busOn(operator, 'chaos').manager();
    while (!stopped) {
      await pause(100);
      const { state } = await manager.streams.info(STREAMS.usage.name);
      if (state.last_seq < 1) continue;
      for (let i = 0; i < 10; i++) {
        const seq = Math.max(state.first_seq, state.last_seq - Math.floor(random() * 500));
        const message = await manager.streams.getMessage(STREAMS.usage.name, { seq }).catch(() => null);
        if (!message) continue;
        const h = headers();
        // Without its message id the server cannot recognise it.
        for (const key of message.header.keys()) if (key !== 'Nats-Msg-Id') h.set(key, message.header.get(key));
        operator.publish(message.subject, message.data, { headers: h });
        report.duplicatesPublished++;
      }
    }
  }

  async function wipe(): Promise<void> {
    if (plan.wipeRedisAtMs === undefined) return;
    await pause(plan.wipeRedisAtMs);
    if (stopped) return;
    const redis = new Redis(stack.redis.url);
    await redis.flushall();
    redis.disconnect();
    report.redisWipes++;
  }

  return {
    async stop() {
      stopped = true;
      await Promise.all(loops);
      return report;
    },
  };
}
