import type {
  ChatRequest,
  ImageBlock,
  MessagesBlock,
  MessagesMessage,
  MessagesRequest,
  TextBlock,
  ToolResultBlock,
  ToolUseBlock,
} from '@meritorder/contracts';
import { stated, type Json } from './json.js';

export type ChatMessage = ChatRequest['messages'][number];
type Part = { type: string; [more: string]: unknown };

/** How a conversation is to be rendered. */
export interface Rendering {
  /** Keeps `cache_control` where the caller has put it: for an estimate of what a cache reads, never for the wire. */
  marks: boolean;
  /** Leaves a document as it came: an estimate knows by its own words what bounds it. */
  keepsDocuments: boolean;
  /** Is told of what a chat completion cannot say, by its path in the request and in words. */
  cannotCarry(path: string, what: string): void;
  /** Is told of each part that is not text, and where it comes from. */
  cameFrom(part: object, path: string): void;
}

/** OpenAI has no field for a tool that failed, so its result says it in words. */
const TOOL_FAILED = 'The tool failed: ';

/** The messages of a chat completion, the system's first. */
export function chatMessages({ system, messages }: MessagesRequest, rendering: Rendering): ChatMessage[] {
  const result: ChatMessage[] = [];
  if (system) {
    const parts = typeof system === 'string' ? system : partsOf(placed(system, 'system'), rendering);
    if (parts.length > 0) result.push({ role: 'system', content: contentOf(parts) });
  }
  messages.forEach((message, i) => {
    const path = `messages.${i}`;
    result.push(...OF_ROLE[message.role](message, path, rendering));
    reportUnknown(message, ['role', 'content'], path, rendering);
  });
  if (messages.at(-1)?.role === 'assistant')
    rendering.cannotCarry(`messages.${messages.length - 1}`, 'an answer that the model is to continue');
  return result;
}

/** What the system says later stays in its place: it is about what follows. */
function ofSystem({ content }: MessagesMessage, path: string, rendering: Rendering): ChatMessage[] {
  const parts = typeof content === 'string' ? content : partsOf(placed(content, `${path}.content`), rendering);
  return parts.length > 0 ? [{ role: 'system', content: contentOf(parts) }] : [];
}

/** Results of tools are messages of their own, right after the calls; what else the user says follows. */
function ofUser({ content }: MessagesMessage, path: string, rendering: Rendering): ChatMessage[] {
  if (typeof content === 'string') return [{ role: 'user', content }];
  const results: ChatMessage[] = [];
  const rest: PlacedBlock[] = [];
  for (const { block, at } of placed(content, `${path}.content`)) {
    if (block.type !== 'tool_result') {
      rest.push({ block, at });
      continue;
    }
    if (rest.length > 0) rendering.cannotCarry(at, 'a tool_result after other content');
    results.push(toolMessage(block as ToolResultBlock, at, rendering));
  }
  const parts = partsOf(rest, rendering);
  return parts.length > 0 ? [...results, { role: 'user', content: contentOf(parts) }] : results;
}

function toolMessage(block: ToolResultBlock, path: string, rendering: Rendering): ChatMessage {
  reportUnknown(block, ['type', 'tool_use_id', 'content', 'is_error', 'cache_control'], path, rendering);
  const blocks = typeof block.content === 'string' ? [{ type: 'text', text: block.content }] : (block.content ?? []);
  for (const { type } of blocks)
    if (type !== 'text') rendering.cannotCarry(`${path}.content`, `"${type}" in the result of a tool`);
  const parts = partsOf(placed(blocks, `${path}.content`), rendering);
  if (block.is_error) parts.unshift({ type: 'text', text: TOOL_FAILED });
  return {
    role: 'tool',
    tool_call_id: block.tool_use_id,
    content: parts.length === 0 ? '' : contentOf(parts),
    ...markOf(block, rendering),
  };
}

function ofAssistant({ content }: MessagesMessage, path: string, rendering: Rendering): ChatMessage[] {
  if (typeof content === 'string') return [{ role: 'assistant', content }];
  const said: PlacedBlock[] = [];
  const calls: Json[] = [];
  let mark: Json = {};
  for (const { block, at } of placed(content, `${path}.content`)) {
    if (block.type !== 'tool_use') {
      if (calls.length > 0) rendering.cannotCarry(at, `"${block.type}" after a tool_use`);
      said.push({ block, at });
      continue;
    }
    const call = block as ToolUseBlock;
    reportUnknown(call, ['type', 'id', 'name', 'input', 'cache_control'], at, rendering);
    mark = { ...mark, ...markOf(call, rendering) };
    calls.push({
      id: call.id,
      type: 'function',
      function: { name: call.name, arguments: JSON.stringify(call.input) },
    });
  }
  const parts = partsOf(said, rendering);
  return [
    {
      role: 'assistant',
      content: parts.length === 0 ? (calls.length === 0 ? '' : null) : contentOf(parts),
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
      ...mark,
    },
  ];
}

const OF_ROLE = { user: ofUser, assistant: ofAssistant, system: ofSystem } as const;

/** A block with its place in the request: blocks that become messages of their own are taken from between others. */
interface PlacedBlock {
  block: MessagesBlock;
  at: string;
}

function placed(blocks: readonly MessagesBlock[], path: string): PlacedBlock[] {
  return blocks.map((block, i) => ({ block, at: `${path}.${i}` }));
}

/** Text, images and PDFs; whatever else stays what it is, so that an estimate sees it, and is reported. */
function partsOf(blocks: readonly PlacedBlock[], rendering: Rendering): Part[] {
  return blocks.map(({ block, at }) => {
    if (block.type === 'text') return textPart(block as TextBlock, at, rendering);
    if (block.type === 'image') return imagePart(block as ImageBlock, at, rendering);
    const file = block.type === 'document' ? filePart(block, at, rendering) : undefined;
    if (file) return file;
    rendering.cannotCarry(at, `"${block.type}"`);
    rendering.cameFrom(block, at);
    if (block.type !== 'thinking' && block.type !== 'redacted_thinking') return block;
    // What a model thought earlier is text to it, however it is wrapped; it is never longer than this.
    const { type: _type, cache_control: _mark, ...text } = block;
    return { type: 'text', text: JSON.stringify(text) };
  });
}

function textPart(block: TextBlock, path: string, rendering: Rendering): Part {
  const { type, text, cache_control: _mark, ...rest } = block;
  const more = Object.entries(stated(rest)).filter(([, value]) => !(Array.isArray(value) && value.length === 0));
  for (const [field] of more) rendering.cannotCarry(`${path}.${field}`, `"${field}" of a text`);
  return { type, text, ...Object.fromEntries(more), ...markOf(block, rendering) };
}

function imagePart(block: ImageBlock, path: string, rendering: Rendering): Part {
  reportUnknown(block, ['type', 'source', 'cache_control'], path, rendering);
  const { source } = block;
  if (source.type === 'file') rendering.cannotCarry(`${path}.source`, "a file of the provider's");
  const url =
    source.type === 'base64'
      ? `data:${source.media_type};base64,${source.data}`
      : source.type === 'url'
        ? source.url
        : source.file_id;
  const part = { type: 'image_url', image_url: { url }, ...markOf(block, rendering) };
  rendering.cameFrom(part, path);
  return part;
}

/** Undefined: a document of another kind than a PDF that came with the request, which a chat completion has no place for. */
function filePart(block: MessagesBlock, path: string, rendering: Rendering): Part | undefined {
  const { type, media_type, data } = (block['source'] ?? {}) as Json;
  if (type !== 'base64' || media_type !== 'application/pdf' || typeof data !== 'string') return undefined;
  reportUnknown(block, ['type', 'source', 'title', 'citations', 'cache_control'], path, rendering);
  const { enabled } = (block['citations'] ?? {}) as Json;
  if (enabled) rendering.cannotCarry(`${path}.citations`, 'citations');
  const filename = typeof block['title'] === 'string' && block['title'] !== '' ? block['title'] : 'document.pdf';
  const file = { filename, file_data: `data:${media_type};base64,${data}` };
  const part = rendering.keepsDocuments ? block : { type: 'file', file, ...markOf(block, rendering) };
  rendering.cameFrom(part, path);
  return part;
}

/** One plain text is content as it is: not every server reads a list there. */
function contentOf(parts: string | Part[]): string | Part[] {
  if (typeof parts === 'string') return parts;
  const [only, ...others] = parts;
  const isPlain = only?.type === 'text' && others.length === 0 && Object.keys(only).length === 2;
  return isPlain ? (only['text'] as string) : parts;
}

function markOf(block: MessagesBlock, { marks }: Rendering): Json {
  return marks && block.cache_control ? { cache_control: block.cache_control } : {};
}

function reportUnknown(value: object, known: readonly string[], path: string, { cannotCarry }: Rendering): void {
  for (const field of Object.keys(stated(value as Json)))
    if (!known.includes(field)) cannotCarry(`${path}.${field}`, `"${field}"`);
}
