import type { ChatRequest, EmbeddingsRequest } from '@meritorder/contracts';
import { textBlock } from './text-blocks.js';

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
  /** Parts that are neither text nor image (audio, video, PDFs, files): nobody can bound their tokens by the request alone. */
  readonly others: number;
  /** In words, the first image, and the first of the others with what to do about it: both with their place in the request. */
  readonly firstImage?: string | undefined;
  readonly firstOther?: string | undefined;
  /** Pieces of documents that the provider marks so that the answer can cite them, at most; absent: none are to be cited. */
  readonly citedPieces?: number;
  /**
   * UTF-8 bytes of the fields of the request, as JSON, that nobody here knows. They pass through to the backend, which may give
   * them to the model as text.
   */
  readonly unknownBytes: number;
  /** Input that came as the numbers of its tokens: nothing is to be counted there. */
  readonly givenTokens?: number;
}

/** Parts of a message whose fields are text to the model. */
const TEXT_PARTS: ReadonlySet<string> = new Set(['text', 'refusal', 'input_text', 'output_text']);
/** Fields of a message that the template renders, that are counted as content, or that the model never sees. */
const NOT_TEXT_FIELDS: ReadonlySet<string> = new Set(['role', 'content', 'cache_control']);
/** The same of a part of it; of an image, what is the image itself, which has a count of its own. */
const NOT_TEXT_IN_PART: ReadonlySet<string> = new Set(['type', 'cache_control']);
const NOT_TEXT_IN_IMAGE: ReadonlySet<string> = new Set([
  ...NOT_TEXT_IN_PART,
  'image_url',
  'input_image',
  'image',
  'data',
  'source',
  'file_id',
  'detail',
]);
const TOOL_FIELDS = ['tools', 'functions', 'tool_choice', 'response_format', 'prediction'] as const;
/** Fields that are counted as text, or that no backend shows to the model. */
const KNOWN_FIELDS: ReadonlySet<string> = new Set([
  ...TOOL_FIELDS,
  'model',
  'messages',
  'stream',
  'stream_options',
  'max_tokens',
  'max_completion_tokens',
  'n',
  'metadata',
  'meritorder',
  'temperature',
  'top_p',
  'top_k',
  'min_p',
  'frequency_penalty',
  'presence_penalty',
  'repetition_penalty',
  'logit_bias',
  'logprobs',
  'top_logprobs',
  'seed',
  'stop',
  'user',
  'safety_identifier',
  'service_tier',
  'store',
  'modalities',
  'audio',
  'parallel_tool_calls',
  'reasoning_effort',
  'verbosity',
  'prompt_cache_key',
  'prompt_cache_retention',
]);

/** Where a part is in the request as the caller sent it; undefined: it is not known. */
export type PlaceOfPart = (part: object) => string | undefined;

/** @param placeOf of a request of another kind; absent: the places are those of `body`. */
export function inputPartsOf(body: ChatRequest, placeOf?: PlaceOfPart): InputParts {
  const texts: string[] = [];
  let images = 0;
  let others = 0;
  let citedPieces = 0;
  let firstImage: string | undefined;
  let firstOther: string | undefined;
  body.messages.forEach((message, i) => {
    if (typeof message.content === 'string') texts.push(message.content);
    for (const [j, part] of Array.isArray(message.content) ? message.content.entries() : []) {
      const place = (): string => (placeOf ? (placeOf(part) ?? 'a part of the input') : `messages.${i}.content.${j}`);
      if (TEXT_PARTS.has(part.type)) texts.push(...textsOf(part, NOT_TEXT_IN_PART));
      else if (part.type.includes('image')) {
        texts.push(...textsOf(part, NOT_TEXT_IN_IMAGE));
        images++;
        firstImage ??= `${place()} is an image`;
      } else {
        const block = textBlock(part);
        if ('text' in block) {
          texts.push(block.text);
          citedPieces += block.citedPieces;
        } else {
          others++;
          firstOther ??= `${place()} is ${block.what}: nothing bounds its tokens; ${block.remedy}`;
        }
      }
    }
    texts.push(...textsOf(message, NOT_TEXT_FIELDS));
  });
  const toolTexts = TOOL_FIELDS.map((field) => asText(body[field]));
  return {
    texts: texts.filter((text) => text !== ''),
    toolTexts: toolTexts.filter((text) => text !== ''),
    messages: body.messages.length,
    tools: (body.tools?.length ?? 0) + lengthOf(body['functions']),
    builtInTools: body.tools?.filter((tool) => tool.type !== 'function').length ?? 0,
    images,
    others,
    firstImage,
    firstOther,
    citedPieces,
    unknownBytes: bytesOfUnknown(body, KNOWN_FIELDS),
  };
}

/** Fields of an embeddings request that are counted, or that no backend shows to the model. */
const KNOWN_EMBEDDINGS_FIELDS: ReadonlySet<string> = new Set([
  'model',
  'input',
  'dimensions',
  'encoding_format',
  'user',
  'metadata',
  'meritorder',
]);

/** Each input counts as a message: a model may put its own marks around each. */
export function embeddingsPartsOf(body: EmbeddingsRequest): InputParts {
  const { input } = body;
  const inputs: readonly (string | number | readonly number[])[] = Array.isArray(input) ? input : [input];
  const texts = inputs.filter((one) => typeof one === 'string');
  // Plain numbers are one input.
  const lists = inputs.filter((one) => typeof one === 'object');
  const numbers = inputs.filter((one) => typeof one === 'number').length;
  return {
    texts,
    toolTexts: [],
    messages: texts.length + lists.length + (numbers > 0 ? 1 : 0),
    tools: 0,
    builtInTools: 0,
    images: 0,
    others: 0,
    unknownBytes: bytesOfUnknown(body, KNOWN_EMBEDDINGS_FIELDS),
    givenTokens: lists.reduce((sum, list) => sum + list.length, numbers),
  };
}

function bytesOfUnknown(body: Readonly<Record<string, unknown>>, known: ReadonlySet<string>): number {
  return Object.keys(body)
    .filter((field) => !known.has(field))
    .reduce((sum, field) => sum + Buffer.byteLength(JSON.stringify({ [field]: body[field] })), 0);
}

function textsOf(fields: Readonly<Record<string, unknown>>, not: ReadonlySet<string>): string[] {
  return Object.keys(fields)
    .filter((field) => !not.has(field))
    .map((field) => asText(fields[field]));
}

export function asText(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}
