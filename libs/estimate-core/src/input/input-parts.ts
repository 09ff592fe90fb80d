import type { ChatRequest, EmbeddingsRequest } from '@meritorder/contracts';
import { isCited, textBlock, type NotText } from './text-blocks.js';

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
  /** Parts that nobody can bound by the request alone; what one of a kind can cost, a backend's configuration may say. */
  readonly images: number;
  /** PDFs and other files. */
  readonly files: number;
  readonly audios: number;
  /** Parts that are none of these: video, what nobody knows. */
  readonly others: number;
  /** In words, the first of each without a bound: its place in the request, and what to do about it. */
  readonly firstImage?: string | undefined;
  readonly firstFile?: string | undefined;
  readonly firstAudio?: string | undefined;
  readonly firstOther?: string | undefined;
  /** Pieces of documents that the provider marks so that the answer can cite them, at most; absent: none are to be cited. */
  readonly citedPieces?: number;
  /**
   * UTF-8 bytes of the fields of the request, as JSON, that nobody here knows. They pass through to the backend, which may give
   * them to the model as text. Also of tools, once more for every reference to one.
   */
  readonly unknownBytes: number;
  /** Input that came as the numbers of its tokens: nothing is to be counted there. */
  readonly givenTokens?: number;
  /** Of embeddings: the share of the input that the largest one has, by its bytes or its tokens. Absent: all is one. */
  readonly largestShare?: number;
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
/** Of a file or audio, what is the thing itself; its title and context, and its name, are text. */
const NOT_TEXT_IN_FILE: ReadonlySet<string> = new Set([...NOT_TEXT_IN_PART, 'source', 'file', 'input_audio']);
const NOT_TEXT_OF_FILE: ReadonlySet<string> = new Set(['file_data', 'file_id', 'file_url']);
const NOT_TEXT_IN_INPUT_FILE: ReadonlySet<string> = new Set([...NOT_TEXT_IN_FILE, ...NOT_TEXT_OF_FILE]);
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
  const count = { image: 0, file: 0, audio: 0, other: 0 };
  const first: { -readonly [kind in keyof typeof count]?: string } = {};
  let citedPieces = 0;
  let referredBytes = 0;
  const bytesOfTool = bytesByTool(body);
  body.messages.forEach((message, i) => {
    if (typeof message.content === 'string') texts.push(message.content);
    for (const [j, part] of Array.isArray(message.content) ? message.content.entries() : []) {
      const place = (): string => (placeOf ? (placeOf(part) ?? 'a part of the input') : `messages.${i}.content.${j}`);
      if (TEXT_PARTS.has(part.type)) texts.push(...textsOf(part, NOT_TEXT_IN_PART));
      else if (part.type.includes('image')) {
        texts.push(...textsOf(part, NOT_TEXT_IN_IMAGE));
        count.image++;
        first.image ??= `${place()} is an image: without maxTokensPerImage its tokens have no bound`;
      } else {
        const block = textBlock(part);
        if ('text' in block) {
          texts.push(block.text);
          citedPieces += block.citedPieces;
          for (const name of block.toolNames ?? []) referredBytes += bytesOfTool(name);
        } else {
          const kind = block.kind ?? 'other';
          count[kind]++;
          first[kind] ??= `${place()} is ${inWords(block)}`;
          if (kind === 'other') continue;
          texts.push(...textsInFile(part));
          citedPieces += isCited(part) ? 1 : 0;
        }
      }
    }
    texts.push(...textsOf(message, NOT_TEXT_FIELDS));
    // What a model said aloud earlier, by its id.
    if (message['audio']) {
      count.audio++;
      first.audio ??= `messages.${i}.audio is ${inWords({ what: 'audio', remedy: 'leave it out', kind: 'audio' })}`;
    }
  });
  const toolTexts = TOOL_FIELDS.map((field) => asText(body[field]));
  return {
    texts: texts.filter((text) => text !== ''),
    toolTexts: toolTexts.filter((text) => text !== ''),
    messages: body.messages.length,
    tools: (body.tools?.length ?? 0) + lengthOf(body['functions']),
    builtInTools: body.tools?.filter((tool) => tool.type !== 'function').length ?? 0,
    images: count.image,
    files: count.file,
    audios: count.audio,
    others: count.other,
    firstImage: first.image,
    firstFile: first.file,
    firstAudio: first.audio,
    firstOther: first.other,
    citedPieces,
    unknownBytes: bytesOfUnknown(body, KNOWN_FIELDS) + referredBytes,
  };
}

/** Made when the first is asked for: most requests refer to none. */
function bytesByTool({ tools }: ChatRequest): (name: string) => number {
  let byName: Map<unknown, number> | undefined;
  return (name) => {
    if (byName === undefined) {
      byName = new Map();
      for (const tool of tools ?? []) {
        const named = (tool['function'] as { name?: unknown } | null | undefined)?.name ?? tool['name'];
        byName.set(named, (byName.get(named) ?? 0) + Buffer.byteLength(JSON.stringify(tool)));
      }
    }
    return byName.get(name) ?? 0;
  };
}

const SETTINGS = { file: 'maxTokensPerFile', audio: 'maxTokensPerAudio' } as const;

function inWords({ what, remedy, kind }: NotText): string {
  const unbounded = kind ? `without ${SETTINGS[kind]} its tokens have no bound` : 'nothing bounds its tokens';
  return `${what}: ${unbounded}; ${remedy}`;
}

function textsInFile(part: Readonly<Record<string, unknown>>): string[] {
  const { file } = part;
  const named = typeof file === 'object' && file !== null ? textsOf({ ...file }, NOT_TEXT_OF_FILE) : [];
  return [...textsOf(part, part['type'] === 'input_file' ? NOT_TEXT_IN_INPUT_FILE : NOT_TEXT_IN_FILE), ...named];
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
    files: 0,
    audios: 0,
    others: 0,
    unknownBytes: bytesOfUnknown(body, KNOWN_EMBEDDINGS_FIELDS),
    givenTokens: lists.reduce((sum, list) => sum + list.length, numbers),
    largestShare: largestShareOf(numbers > 0 ? [numbers] : inputs.map(sizeOf)),
  };
}

function sizeOf(input: string | number | readonly number[]): number {
  return typeof input === 'string' ? Buffer.byteLength(input, 'utf8') : typeof input === 'number' ? 1 : input.length;
}

function largestShareOf(sizes: readonly number[]): number {
  let [all, largest] = [0, 0];
  for (const size of sizes) {
    all += size;
    if (size > largest) largest = size;
  }
  return all === 0 ? 1 : largest / all;
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
