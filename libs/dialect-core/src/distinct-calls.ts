import { CallPlaces, MOST_CALLS, pieceOf } from './call-places.js';
import { objectOf, type Json } from './json.js';

/** Choices of one answer whose calls are looked at, OpenAI's most. */
const MOST_CHOICES = 128;

/**
 * The chunks of one stream with an index of its own for every call, as OpenAI has them: its clients put the pieces of a call
 * together by the index alone, so that of two calls with the same one they would make one that is neither.
 */
export class DistinctCalls {
  private readonly ofChoices = new Map<number, CallPlaces>();

  /** The very chunk where its indexes are right, which all of most servers' are. @throws TranslationError beyond MOST_CALLS. */
  of(chunk: Json): Json {
    const { choices } = chunk;
    if (!Array.isArray(choices)) return chunk;
    let changed: unknown[] | undefined;
    for (let i = 0; i < choices.length; i++) {
      const delta = objectOf(objectOf(choices[i])?.['delta']);
      const calls = delta?.['tool_calls'];
      if (!Array.isArray(calls)) continue;
      const numbered = this.numbered(choices[i] as Json, calls);
      if (numbered === calls) continue;
      changed ??= [...(choices as unknown[])];
      changed[i] = { ...choices[i], delta: { ...delta, tool_calls: numbered } };
    }
    return changed ? { ...chunk, choices: changed } : chunk;
  }

  private numbered({ index }: Json, calls: unknown[]): unknown[] {
    const places = this.placesOf(typeof index === 'number' ? index : 0);
    if (!places) return calls;
    const numbered = calls.map((one) => {
      const call = objectOf(one);
      const at = call?.['index'];
      // What has no index, or one beyond any use, is passed on as it came: nothing here can say it better.
      if (!call || !Number.isInteger(at) || (at as number) < 0 || (at as number) >= MOST_CALLS) return one;
      const place = places.of(pieceOf(call));
      return place === at ? one : { ...call, index: place };
    });
    return numbered.every((one, i) => one === calls[i]) ? calls : numbered;
  }

  private placesOf(choice: number): CallPlaces | undefined {
    let places = this.ofChoices.get(choice);
    if (!places && this.ofChoices.size < MOST_CHOICES) this.ofChoices.set(choice, (places = new CallPlaces()));
    return places;
  }
}
