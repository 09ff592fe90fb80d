import { sha256Hex } from '@meritorder/kernel';
import { listOf, objectOf, textOf, type Json } from './json.js';

/** The ids of calls that a provider takes. Whichever backend called a tool, its id comes back with the conversation. */
export type CallIdRule = 'mistral' | 'openai' | 'anthropic' | 'bedrock';

/** @see the errors of each: "must be a-z, A-Z, 0-9, with a length of 9", "maximum length 40", "should match pattern" */
const FITS: Readonly<Record<CallIdRule, RegExp>> = {
  mistral: /^[a-zA-Z0-9]{9}$/,
  openai: /^.{1,40}$/s,
  anthropic: /^[a-zA-Z0-9_-]+$/,
  bedrock: /^[a-zA-Z0-9_-]{1,64}$/,
};
/** Of an id in place of another: Mistral's length, which all take. */
const DIGITS = 9;

/**
 * What is said in place of ids that do not fit, the same in every turn and of whichever backend; an id that fits stays what it is.
 * No two of a conversation become one.
 */
export function otherCallIds(ids: Iterable<string>, rule: CallIdRule): ReadonlyMap<string, string> {
  const taken = new Set<string>();
  const others = new Map<string, string>();
  for (const id of ids) {
    if (FITS[rule].test(id)) taken.add(id);
    else others.set(id, '');
  }
  for (const id of others.keys()) {
    let other = sha256Hex(id, DIGITS);
    for (let again = 1; taken.has(other); again++) other = sha256Hex(`${again} ${id}`, DIGITS);
    taken.add(other);
    others.set(id, other);
  }
  return others;
}

/** Those of the messages of a chat completion: of calls, and of their results. */
export function* callIdsOfChat(messages: unknown): Generator<string, void> {
  for (const message of listOf(messages)) {
    const { tool_calls, tool_call_id } = objectOf(message) ?? {};
    for (const id of [tool_call_id, ...listOf(tool_calls).map((call) => objectOf(call)?.['id'])])
      if (textOf(id) !== undefined) yield id as string;
  }
}

/** Anthropic's messages with ids that it takes; the very list where all of them are. */
export function withCallIdsOfAnthropic(messages: unknown): unknown {
  const ids = listOf(messages).flatMap((message) => listOf(objectOf(message)?.['content']).flatMap(idOfBlock));
  const others = otherCallIds(ids, 'anthropic');
  if (others.size === 0) return messages;
  const renamed = (block: unknown): unknown => {
    const [id] = idOfBlock(block);
    const other = id === undefined ? undefined : others.get(id);
    return other === undefined ? block : { ...(block as Json), [FIELD_OF[(block as Block).type]!]: other };
  };
  return listOf(messages).map((message) => {
    const content = objectOf(message)?.['content'];
    return Array.isArray(content) ? { ...(message as Json), content: content.map(renamed) } : message;
  });
}

interface Block {
  type: string;
}

/** Of blocks that a tool of the caller's makes: others are the provider's own. */
const FIELD_OF: Readonly<Record<string, string | undefined>> = { tool_use: 'id', tool_result: 'tool_use_id' };

function idOfBlock(block: unknown): string[] {
  const fields = objectOf(block);
  const field = FIELD_OF[textOf(fields?.['type']) ?? ''];
  const id = field === undefined ? undefined : textOf(fields?.[field]);
  return id === undefined ? [] : [id];
}
