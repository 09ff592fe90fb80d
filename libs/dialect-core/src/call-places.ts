import { objectOf, textOf, type Json } from './json.js';
import { TranslationError } from './translation-error.js';

/** Calls of one answer, at most. */
export const MOST_CALLS = 1_024;

/** What a piece of a call says about which call it is of. */
export interface PieceOf {
  /** As the server counts. Absent: of a new call where it has a name, else of the last one. */
  index: number | undefined;
  /** Absent or empty: it does not say. */
  id: string | undefined;
  /** Empty: it has none. */
  name: string;
}

/**
 * Which call of an answer each piece is of. The index alone does not tell: Ollama counts every call as 0, and some proxies do the
 * same (ollama/ollama#15457). So a piece with a name and with another id than the call of its index begins a call, at the next
 * free place; pieces of that index that say no id are of that call from then on. A piece without a name begins none, whatever its
 * id: there are servers that give the rest of a call another id than its beginning (poolsideai/pool#9).
 */
export class CallPlaces {
  /** By the server's index: the place of the call that came there last. */
  private readonly places = new Map<number, number>();
  /** By place; undefined: the call has not said its id. */
  private readonly ids = new Map<number, string | undefined>();
  private last = -1;

  /** @throws TranslationError beyond MOST_CALLS. */
  of(piece: PieceOf): number {
    const id = textOf(piece.id);
    const place =
      piece.index === undefined ? this.unnumbered(id, piece.name) : this.numbered(piece.index, id, piece.name);
    if (!Number.isInteger(place) || place < 0 || place >= MOST_CALLS)
      throw new TranslationError(`the answer has a tool call ${place}; at most ${MOST_CALLS} are read`);
    if (piece.index !== undefined) this.places.set(piece.index, place);
    this.ids.set(place, this.ids.get(place) ?? id);
    this.last = Math.max(this.last, place);
    return place;
  }

  private unnumbered(id: string | undefined, name: string): number {
    const isNew = name !== '' && (id === undefined || id !== this.ids.get(this.last));
    return isNew ? this.last + 1 : Math.max(0, this.last);
  }

  private numbered(index: number, id: string | undefined, name: string): number {
    const place = this.places.get(index);
    if (place === undefined) return this.ids.has(index) ? this.last + 1 : index;
    const known = this.ids.get(place);
    if (name === '' || id === undefined || known === undefined || id === known) return place;
    // Back to an earlier call: servers that repeat id and name in every piece may tell several in turn.
    for (const [earlier, its] of this.ids) if (its === id) return earlier;
    return this.last + 1;
  }
}

/** What one of `tool_calls` of a chunk says about which call it is of. */
export function pieceOf(call: Json): PieceOf {
  const { index, id } = call;
  return {
    index: typeof index === 'number' ? index : undefined,
    id: textOf(id),
    name: textOf(objectOf(call['function'])?.['name']) ?? '',
  };
}
