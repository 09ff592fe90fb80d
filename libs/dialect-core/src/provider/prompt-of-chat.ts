import { parseJson } from '@meritorder/kernel';
import type {
  LanguageModelV4Message,
  LanguageModelV4Prompt,
  LanguageModelV4TextPart,
  LanguageModelV4ToolResultPart,
  SharedV4ProviderOptions,
} from '@ai-sdk/provider';
import type { ChatRequest } from '@meritorder/contracts';
import { callIdsOfChat, otherCallIds } from '../call-ids.js';
import { listOf, objectOf, stated, textOf, type Json } from '../json.js';
import { PARSED } from '../parsed-fields.js';
import { REASONING_FIELDS } from '../reasoning-fields.js';
import { partOf, type Telling } from './part-of-chat.js';
import { sealedCall, sealedThoughtsOf } from './thoughts.js';

type ChatMessage = ChatRequest['messages'][number];

/** The conversation as the SDKs of providers take it. What has no place in it is told to `telling`. */
export function promptOfChat({ messages }: ChatRequest, telling: Telling): LanguageModelV4Prompt {
  const prompt: LanguageModelV4Prompt = [];
  const calls = new Calls(messages, telling);
  messages.forEach((message, i) => {
    const path = `messages.${i}`;
    reportUnknown(message, path, telling);
    switch (message.role) {
      case 'system':
      case 'developer':
        if (prompt.some(({ role }) => role !== 'system')) telling.cannotCarry(path, 'instructions after the beginning');
        return void prompt.push(...systemMessages(message, path, telling));
      case 'user':
        return void prompt.push(userMessage(message, path, telling));
      case 'assistant':
        return addAnswer(prompt, assistantMessage(message, path, calls, telling));
      case 'tool':
        return addResult(prompt, toolResult(message, path, calls, telling));
      case 'function':
        return telling.cannotCarry(path, 'a message of the role "function"');
    }
  });
  if (messages.at(-1)?.role === 'assistant')
    telling.cannotCarry(`messages.${messages.length - 1}`, 'an answer that the model is to continue');
  return prompt;
}

/** The calls of a conversation by their ids, which are those of whichever backend made them. */
class Calls {
  private readonly names = new Map<string, string>();
  private readonly otherIds: ReadonlyMap<string, string>;

  constructor(messages: readonly ChatMessage[], { protocol }: Telling) {
    // Gemini knows calls by their names.
    this.otherIds = protocol === 'gemini' ? new Map() : otherCallIds(callIdsOfChat(messages), protocol);
  }

  /** As the provider takes it. */
  told(id: string): string {
    return this.otherIds.get(id) ?? id;
  }

  made(id: string, name: string): void {
    this.names.set(id, name);
  }

  nameOf(id: string): string | undefined {
    return this.names.get(id);
  }
}

/** One for each part: each may have a mark of the prompt cache. */
function systemMessages(message: ChatMessage, path: string, telling: Telling): LanguageModelV4Message[] {
  return textsOf(message, path, telling).map(({ text, providerOptions }) => ({
    role: 'system',
    content: text,
    ...optionsOf(providerOptions),
  }));
}

function userMessage(message: ChatMessage, path: string, telling: Telling): LanguageModelV4Message {
  const parts = partsOf(message.content).map((part, i) => partOf(part, `${path}.content.${i}`, telling));
  return { role: 'user', content: parts.filter((part) => part !== undefined), ...optionsOf(telling.mark(message)) };
}

/** One that was all thought says nothing, and a message of nothing is refused. */
function addAnswer(prompt: LanguageModelV4Prompt, message: LanguageModelV4Message): void {
  if (message.content.length > 0) prompt.push(message);
}

function assistantMessage(message: ChatMessage, path: string, calls: Calls, telling: Telling): LanguageModelV4Message {
  const refusal = textOf(message['refusal']);
  const said = textsOf(message, path, telling).filter(({ text }) => text !== '');
  const parts = listOf(message['tool_calls']).map((value, i) => {
    const call = objectOf(value) ?? {};
    const made = objectOf(call['function']) ?? {};
    const id = textOf(call['id']) ?? '';
    const toolName = textOf(made['name']) ?? '';
    const input = inputOf(made['arguments']);
    const at = `${path}.tool_calls.${i}`;
    if ((call['type'] ?? 'function') !== 'function') telling.cannotCarry(at, `a call of "${String(call['type'])}"`);
    else if (id === '' || toolName === '') telling.cannotCarry(at, 'a call without an id or a name');
    else if (!input) telling.cannotCarry(at, 'arguments that are no JSON object');
    calls.made(id, toolName);
    const seal = sealedCall(call, telling.protocol);
    return { type: 'tool-call' as const, toolCallId: calls.told(id), toolName, input: input ?? {}, ...seal };
  });
  // A message that was all thought says nothing, and nothing goes on from it.
  const isSaid = said.length > 0 || refusal !== undefined || parts.length > 0;
  return {
    role: 'assistant',
    content: [
      ...(isSaid ? sealedThoughtsOf(message, telling.protocol) : []),
      ...said,
      ...(refusal === undefined ? [] : [{ type: 'text' as const, text: refusal }]),
      ...parts,
    ],
    ...optionsOf(telling.mark(message)),
  };
}

function toolResult(message: ChatMessage, path: string, calls: Calls, telling: Telling): LanguageModelV4ToolResultPart {
  const id = textOf(message['tool_call_id']) ?? '';
  const toolName = calls.nameOf(id);
  if (toolName === undefined) telling.cannotCarry(`${path}.tool_call_id`, 'a result of a call that was not made');
  const texts = textsOf(message, path, telling);
  return {
    type: 'tool-result',
    toolCallId: calls.told(id),
    toolName: toolName ?? '',
    output: { type: 'text', value: texts.map(({ text }) => text).join('') },
    ...optionsOf(telling.mark(message) ?? texts.findLast((text) => text.providerOptions)?.providerOptions),
  };
}

/** Results of calls that were made together belong together: some providers refuse them apart. */
function addResult(prompt: LanguageModelV4Prompt, result: LanguageModelV4ToolResultPart): void {
  const last = prompt.at(-1);
  if (last?.role === 'tool') last.content.push(result);
  else prompt.push({ role: 'tool', content: [result] });
}

function textsOf(message: ChatMessage, path: string, telling: Telling): LanguageModelV4TextPart[] {
  const texts: LanguageModelV4TextPart[] = [];
  partsOf(message.content).forEach((part, i) => {
    const at = `${path}.content.${i}`;
    const made =
      part['type'] === 'refusal'
        ? { type: 'text' as const, text: textOf(part['refusal']) ?? '' }
        : partOf(part, at, telling);
    if (made?.type === 'text') texts.push(made);
    else if (made) telling.cannotCarry(at, `"${String(part['type'])}" in a message of the role "${message.role}"`);
  });
  return texts;
}

function partsOf(content: ChatMessage['content']): Json[] {
  if (content === null || content === undefined) return [];
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

/** Undefined: no JSON object. */
function inputOf(args: unknown): Json | undefined {
  if (typeof args !== 'string') return objectOf(args);
  if (args.trim() === '') return {};
  try {
    return objectOf(parseJson(args));
  } catch {
    return undefined;
  }
}

function optionsOf(providerOptions: SharedV4ProviderOptions | undefined): {
  providerOptions?: SharedV4ProviderOptions;
} {
  return providerOptions ? { providerOptions } : {};
}

/**
 * With those that are left out: who speaks, which the SDKs have no place for, and what an answer has beside what it says. The
 * thoughts of the model that gave it are no part of another's prompt, but for those that are sealed for it, and callers send an
 * answer back as it came.
 */
const KNOWN_FIELDS: Readonly<Record<ChatMessage['role'], readonly string[]>> = {
  system: ['name'],
  developer: ['name'],
  user: ['name'],
  assistant: ['tool_calls', 'refusal', 'name', 'annotations', PARSED, ...REASONING_FIELDS],
  tool: ['tool_call_id', 'name'],
  function: ['name'],
};

function reportUnknown(message: ChatMessage, path: string, telling: Telling): void {
  for (const [field, value] of Object.entries(stated(message))) {
    const isEmpty = Array.isArray(value) && value.length === 0;
    if (field === 'role' || field === 'content' || field === 'cache_control' || isEmpty) continue;
    if (!KNOWN_FIELDS[message.role].includes(field)) telling.cannotCarry(`${path}.${field}`, `"${field}" of a message`);
  }
}
