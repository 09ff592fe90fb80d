import { contextOf, shownContext, type EngineIdentity } from '@meritorder/engine-core';

/** Looks after which Ollama is asked again of a model that it has not loaded: it may have been made anew. */
const LOOKS_UNTIL_ASKED_AGAIN = 15;
/** Of one engine; whoever was looked for longest ago is forgotten. */
const MODELS_MOST = 256;

/**
 * The contexts of the models of one engine. Ollama says one only while the model is loaded, so what it said last is kept; of one
 * that was never loaded it says what the model is to be loaded with, if the model has it written.
 */
export class KnownContexts {
  private readonly loaded = new Map<string, number>();
  private readonly shown = new Map<string, { contextTokens: number | undefined; looks: number }>();

  /** @param show what Ollama's `/api/show` says of a model; undefined: nothing */
  constructor(private readonly show: (model: string) => Promise<string | undefined>) {}

  /** Never rejects. Undefined: nobody knows. */
  async of(identity: EngineIdentity, model: string): Promise<number | undefined> {
    const said = contextOf(identity, model);
    if (identity.engine !== 'ollama') return said;
    if (said !== undefined) remember(this.loaded, model, said);
    return this.loaded.get(model) ?? this.shownOf(model);
  }

  private async shownOf(model: string): Promise<number | undefined> {
    const before = this.shown.get(model);
    if (before !== undefined && before.looks < LOOKS_UNTIL_ASKED_AGAIN) {
      before.looks++;
      return before.contextTokens;
    }
    try {
      const contextTokens = shownContext(await this.show(model));
      remember(this.shown, model, { contextTokens, looks: 1 });
      return contextTokens;
    } catch {
      // It answered a moment ago; the next look asks again.
      return before?.contextTokens;
    }
  }
}

function remember<T>(known: Map<string, T>, model: string, value: T): void {
  known.delete(model);
  known.set(model, value);
  for (const oldest of known.keys()) {
    if (known.size <= MODELS_MOST) return;
    known.delete(oldest);
  }
}
