import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { BackendConfig } from '@meritorder/contracts';
import { engineRoot, type EnginePath } from '@meritorder/engine-core';
import type { Engines } from '@meritorder/worker-kit';
import { Agent } from 'undici';
import { WatchedEngine } from '../application/watch-engine.js';

export const ENGINES = Symbol('ENGINES');

const EVERY_MS = 1_000;
const TIMEOUT_MS = 1_500;
const NOT_READY = new Set([502, 503, 504]);
const MAX_ANSWER_BYTES = 4_000_000;

/** Asks the engines of this host once a second what they are and how busy they are. */
export class HttpEngines implements Engines {
  private readonly log = new Logger('Engines');
  private readonly agent = new Agent({ connect: { timeout: TIMEOUT_MS }, maxResponseSize: MAX_ANSWER_BYTES });
  private readonly watched = new Map<string, WatchedEngine>();
  private timers: NodeJS.Timeout[] = [];
  private stopped = false;

  constructor(backends: BackendConfig[], keyOf: (backend: BackendConfig) => string | undefined) {
    for (const backend of backends) {
      const key = keyOf(backend);
      const get = (path: EnginePath): Promise<string | undefined> => this.get(engineRoot(backend.baseUrl), path, key);
      this.watched.set(backend.id, new WatchedEngine(backend, { get, nowMs: () => Date.now(), log: this.log }));
    }
  }

  of(backend: string): ReturnType<Engines['of']> {
    return this.watched.get(backend)?.state ?? { serves: true };
  }

  /** Returns when each was asked once. */
  async start(): Promise<void> {
    await Promise.all([...this.watched.values()].map((engine) => engine.ask().then(() => this.again(engine))));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const timer of this.timers) clearTimeout(timer);
    await this.agent.destroy();
  }

  private again(engine: WatchedEngine): void {
    if (this.stopped) return;
    const timer = setTimeout(() => {
      this.timers = this.timers.filter((t) => t !== timer);
      void engine.ask().then(() => this.again(engine));
    }, EVERY_MS);
    this.timers.push(timer);
  }

  private async get(root: string, path: string, key: string | undefined): Promise<string | undefined> {
    const { origin, pathname } = new URL(root);
    const { statusCode, body } = await this.agent.request({
      origin,
      path: `${pathname === '/' ? '' : pathname}${path}`,
      method: 'GET',
      headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    });
    const text = await body.text();
    // An engine that loads its model, or that stands behind a proxy without it, is no engine yet.
    if (NOT_READY.has(statusCode)) throw new Error(`${path} answers ${statusCode}`);
    return statusCode === 200 ? text : undefined;
  }
}

/** Starts and ends the watching with the service. */
@Injectable()
export class EngineWatch implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(@Inject(ENGINES) private readonly engines: HttpEngines) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.engines.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.engines.stop();
  }
}
