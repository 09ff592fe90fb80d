import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { KeyPublisher } from './key-publisher.js';

const LOOK_EVERY_MS = 1_000;
const SWEEP_EVERY_MS = 600_000;

/**
 * Sees to it that the bucket says what Postgres says: at the start, when it was lost, and every ten minutes as a whole; every
 * second what a write missed.
 */
@Injectable()
export class KeyKeeper implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(KeyKeeper.name);
  private readonly ended = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private sweepAtMs = 0;
  private problem: string | undefined = 'the bucket KEYS was not compared with the database yet';

  constructor(@Inject(KeyPublisher) private readonly publisher: KeyPublisher) {}

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.ended.abort();
    await this.running;
  }

  /** What keeps the bucket from being right, in words. */
  failing(): string | undefined {
    return this.problem;
  }

  private async run(): Promise<void> {
    const { signal } = this.ended;
    while (!signal.aborted) {
      try {
        await this.look();
        this.problem = undefined;
      } catch (error) {
        const problem = `routers and gateways are not told of keys: ${(error as Error).message}`;
        if (this.problem !== problem) this.log.warn(problem);
        this.problem = problem;
      }
      await pause(LOOK_EVERY_MS, signal);
    }
  }

  private async look(): Promise<void> {
    if (Date.now() >= this.sweepAtMs || (await this.publisher.isStrange())) {
      await this.publisher.sweep();
      this.sweepAtMs = Date.now() + SWEEP_EVERY_MS;
    }
    await this.publisher.tellUntold();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}
