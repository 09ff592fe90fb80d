import type { BackendConfig, EngineReport } from '@meritorder/contracts';
import {
  IDENTITY_PATHS,
  identityOf,
  loadOf,
  LOAD_PATHS,
  serves,
  speedBetween,
  type CountedAt,
  type EngineAnswers,
  type EngineIdentity,
  type EnginePath,
} from '@meritorder/engine-core';
import { KnownContexts } from './known-contexts.js';

export interface EnginePorts {
  /** The body of a path of the engine; undefined: no such path. @throws Error when nothing answers. */
  get(path: EnginePath): Promise<string | undefined>;
  /** What Ollama says of one of its models; undefined: nothing. @throws Error when nothing answers. */
  show(model: string): Promise<string | undefined>;
  nowMs(): number;
  log: { log(message: string): void; warn(message: string): void };
}

/** So often its identity is read again: it may have been started with other settings. */
const IDENTITY_EVERY_MS = 15_000;
/** One answer that is late says nothing; two in a row do. */
const FAILURES_UNTIL_AWAY = 2;

/** What is known of one backend's engine, from asking it again and again. */
export class WatchedEngine {
  private identity: EngineIdentity | undefined;
  private identityAtMs = -Infinity;
  private contextTokens: number | undefined;
  private readonly contexts: KnownContexts;
  private counted: CountedAt | undefined;
  private failures = 0;
  private said = '';
  private latest: { serves: boolean; report?: EngineReport } = { serves: false };

  constructor(
    private readonly backend: Pick<BackendConfig, 'id' | 'model' | 'baseUrl' | 'contextTokens'>,
    private readonly ports: EnginePorts,
  ) {
    this.contexts = new KnownContexts((model) => ports.show(model));
  }

  get state(): { serves: boolean; report?: EngineReport } {
    return this.latest;
  }

  /** Never rejects. */
  async ask(): Promise<void> {
    const { nowMs } = this.ports;
    try {
      const load = await this.read(LOAD_PATHS);
      if (this.identity === undefined || nowMs() - this.identityAtMs >= IDENTITY_EVERY_MS) {
        this.identity = identityOf({ ...(await this.read(IDENTITY_PATHS)), ...load });
        this.contextTokens = await this.contexts.of(this.identity, this.backend.model);
        this.identityAtMs = nowMs();
      }
      this.failures = 0;
      this.took(this.identity, load);
    } catch (error) {
      if (++this.failures < FAILURES_UNTIL_AWAY && this.latest.serves) return;
      this.identity = undefined;
      this.counted = undefined;
      this.latest = { serves: false };
      this.say(
        'warn',
        `${this.backend.id}: no engine answers at ${this.backend.baseUrl} (${(error as Error).message})`,
      );
    }
  }

  private took(identity: EngineIdentity, answers: EngineAnswers): void {
    const { backend } = this;
    if (!serves(identity, backend.model)) {
      this.latest = { serves: false };
      return this.say(
        'warn',
        `${backend.id}: ${identity.engine} at ${backend.baseUrl} does not serve "${backend.model}"; it serves: ${identity.models.slice(0, 20).join(', ')}`,
      );
    }
    const { engine, version, slots } = identity;
    const { contextTokens } = this;
    const { counters, ...load } = loadOf(engine, answers, backend.model);
    const counted = counters ? { counters, atMs: this.ports.nowMs() } : undefined;
    const report: EngineReport = {
      engine,
      ...(version === undefined ? {} : { version }),
      ...(contextTokens === undefined ? {} : { contextTokens }),
      ...(slots === undefined ? {} : { slots }),
      ...speedBetween(this.counted, counted),
      ...load,
    };
    this.counted = counted;
    this.latest = { serves: true, report };
    const short =
      contextTokens !== undefined && contextTokens < backend.contextTokens
        ? `; it takes ${contextTokens} tokens and the configuration says ${backend.contextTokens}`
        : '';
    this.say(
      short ? 'warn' : 'log',
      `${backend.id}: ${[engine, version].join(' ').trim()} serves ${backend.model}${short}`,
    );
  }

  private async read(paths: readonly EnginePath[]): Promise<EngineAnswers> {
    const answers = await Promise.all(paths.map(async (path) => [path, await this.ports.get(path)] as const));
    return Object.fromEntries(answers);
  }

  private say(level: 'log' | 'warn', message: string): void {
    if (message === this.said) return;
    this.said = message;
    this.ports.log[level](message);
  }
}
