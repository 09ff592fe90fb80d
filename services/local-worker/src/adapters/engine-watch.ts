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

/** Reads what engines say of themselves. */
export class EngineReader {
  private readonly agent = new Agent({ connect: { timeout: TIMEOUT_MS }, maxResponseSize: MAX_ANSWER_BYTES });

  /** @throws Error when nothing answers, or what is no engine yet. */
  get(root: string, path: EnginePath, key: string | undefined): Promise<string | undefined> {
    return this.ask(root, path, key);
  }

  /** What Ollama says of a model. @throws Error as above. */
  show(root: string, model: string, key: string | undefined): Promise<string | undefined> {
    return this.ask(root, '/api/show', key, JSON.stringify({ model }));
  }

  private async ask(root: string, path: string, key: string | undefined, sent?: string): Promise<string | undefined> {
    const { origin, pathname } = new URL(root);
    const { statusCode, body } = await this.agent.request({
      origin,
      path: `${pathname === '/' ? '' : pathname}${path}`,
      ...(sent === undefined ? { method: 'GET' } : { method: 'POST', body: sent }),
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
      },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    });
    const text = await body.text();
    // An engine that loads its model, or that stands behind a proxy without it, is no engine yet.
    if (NOT_READY.has(statusCode)) throw new Error(`${path} answers ${statusCode}`);
    return statusCode === 200 ? text : undefined;
  }

  async close(): Promise<void> {
    await this.agent.destroy();
  }
}

/** Asks the engines of this host once a second what they are and how busy they are. */
export class HttpEngines implements Engines {
  private readonly log = new Logger('Engines');
  private readonly watched = new Map<string, { of: string; engine: WatchedEngine }>();
  private readonly timers = new Map<WatchedEngine, NodeJS.Timeout>();
  private tell: (backend: string) => void = () => {};
  private started = false;
  private stopped = false;

  constructor(
    backends: readonly BackendConfig[],
    private readonly keyOf: (backend: BackendConfig) => string | undefined,
    private readonly reader = new EngineReader(),
  ) {
    for (const backend of backends) this.add(backend);
  }

  of(backend: string): ReturnType<Engines['of']> {
    return this.watched.get(backend)?.engine.state ?? { serves: true };
  }

  onChange(tell: (backend: string) => void): void {
    this.tell = tell;
  }

  /** Returns when each was asked once. */
  async start(): Promise<void> {
    this.started = true;
    await Promise.all([...this.watched.values()].map(({ engine }) => this.ask(engine)));
  }

  /** These and no others, from now on. Returns when each that is new was asked once. */
  async watch(backends: readonly BackendConfig[]): Promise<void> {
    for (const [id, { engine }] of this.watched) {
      if (backends.some((b) => b.id === id)) continue;
      clearTimeout(this.timers.get(engine));
      this.timers.delete(engine);
      this.watched.delete(id);
    }
    const changed = backends.filter((b) => this.watched.get(b.id)?.of !== JSON.stringify(b));
    for (const backend of changed) {
      const before = this.watched.get(backend.id)?.engine;
      if (before) clearTimeout(this.timers.get(before));
      this.add(backend);
    }
    if (this.started) await Promise.all(changed.map((b) => this.ask(this.watched.get(b.id)!.engine)));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const timer of this.timers.values()) clearTimeout(timer);
    await this.reader.close();
  }

  private add(backend: BackendConfig): void {
    const key = this.keyOf(backend);
    const get = (path: EnginePath): Promise<string | undefined> =>
      this.reader.get(engineRoot(backend.baseUrl), path, key);
    const show = (model: string): Promise<string | undefined> =>
      this.reader.show(engineRoot(backend.baseUrl), model, key);
    const engine = new WatchedEngine(backend, { get, show, nowMs: () => Date.now(), log: this.log });
    this.watched.set(backend.id, { of: JSON.stringify(backend), engine });
  }

  private async ask(engine: WatchedEngine): Promise<void> {
    const { serves } = engine.state;
    await engine.ask();
    const [id] = [...this.watched].find(([, w]) => w.engine === engine) ?? [];
    if (this.stopped || id === undefined) return;
    if (engine.state.serves !== serves) this.tell(id);
    this.timers.set(
      engine,
      setTimeout(() => void this.ask(engine), EVERY_MS),
    );
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
