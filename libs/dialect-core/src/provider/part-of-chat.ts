import type { LanguageModelV4FilePart, LanguageModelV4TextPart, SharedV4ProviderOptions } from '@ai-sdk/provider';
import { objectOf, stated, textOf, type Json } from '../json.js';

/** Protocols of providers that are spoken by their SDK. */
export type SdkProtocol = 'gemini' | 'bedrock' | 'anthropic';

/** How a request is told in one protocol. */
export interface Telling {
  readonly protocol: SdkProtocol;
  /** Is told of what the protocol cannot say, by its path in the request and in words. */
  cannotCarry(path: string, what: string): void;
  /** The mark of the prompt cache that something has, in the words of the SDK; undefined: none, or the protocol has none. */
  mark(marked: Json): SharedV4ProviderOptions | undefined;
}

/** Where a cache has marks, by protocol. Gemini's needs none, so they are left out: they change the cost, not the meaning. */
export function markOf(protocol: SdkProtocol, { cache_control }: Json): SharedV4ProviderOptions | undefined {
  const mark = objectOf(cache_control);
  if (!mark || protocol === 'gemini') return undefined;
  const ttl = mark['ttl'] === '1h' ? { ttl: '1h' as const } : {};
  return protocol === 'anthropic'
    ? { anthropic: { cacheControl: { type: 'ephemeral', ...ttl } } }
    : { bedrock: { cachePoint: { type: 'default', ...ttl } } };
}

/** Undefined: it has no place, which was told. */
export function partOf(
  part: Json,
  path: string,
  telling: Telling,
): LanguageModelV4TextPart | LanguageModelV4FilePart | undefined {
  const made = unmarkedPart(part, path, telling);
  const providerOptions = telling.mark(part);
  return made && providerOptions ? { ...made, providerOptions } : made;
}

function unmarkedPart(
  part: Json,
  path: string,
  telling: Telling,
): LanguageModelV4TextPart | LanguageModelV4FilePart | undefined {
  const { type, cache_control: _mark, ...rest } = part;
  const { [type as string]: value, ...more } = stated(rest);
  const unknown = Object.keys(more)[0];
  if (unknown !== undefined) telling.cannotCarry(`${path}.${unknown}`, `"${unknown}" of a part`);
  if (type === 'text') return { type, text: typeof value === 'string' ? value : '' };
  if (type === 'file') return fileOf(objectOf(value) ?? {}, path, telling);
  if (type === 'image_url') return imageOf(objectOf(value) ?? {}, path, telling);
  if (type === 'input_audio' && telling.protocol === 'gemini') {
    const { data, format } = objectOf(value) ?? {};
    if (textOf(data) && textOf(format))
      return { type: 'file', mediaType: `audio/${format as string}`, data: { type: 'data', data: data as string } };
  }
  telling.cannotCarry(path, `"${String(type)}"`);
  return undefined;
}

const DATA_URL = /^data:([\w.+-]+\/[\w.+-]+);base64,/;

function imageOf({ url, detail }: Json, path: string, telling: Telling): LanguageModelV4FilePart | undefined {
  if (detail !== undefined && detail !== null && detail !== 'auto')
    telling.cannotCarry(`${path}.image_url.detail`, 'the detail of an image');
  const address = textOf(url) ?? '';
  const mediaType = DATA_URL.exec(address.slice(0, 128))?.[1];
  if (mediaType !== undefined)
    return { type: 'file', mediaType, data: { type: 'data', data: address.slice(address.indexOf(',') + 1) } };
  // Nobody here fetches what a caller names.
  if (telling.protocol === 'anthropic' && URL.canParse(address) && /^https?:/.test(address))
    return { type: 'file', mediaType: 'image', data: { type: 'url', url: new URL(address) } };
  telling.cannotCarry(`${path}.image_url`, 'an image by its address');
  return undefined;
}

/** A PDF that is in the request; the ids of files are those of a provider's own. */
function fileOf({ file_data, filename }: Json, path: string, telling: Telling): LanguageModelV4FilePart | undefined {
  const url = textOf(file_data) ?? '';
  const mediaType = DATA_URL.exec(url.slice(0, 128))?.[1];
  if (mediaType !== 'application/pdf') {
    telling.cannotCarry(`${path}.file`, 'a file that is no PDF in the request');
    return undefined;
  }
  const data = { type: 'data' as const, data: url.slice(url.indexOf(',') + 1) };
  return { type: 'file', mediaType, data, ...(textOf(filename) ? { filename: filename as string } : {}) };
}
