import type { FleetJoinRequest } from '@meritorder/contracts';
import {
  IDENTITY_PATHS,
  identityOf,
  LOAD_PATHS,
  type EngineAnswers,
  type EngineIdentity,
  type EnginePath,
} from '@meritorder/engine-core';
import { KnownContexts } from './known-contexts.js';

export interface EngineAt {
  /** As OpenAI clients have it, with the version. */
  baseUrl: string;
  /** The body of a path of the engine; undefined: no such path. @throws Error when nothing answers. */
  get(path: EnginePath): Promise<string | undefined>;
  /** What Ollama says of one of its models; undefined: nothing. @throws Error when nothing answers. */
  show(model: string): Promise<string | undefined>;
}

/** Names of one engine that are asked for; one that lists hundreds serves them one at a time anyway. */
const MODELS_MOST = 64;

/** What the engines of a host serve, from asking them again and again: one that does not answer now is what it was. */
export class FoundModels {
  private readonly last = new Map<number, FoundAt[]>();
  private readonly contexts: readonly KnownContexts[];

  /** @param engines in the order of the operator's list: their places are part of the ids of backends */
  constructor(private readonly engines: readonly EngineAt[]) {
    this.contexts = engines.map((engine) => new KnownContexts((model) => engine.show(model)));
  }

  /** Never rejects. */
  async look(): Promise<FleetJoinRequest> {
    const answered: number[] = [];
    await Promise.all(
      this.engines.map(async (engine, i) => {
        try {
          this.last.set(i + 1, await this.modelsOf(await identify(engine), this.contexts[i]!));
          answered.push(i + 1);
        } catch {
          // It is not there yet, or not any more.
        }
      }),
    );
    const found = [...this.last].flatMap(([engine, models]) =>
      models.map(({ model, contextTokens }) => ({
        engine,
        baseUrl: this.engines[engine - 1]!.baseUrl,
        model,
        ...(contextTokens === undefined ? {} : { contextTokens }),
      })),
    );
    return {
      found: found.toSorted((a, b) => a.engine - b.engine).slice(0, MODELS_MOST),
      answered: answered.toSorted((a, b) => a - b),
    };
  }

  /** One after another: for each that is not loaded Ollama reads the head of a file. */
  private async modelsOf(identity: EngineIdentity, contexts: KnownContexts): Promise<FoundAt[]> {
    const found: FoundAt[] = [];
    for (const model of identity.models.slice(0, MODELS_MOST))
      found.push({ model, contextTokens: await contexts.of(identity, model) });
    return found;
  }
}

interface FoundAt {
  model: string;
  contextTokens: number | undefined;
}

async function identify(engine: EngineAt): Promise<EngineIdentity> {
  const paths = [...IDENTITY_PATHS, ...LOAD_PATHS];
  const answers = await Promise.all(paths.map(async (path) => [path, await engine.get(path)] as const));
  return identityOf(Object.fromEntries(answers) as EngineAnswers);
}
