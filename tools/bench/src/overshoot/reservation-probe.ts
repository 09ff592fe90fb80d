import { Counters, type ReserveCommand } from '@meritorder/counters';
import { newId } from '@meritorder/kernel';

const EVERY_MS = 40;
const LEVELS = 4;
const PREFIX = 'probe-';
const LIMIT_NANOS = 10n ** 15n;

/** Windows of the probe are not in the books. */
export function isProbe(budget: string): boolean {
  return budget.startsWith(PREFIX);
}

/** A reservation on budgets of four levels, of its own, that always fits. */
export function probeCommand(): ReserveCommand {
  const price = { fixedNanos: 76_000n, perOutputTokenNanos: 4_000n };
  return {
    attemptId: newId(),
    leaseMs: 5_000,
    candidates: [
      {
        backend: 'small',
        maxTokens: 128,
        minTokens: 64,
        cash: price,
        full: price,
        windows: Array.from({ length: LEVELS }, (_, level) => ({
          budget: `${PREFIX}${level}`,
          window: 'total',
          basis: 'cash' as const,
          limitNanos: LIMIT_NANOS,
          limitVersion: 1,
        })),
      },
    ],
  };
}

/** Measures `Counters.reserve` beside the load, as a router calls it. */
export async function startProbe(redisUrl: string): Promise<{ stop(): Promise<number[]> }> {
  const counters = await Counters.connect(redisUrl);
  const tookMs: number[] = [];
  let stopped = false;
  const loop = async (): Promise<void> => {
    while (!stopped) {
      const command = probeCommand();
      const started = performance.now();
      const reply = await counters.reserve(command);
      if (reply.type === 'granted') {
        tookMs.push(performance.now() - started);
        await counters.release(command.attemptId);
      }
      await new Promise((r) => setTimeout(r, EVERY_MS));
    }
  };
  const running = loop();
  return {
    async stop() {
      stopped = true;
      await running;
      await counters.close();
      return tookMs;
    },
  };
}
