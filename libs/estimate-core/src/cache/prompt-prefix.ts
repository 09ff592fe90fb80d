import type { ChatRequest } from '@meritorder/contracts';
import { asText } from '../input/input-parts.js';

/** A place in a prompt, named by a hash of everything before it: equal hashes, equal prefixes. */
export interface PrefixPlace {
  /** 32 bits, not cryptographic: of 2,048 remembered places one is taken for another in one of two million prompts. */
  readonly hash: number;
  /** UTF-16 units before it. */
  readonly endUnits: number;
}

/** What providers' prompt caches may know of a request. */
export interface PromptPrefix {
  /** UTF-16 units in all. */
  readonly units: number;
  /** Ends of blocks, for caches that work by blocks. */
  readonly blocks: readonly PrefixPlace[];
  /** Ends of messages and their parts, for caches that work by the caller's marks. */
  readonly edges: readonly PrefixPlace[];
  /** The edges that the caller marked, in order. */
  readonly marks: readonly (PrefixPlace & { readonly ttl: '5m' | '1h' })[];
  /** UTF-16 units that went into hashes. */
  readonly visitedUnits: number;
}

/** UTF-16 units of a block: about 128 tokens of prose, the step of OpenAI's cache. */
export const BLOCK_UNITS = 512;
/** After so many blocks each is longer by the factor, so that 4 MB have no more than 250: a long prompt needs no fine steps. */
const BLOCKS_OF_A_SIZE = 64;
const SIZE_FACTOR = 8;
/** From here on only every sixteenth unit is looked at: the work is bounded, and a difference elsewhere is soon followed by another. */
const DENSE_UNITS = 32_768;
const SPARSE_STEP = 16;

/**
 * The prefix as providers see it: tools and answer format first, then the messages in their order. One pass; work is bounded by
 * DENSE_UNITS and a sixteenth of the rest.
 */
export function promptPrefixOf(body: ChatRequest, blockUnits: number = BLOCK_UNITS): PromptPrefix {
  const hasher = prefixHasher(blockUnits);
  for (const tool of body.tools ?? []) hasher.edge(partText(tool), tool['cache_control']);
  hasher.add(asText(body['functions']));
  hasher.add(asText(body.response_format));
  for (const message of body.messages) {
    hasher.add(`\u0000${message.role}\u0000`);
    const { content } = message;
    for (const field in message)
      if (field !== 'role' && field !== 'content' && field !== 'cache_control') hasher.add(asText(message[field]));
    if (Array.isArray(content)) for (const part of content) hasher.edge(partText(part), part['cache_control']);
    else hasher.edge(content ?? '', message['cache_control']);
  }
  if (body['cache_control']) hasher.edge('', body['cache_control']);
  return hasher.prefix();
}

function partText(part: Record<string, unknown>): string {
  if (typeof part['text'] === 'string') return part['text'];
  const image = part['image_url'];
  if (typeof image === 'object' && image !== null && 'url' in image && typeof image.url === 'string') return image.url;
  const { cache_control: _mark, ...rest } = part;
  return asText(rest);
}

const OFFSET = 0x811c_9dc5;
const PRIME = 0x0100_0193;

/** Fowler-Noll-Vo 1a over UTF-16 units. */
function prefixHasher(blockUnits: number) {
  let hash = OFFSET;
  let units = 0;
  let visitedUnits = 0;
  let size = blockUnits;
  let blockEnd = size;
  const blocks: PrefixPlace[] = [];
  const edges: PrefixPlace[] = [];
  const marks: (PrefixPlace & { ttl: '5m' | '1h' })[] = [];

  const add = (text: string): void => {
    for (let at = 0; at < text.length;) {
      const end = Math.min(text.length, at + blockEnd - units);
      const step = units < DENSE_UNITS ? 1 : SPARSE_STEP;
      for (let i = at; i < end; i += step) hash = Math.imul(hash ^ text.charCodeAt(i), PRIME);
      visitedUnits += Math.ceil((end - at) / step);
      units += end - at;
      at = end;
      if (units === blockEnd) {
        blocks.push({ hash, endUnits: units });
        if (blocks.length % BLOCKS_OF_A_SIZE === 0) size *= SIZE_FACTOR;
        blockEnd += size;
      }
    }
  };
  return {
    add,
    /** A part, and the place after it. */
    edge(text: string, mark: unknown): void {
      add(text);
      const place = { hash: Math.imul(hash ^ 0xffff, PRIME), endUnits: units };
      edges.push(place);
      if (mark === undefined || mark === null) return;
      const ttl = typeof mark === 'object' && 'ttl' in mark && mark.ttl === '1h' ? '1h' : '5m';
      marks.push({ ...place, ttl });
    },
    prefix: (): PromptPrefix => ({ units, blocks, edges, marks, visitedUnits }),
  };
}
