import { parseJson } from '@meritorder/kernel';
import type { Usage } from '@meritorder/contracts';
import { ALL, parse as parsePartial } from 'partial-json';
import { brokenOff, choiceEnd } from './choice-ends.js';
import { isNullText } from './held-null.js';
import { listOf, objectOf, textOf, type Json } from './json.js';
import { TranslationError } from './translation-error.js';

/** Anthropic's reason for the end of an answer. */
export type StopReason = 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use' | 'refusal';

/** What the request says that an answer is read by. */
export interface AskedFor {
  stopSequences: readonly string[];
}

/**
 * OpenAI's chat completion as Anthropic's message: its first choice, for Anthropic has one.
 * @param usage as the books have it; undefined: the backend said nothing, and nobody counted.
 * @throws TranslationError where it broke off, or a tool was called with arguments that are no JSON object.
 */
export function messageOfChat(answer: Json, asked: AskedFor, usage: Usage | undefined): Record<string, unknown> {
  const choice = objectOf(listOf(answer['choices'])[0]);
  const message = objectOf(choice?.['message']);
  if (!choice || !message) throw new TranslationError('the answer has no message');
  const text = spokenText(message);
  const cut = choiceEnd(choice['finish_reason']) === 'out-of-room';
  const calls = listOf(message['tool_calls']).map((call, i) =>
    toolUse(objectOf(call) ?? {}, i, textOf(answer['id']), cut),
  );
  return {
    id: answer['id'],
    type: 'message',
    role: 'assistant',
    model: answer['model'],
    content: [...(text === '' ? [] : [{ type: 'text', text }]), ...calls],
    ...stopOf(choice, asked, { calls: calls.length > 0, refused: textOf(message['refusal']) !== undefined }),
    usage: usageBlock(usage),
  };
}

/** What a message or a delta says to the reader: its text, or why it refuses. Reasoning was not asked for. */
export function spokenText(message: Json): string {
  const { content, refusal } = message;
  const text = Array.isArray(content)
    ? content.map((part) => textOf(objectOf(part)?.['text']) ?? '').join('')
    : (textOf(content) ?? '');
  return text + (textOf(refusal) ?? '');
}

/** Some servers give calls no id; the answers to them need one. */
export function callId(given: unknown, answerId: string | undefined, index: number): string {
  return textOf(given) ?? `toolu_${answerId ?? 'answer'}_${index}`;
}

function toolUse(call: Json, index: number, answerId: string | undefined, cut: boolean): Json {
  const made = objectOf(call['function']) ?? {};
  const name = textOf(made['name']);
  if (name === undefined) throw new TranslationError('a tool is called that has no name');
  return {
    type: 'tool_use',
    id: callId(call['id'], answerId, index),
    name,
    input: inputOf(made['arguments'], name, cut),
  };
}

/** None, and `null`, are `{}`. @param cut the answer ended at its limit, so that the arguments may lack their end: what there is of them counts. */
function inputOf(args: unknown, name: string, cut: boolean): Json {
  const text = textOf(args)?.trim() ?? '';
  if (text === '' || isNullText(text)) return objectOf(args) ?? {};
  let value: unknown;
  try {
    value = cut ? parsePartial(text, ALL) : parseJson(text);
  } catch {
    value = undefined;
  }
  const input = objectOf(value);
  if (!input) throw new TranslationError(`the tool ${name} is called with arguments that are no JSON object`);
  return input;
}

/**
 * Why it ended. A server that calls tools may say `stop` all the same; which stop sequence was met is told by those alone that
 * have a field for it (vLLM's `stop_reason`), else it reads as the end of the turn.
 * @throws TranslationError where the answer broke off: Anthropic has no such end.
 */
export function stopOf(
  choice: Json,
  { stopSequences }: AskedFor,
  seen: { calls: boolean; refused: boolean },
): { stop_reason: StopReason; stop_sequence: string | null } {
  const end = choiceEnd(choice['finish_reason']);
  if (end === 'broken') throw new TranslationError(brokenOff(choice['finish_reason']));
  if (end === 'filtered' || seen.refused) return { stop_reason: 'refusal', stop_sequence: null };
  if (end === 'out-of-room') return { stop_reason: 'max_tokens', stop_sequence: null };
  if (seen.calls) return { stop_reason: 'tool_use', stop_sequence: null };
  const met = stopSequences.find((sequence) => sequence === choice['stop_reason']);
  return met === undefined
    ? { stop_reason: 'end_turn', stop_sequence: null }
    : { stop_reason: 'stop_sequence', stop_sequence: met };
}

/** Anthropic's counts are disjoint, as ours are. Tokens of sound and pictures are input and output there. */
export function usageBlock(usage: Usage | undefined): Json {
  const units = usage?.units ?? {};
  const sum = (...counts: (number | undefined)[]): number => counts.reduce<number>((a, b) => a + (b ?? 0), 0);
  return {
    input_tokens: sum(usage?.inputTokens, units.inputAudioTokens, units.inputImageTokens, units.inputVideoTokens),
    cache_creation_input_tokens: sum(usage?.cacheWrite5mTokens, usage?.cacheWrite1hTokens),
    cache_read_input_tokens: sum(
      usage?.cacheReadTokens,
      units.cacheReadAudioTokens,
      units.cacheReadImageTokens,
      units.cacheReadVideoTokens,
    ),
    output_tokens: sum(usage?.outputTokens, units.outputAudioTokens, units.outputImageTokens, units.outputVideoTokens),
  };
}
