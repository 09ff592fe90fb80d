import { invalid } from '../engine/refusal.js';
import { hashText, Random } from '../text/random.js';
import { asObject, modelName, optionalWhole } from './fields.js';
import { openAiError, openAiRateHeaders } from './openai-errors.js';
import type { Answer, CallRequest, Wire } from './wire.js';

const MAX_INPUTS = 2_048;
const MAX_DIMENSIONS = 4_096;

/** `POST /v1/embeddings`. Vectors are a function of the input text, of length 1, and mean nothing. */
export const openAiEmbeddings: Wire = {
  kind: 'embedding',
  idPrefix: 'embd-',
  requestIdHeader: 'x-request-id',
  reportsCacheWrites: false,
  parse: parseEmbeddings,
  writer: (answer) => ({ whole: () => writeEmbeddings(answer), opening: nothing, text: nothing, closing: nothing }),
  error: openAiError,
  rateHeaders: openAiRateHeaders,
};

function nothing(): string {
  return '';
}

function parseEmbeddings(value: unknown): CallRequest {
  const body = asObject(value);
  const format = body['encoding_format'] ?? 'float';
  if (format !== 'float' && format !== 'base64') {
    throw invalid("'encoding_format' must be 'float' or 'base64'.", 'encoding_format');
  }
  const { inputs, texts, rawTokens } = readInputs(body['input']);
  return {
    model: modelName(body),
    prompt: { texts, messages: 0, images: 0, rawTokens, lastUserText: '' },
    choices: 0,
    maxTokens: undefined,
    stream: false,
    includeUsage: false,
    embedding: { inputs, format, dimensions: optionalWhole(body['dimensions'], 'dimensions', 1, MAX_DIMENSIONS) },
  };
}

/** A text, texts, one input as token numbers, or several of those. */
function readInputs(input: unknown): { inputs: string[]; texts: string[]; rawTokens: number } {
  const list = typeof input === 'string' || isTokens(input) ? [input] : input;
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_INPUTS) {
    throw invalid(`'input' must be a text or an array of 1 to ${MAX_INPUTS} inputs.`, 'input');
  }
  const read = { inputs: [] as string[], texts: [] as string[], rawTokens: 0 };
  for (const item of list) {
    if (typeof item === 'string' && item !== '') {
      read.inputs.push(item);
      read.texts.push(item);
    } else if (isTokens(item)) {
      read.inputs.push(item.join(' '));
      read.rawTokens += item.length;
    } else {
      throw invalid("'input' must hold non-empty texts or arrays of token numbers.", 'input');
    }
  }
  return read;
}

function isTokens(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((token) => Number.isInteger(token) && token >= 0);
}

function writeEmbeddings({ request, usage, omitUsage, embeddingDimensions }: Answer): string {
  const { inputs, format, dimensions = embeddingDimensions } = request.embedding!;
  const promptTokens = usage.inputTokens + usage.cachedInputTokens + usage.cacheWriteTokens;
  return JSON.stringify({
    object: 'list',
    data: inputs.map((input, index) => {
      const vector = vectorOf(input, dimensions);
      const embedding = format === 'float' ? Array.from(vector) : Buffer.from(vector.buffer).toString('base64');
      return { object: 'embedding', index, embedding };
    }),
    model: request.model,
    ...(omitUsage ? {} : { usage: { prompt_tokens: promptTokens, total_tokens: promptTokens } }),
  });
}

function vectorOf(text: string, dimensions: number): Float32Array {
  const random = new Random(hashText(text));
  const raw = Float64Array.from({ length: dimensions }, () => random.normal());
  const norm = Math.hypot(...raw) || 1;
  return Float32Array.from(raw, (value) => value / norm);
}
