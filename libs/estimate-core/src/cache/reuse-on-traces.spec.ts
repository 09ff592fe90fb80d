import { EXAMPLES, type PriceVersion } from '@meritorder/contracts';
import { rate } from '@meritorder/pricing-core';
import { describe, expect, it } from 'vitest';
import { tracesOf, type TracedRequest } from '../traces.for-tests.js';
import type { CachePolicy } from './cache-policy.js';
import { emptyPrefixCache, expectedCacheRead, rememberPlaces, type PromptBlock } from './prefix-cache.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');
const print = process.env['MERITORDER_PRINT'] === '1';

const INPUT_PICOS = 2_500_000n;
const CACHE_READ_PICOS = 1_250_000n;
const example = EXAMPLES.events['price.version-published.v1'].version;
const price: PriceVersion = {
  ...example,
  cash: {
    inputPicosPerToken: INPUT_PICOS.toString(),
    cacheReadPicosPerToken: CACHE_READ_PICOS.toString(),
    cacheWrite5mPicosPerToken: '0',
    cacheWrite1hPicosPerToken: '0',
    outputPicosPerToken: '10000000',
    requestPicos: '0',
  },
};

/** A cache that keeps everything for ever, down to the last token. */
const UNLIMITED: CachePolicy = { kind: 'automatic', minTokens: 0, stepTokens: 1, ttlMs: Number.POSITIVE_INFINITY };
const BLOCK_TOKENS = 512;

function blocksOf(request: TracedRequest): PromptBlock[] {
  const ids = request.blocks ?? [];
  return ids.map((hash, i) => ({ hash, tokens: Math.min(BLOCK_TOKENS, request.inputTokens - i * BLOCK_TOKENS) }));
}

/** Input tokens that each request shares with an earlier one from its start on, by a tree of prompts: counted by this test alone. */
function reusable(requests: readonly TracedRequest[]): number {
  interface Node {
    readonly children: Map<number, Node>;
  }
  const root: Node = { children: new Map() };
  let tokens = 0;
  for (const { inputTokens, blocks = [] } of requests) {
    let node = root;
    let left = inputTokens;
    let shares = true;
    for (const id of blocks) {
      const known = node.children.get(id);
      shares &&= known !== undefined;
      if (shares) tokens += Math.min(BLOCK_TOKENS, left);
      left -= BLOCK_TOKENS;
      const next = known ?? { children: new Map<number, Node>() };
      node.children.set(id, next);
      node = next;
    }
  }
  return tokens;
}

function costNanos(requests: readonly TracedRequest[], policy: CachePolicy | undefined): bigint {
  const cache = emptyPrefixCache(Number.POSITIVE_INFINITY);
  let nanos = 0n;
  for (const request of requests) {
    const blocks = blocksOf(request);
    const cacheReadTokens = policy === undefined ? 0 : expectedCacheRead(blocks, cache, policy, 0);
    if (policy !== undefined) rememberPlaces(cache, blocks, policy.ttlMs);
    nanos += rate(
      price,
      {
        inputTokens: request.inputTokens - cacheReadTokens,
        cacheReadTokens,
        cacheWrite5mTokens: 0,
        cacheWrite1hTokens: 0,
        outputTokens: request.outputTokens,
        requests: 1,
      },
      { atMs: 0 },
    ).cashNanos;
  }
  return nanos;
}

describe.skipIf(!data)('reuse of prompts on the traces that name their blocks (MERITORDER_TEST_DATA)', () => {
  const traces = data ? tracesOf(data).filter((trace) => trace.requests.some((request) => request.blocks)) : [];

  it('there is such a trace', () => expect(traces.length).toBeGreaterThan(0));

  it.each(traces.map((trace) => trace.name))(
    '%s: an unlimited prefix cache saves exactly the reusable input tokens at the price difference',
    { timeout: 60_000 },
    (name) => {
      const { requests } = traces.find((trace) => trace.name === name)!;
      const tokens = reusable(requests);
      const input = requests.reduce((sum, request) => sum + request.inputTokens, 0);
      if (print)
        console.log(`${name}: ${tokens} of ${input} input tokens are reusable, ${(tokens / input).toFixed(4)}`);
      expect(tokens).toBeGreaterThan(0);
      const saved = costNanos(requests, undefined) - costNanos(requests, UNLIMITED);
      expect(saved * 1_000n).toBe(BigInt(tokens) * (INPUT_PICOS - CACHE_READ_PICOS));
      if (name === 'mooncake-conversation.jsonl') expect((tokens / input).toFixed(4)).toBe('0.3736');
    },
  );

  it.each(traces.map((trace) => trace.name))(
    '%s: a cache that forgets saves less, one that keeps nothing saves nothing',
    { timeout: 60_000 },
    (name) => {
      const { requests } = traces.find((trace) => trace.name === name)!;
      const none = costNanos(requests, undefined);
      const unlimited = costNanos(requests, UNLIMITED);
      const fromA1024 = costNanos(requests, { ...UNLIMITED, minTokens: 1_024, stepTokens: 128 });
      expect(fromA1024).toBeGreaterThan(unlimited);
      expect(fromA1024).toBeLessThan(none);
      expect(costNanos(requests, { ...UNLIMITED, ttlMs: 0 })).toBe(none);
    },
  );
});
