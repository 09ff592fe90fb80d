import type { ChatRequest } from '@meritorder/contracts';

/** What reaches the model, as far as tokens are concerned. */
export interface InputParts {
  /** Contents of the messages, and what else they carry (names, calls of tools), in their order. */
  readonly texts: readonly string[];
  /** Tools and answer formats, as the JSON they are. */
  readonly toolTexts: readonly string[];
  readonly messages: number;
  readonly tools: number;
  /** Of these, the provider's own (search, execution), which bring a prompt that the request does not show. */
  readonly builtInTools: number;
  readonly images: number;
  /** Parts that are neither text nor image (audio, video, files): nobody can bound their tokens by the request alone. */
  readonly others: number;
}

/** Fields of a content part that carry text to the model. */
const TEXT_PARTS: ReadonlySet<string> = new Set(['text', 'refusal', 'input_text', 'output_text']);
/** Fields of a message that the template renders, that are counted as content, or that the model never sees. */
const NOT_TEXT_FIELDS: ReadonlySet<string> = new Set(['role', 'content', 'cache_control']);
const TOOL_FIELDS = ['tools', 'functions', 'tool_choice', 'response_format', 'prediction'] as const;

export function inputPartsOf(body: ChatRequest): InputParts {
  const texts: string[] = [];
  let images = 0;
  let others = 0;
  for (const message of body.messages) {
    if (typeof message.content === 'string') texts.push(message.content);
    for (const part of Array.isArray(message.content) ? message.content : []) {
      if (TEXT_PARTS.has(part.type)) texts.push(asText(part['text'] ?? part['refusal']));
      else if (part.type.includes('image')) images++;
      else others++;
    }
    for (const field in message) if (!NOT_TEXT_FIELDS.has(field)) texts.push(asText(message[field]));
  }
  const toolTexts = TOOL_FIELDS.map((field) => asText(body[field]));
  return {
    texts: texts.filter((text) => text !== ''),
    toolTexts: toolTexts.filter((text) => text !== ''),
    messages: body.messages.length,
    tools: (body.tools?.length ?? 0) + lengthOf(body['functions']),
    builtInTools: body.tools?.filter((tool) => tool.type !== 'function').length ?? 0,
    images,
    others,
  };
}

export function asText(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}
