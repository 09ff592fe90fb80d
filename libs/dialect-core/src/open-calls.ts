import { CallPlaces, type PieceOf } from './call-places.js';
import { HeldNull } from './held-null.js';
import { TranslationError } from './translation-error.js';

/** Follows the text of a JSON object, character by character, to its last brace. */
class ObjectText {
  private depth = 0;
  private inString = false;
  private escaped = false;
  ended = false;

  /** @throws TranslationError where the text is none of an object, or goes on after its end. */
  add(text: string, tool: string): void {
    for (const character of text) {
      if (this.depth === 0) {
        if (/\s/.test(character)) continue;
        if (this.ended || character !== '{')
          throw new TranslationError(`the tool ${tool} is called with arguments that are no JSON object`);
      }
      this.follow(character);
      this.ended = this.depth === 0;
    }
  }

  private follow(character: string): void {
    if (this.escaped) this.escaped = false;
    else if (this.inString) {
      if (character === '\\') this.escaped = true;
      else if (character === '"') this.inString = false;
    } else if (character === '"') this.inString = true;
    else if (character === '{' || character === '[') this.depth++;
    else if (character === '}' || character === ']') this.depth--;
  }
}

/** A tool call whose parts come in pieces. */
export class OpenCall {
  id: string | undefined;
  name = '';
  /** Whether its block was begun. */
  told = false;
  private untold = '';
  private readonly text = new ObjectText();
  private readonly held = new HeldNull();

  add(piece: CallPiece): void {
    this.id ??= piece.id;
    if (this.name === '') this.name = piece.name;
    const args = this.held.add(piece.args);
    this.untold += args;
    this.text.add(args, this.name);
  }

  /** Its arguments are complete. Where they are `null`, none are told, which is read as `{}`. */
  get ended(): boolean {
    return this.text.ended || this.held.isNull;
  }

  /** What of its arguments no event has carried yet; empties it. */
  take(): string {
    const { untold } = this;
    this.untold = '';
    return untold;
  }
}

export interface CallPiece extends PieceOf {
  args: string;
}

/** The calls of one answer, by their place in it. */
export class OpenCalls {
  private readonly places = new CallPlaces();
  private readonly calls = new Map<number, OpenCall>();

  /** @throws TranslationError beyond MOST_CALLS. */
  add(piece: CallPiece): void {
    const place = this.places.of(piece);
    let call = this.calls.get(place);
    if (!call) this.calls.set(place, (call = new OpenCall()));
    call.add(piece);
  }

  /** The first whose block was not begun, with its place. */
  next(): [number, OpenCall] | undefined {
    const waiting = [...this.calls].filter(([, call]) => !call.told);
    return waiting.reduce<[number, OpenCall] | undefined>((a, b) => (a && a[0] < b[0] ? a : b), undefined);
  }

  get any(): boolean {
    return this.calls.size > 0;
  }
}
