import { objectOf, textOf, type Json } from './json.js';

/** What the reason for the end of a choice says of it. `broken`: there is no answer, whatever of it there is. */
export type ChoiceEnd = 'complete' | 'out-of-room' | 'filtered' | 'broken';

/** Reasons of the servers that speak OpenAI's chat completions; any other one is of an answer that is complete (`eos_token`, ...). */
const ENDS: ReadonlyMap<string, ChoiceEnd> = new Map([
  ['length', 'out-of-room'],
  ['model_length', 'out-of-room'], // Mistral: its context is full
  ['model_context_window_exceeded', 'out-of-room'], // Z.ai
  ['content_filter', 'filtered'],
  ['insufficient_system_resource', 'broken'], // DeepSeek
  ['error', 'broken'], // OpenRouter, Mistral
  ['abort', 'broken'], // vLLM, SGLang
]);

/** @param finishReason as a choice has it when all of its answer has come; none: it has not ended */
export function choiceEnd(finishReason: unknown): ChoiceEnd {
  const reason = textOf(finishReason);
  return reason === undefined ? 'broken' : (ENDS.get(reason) ?? 'complete');
}

/** In words. */
export function brokenOff(finishReason: unknown): string {
  const reason = textOf(finishReason)?.slice(0, 100);
  return `the answer broke off (${reason === undefined ? 'it has no finish_reason' : `finish_reason "${reason}"`})`;
}

/** Choices of one answer that are followed, OpenAI's most. */
const MOST_CHOICES = 128;

/** Follows the choices of one stream to their ends. */
export class ChoiceEnds {
  /** By index: why it ended; undefined: it has not. */
  private readonly reasons = new Map<number, string | undefined>();

  /** @returns whether one of these broke off: there is nothing more to tell of the answer, which is none */
  note(choices: readonly unknown[]): boolean {
    let broke = false;
    for (const one of choices) {
      const { index, finish_reason } = objectOf(one) ?? ({} as Json);
      const place = typeof index === 'number' ? index : 0;
      const reason = textOf(finish_reason);
      if (this.reasons.size < MOST_CHOICES || this.reasons.has(place))
        this.reasons.set(place, reason ?? this.reasons.get(place));
      broke ||= reason !== undefined && choiceEnd(reason) === 'broken';
    }
    return broke;
  }

  /** Of those that have begun, one that is no answer, in words; undefined: all are one. */
  get broken(): string | undefined {
    for (const reason of this.reasons.values()) if (choiceEnd(reason) === 'broken') return brokenOff(reason);
    return undefined;
  }

  /** Whether so many have begun, and ended with an answer. */
  complete(choices: number): boolean {
    return this.reasons.size >= choices && this.broken === undefined;
  }
}
