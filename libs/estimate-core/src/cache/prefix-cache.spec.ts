import type { ChatRequest } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { learnCacheHits, splitInput, UNLEARNED_HITS } from './cache-hits.js';
import { cachePolicyOf } from './cache-policy.js';
import { emptyPrefixCache, expectedCacheRead, planCache, rememberPlaces, rememberPrompt } from './prefix-cache.js';
import { promptPrefixOf } from './prompt-prefix.js';

type Part = { type: string; text?: string; cache_control?: object };
const chat = (messages: [role: string, content: string | Part[]][], more: object = {}): ChatRequest =>
  ({ model: 'm', messages: messages.map(([role, content]) => ({ role, content })), ...more }) as ChatRequest;
const openai = cachePolicyOf({ kind: 'cloud', provider: 'openai', model: 'gpt-4.1' });
const anthropic = cachePolicyOf({ kind: 'cloud', provider: 'anthropic', model: 'claude-sonnet-4-5' });
const long = (seed: string, units: number): string => `${seed} told at length. `.repeat(units).slice(0, units);
const MINUTE_MS = 60_000;

describe('the prefix of a prompt', () => {
  const system = long('The system prompt', 6_000);
  const hashes = (body: ChatRequest): number[] => promptPrefixOf(body).blocks.map((block) => block.hash);

  it('is shared by a conversation and its next turn, up to where they part', () => {
    const first = hashes(
      chat([
        ['system', system],
        ['user', 'one'],
      ]),
    );
    const next = hashes(
      chat([
        ['system', system],
        ['user', 'one'],
        ['assistant', long('An answer', 3_000)],
        ['user', 'two'],
      ]),
    );
    expect(first.length).toBe(11);
    expect(next.slice(0, first.length)).toEqual(first);
    expect(next.length).toBe(17);
  });

  it.each<[string, ChatRequest]>([
    ['the first letter', chat([['system', `x${system.slice(1)}`]])],
    ['the role', chat([['user', system]])],
    ['the tools', chat([['system', system]], { tools: [{ type: 'function', function: { name: 'f' } }] })],
    ['the answer format', chat([['system', system]], { response_format: { type: 'json_object' } })],
  ])('is another from the first block on when %s differs', (_label, other) => {
    const own = hashes(chat([['system', system]]));
    expect(hashes(other).filter((hash) => own.includes(hash))).toEqual([]);
  });

  it('does not depend on the marks of the caller, nor on metadata and sampling', () => {
    const plain = chat([['user', [{ type: 'text', text: system }]]]);
    const marked = chat([['user', [{ type: 'text', text: system, cache_control: { type: 'ephemeral' } }]]], {
      temperature: 0.1,
      metadata: { team: 'x' },
    });
    expect(hashes(marked)).toEqual(hashes(plain));
  });

  it('of 4 MB is at most 250 blocks and a twelfth of the units looked at, and still tells prompts apart', () => {
    const text = long('A very long text', 4_000_000);
    const prefix = promptPrefixOf(chat([['user', text]]));
    expect(prefix.blocks.length).toBeLessThanOrEqual(250);
    expect(prefix.visitedUnits).toBeLessThanOrEqual(4_000_000 / 12);
    const other = promptPrefixOf(chat([['user', `${text.slice(0, 2_000_000)}${long('Another', 2_000_000)}`]]));
    const shared = prefix.blocks.filter((block, i) => other.blocks[i]?.hash === block.hash);
    expect(shared.at(-1)!.endUnits).toBeGreaterThan(1_900_000);
    expect(shared.at(-1)!.endUnits).toBeLessThanOrEqual(2_000_010);
  });
});

describe('an automatic cache (OpenAI)', () => {
  const system = long('The system prompt', 8_000);
  const first = promptPrefixOf(
    chat([
      ['system', system],
      ['user', 'one'],
    ]),
  );
  const next = promptPrefixOf(
    chat([
      ['system', system],
      ['user', 'two'],
    ]),
  );
  const tokens = 2_000;

  it('reads what was sent before in whole steps of 128, for ten minutes after the last use', () => {
    const cache = emptyPrefixCache();
    expect(planCache(next, tokens, cache, openai, 0).read).toBe(0);
    rememberPrompt(cache, first, openai, 0);
    const { read } = planCache(next, tokens, cache, openai, MINUTE_MS);
    expect(read).toBe(1_792);
    expect(read % 128).toBe(0);
    expect(planCache(next, tokens, cache, openai, 10 * MINUTE_MS).read).toBe(0);
    rememberPrompt(cache, next, openai, 9 * MINUTE_MS);
    expect(planCache(next, tokens, cache, openai, 12 * MINUTE_MS).read).toBe(1_792);
  });

  it('reads nothing of a prefix below 1,024 tokens', () => {
    const cache = emptyPrefixCache();
    rememberPrompt(cache, first, openai, 0);
    expect(planCache(next, 1_000, cache, openai, 1).read).toBe(0);
  });

  it('costs nothing to write', () => {
    expect(planCache(first, tokens, emptyPrefixCache(), openai, 0)).toEqual({ read: 0, marked5m: 0, marked1h: 0 });
  });
});

describe('a cache by marks (Anthropic)', () => {
  const part = (text: string, ttl?: '5m' | '1h'): Part => ({
    type: 'text',
    text,
    ...(ttl ? { cache_control: { type: 'ephemeral', ttl } } : {}),
  });
  const handbook = long('The handbook', 8_000);
  const turn = (question: string, ttl: '5m' | '1h' = '5m'): ChatRequest =>
    chat([
      ['system', [part(handbook, ttl)]],
      ['user', [part(question)]],
    ]);

  it('writes up to the last mark, and reads it for five minutes after each use, or an hour', () => {
    for (const [ttl, minutes] of [
      ['5m', 5],
      ['1h', 60],
    ] as const) {
      const cache = emptyPrefixCache();
      const first = promptPrefixOf(turn('one', ttl));
      const planned = planCache(first, 2_000, cache, anthropic, 0);
      expect(planned.read).toBe(0);
      expect(Math.abs((ttl === '5m' ? planned.marked5m : planned.marked1h) - 1_990)).toBeLessThan(12);
      rememberPrompt(cache, first, anthropic, 0);
      const second = promptPrefixOf(turn('two', ttl));
      expect(planCache(second, 2_000, cache, anthropic, minutes * MINUTE_MS - 1).read).toBe(
        planned.marked5m + planned.marked1h,
      );
      expect(planCache(second, 2_000, cache, anthropic, minutes * MINUTE_MS).read).toBe(0);
    }
  });

  it('does nothing without a mark, or below its least', () => {
    const cache = emptyPrefixCache();
    const unmarked = promptPrefixOf(
      chat([
        ['system', handbook],
        ['user', 'one'],
      ]),
    );
    rememberPrompt(cache, unmarked, anthropic, 0);
    expect(cache.keptUntilMs.size).toBe(0);
    expect(planCache(unmarked, 2_000, cache, anthropic, 1)).toEqual({ read: 0, marked5m: 0, marked1h: 0 });
    expect(planCache(promptPrefixOf(turn('one')), 900, cache, anthropic, 1).marked5m).toBe(0);
  });

  it('reads the longest prefix known where a conversation moved its mark on', () => {
    const cache = emptyPrefixCache();
    rememberPrompt(cache, promptPrefixOf(turn('one')), anthropic, 0);
    const later = chat([
      ['system', [part(handbook)]],
      ['user', [part('one')]],
      ['user', [part(long('More', 4_000), '5m')]],
    ]);
    const plan = planCache(promptPrefixOf(later), 3_000, cache, anthropic, 1);
    expect(Math.abs(plan.read - 2_000)).toBeLessThan(30);
    expect(plan.marked5m).toBe(3_000);
    const split = splitInput(3_000, plan, UNLEARNED_HITS);
    expect(split.cacheRead + split.cacheWrite5m).toBe(3_000);
  });
});

describe('what is remembered', () => {
  it('is bounded: the longest unused is forgotten, and of one prompt the deep before the shallow', () => {
    const cache = emptyPrefixCache(5);
    const places = (from: number, count: number) => Array.from({ length: count }, (_, i) => ({ hash: from + i }));
    rememberPlaces(cache, places(1, 3), 10);
    rememberPlaces(cache, places(11, 4), 10);
    expect([...cache.keptUntilMs.keys()].toSorted((a, b) => a - b)).toEqual([1, 11, 12, 13, 14]);
  });

  it('ends at the first block that is not known, whatever comes after', () => {
    const cache = emptyPrefixCache();
    rememberPlaces(cache, [{ hash: 1 }, { hash: 3 }], 10);
    const blocks = [1, 2, 3].map((hash) => ({ hash, tokens: 512 }));
    const unlimited = { kind: 'automatic', minTokens: 0, stepTokens: 1, ttlMs: Infinity } as const;
    expect(expectedCacheRead(blocks, cache, unlimited, 0)).toBe(512);
  });
});

describe('the hits that usage reports', () => {
  const plan = { read: 1_000, marked5m: 0, marked1h: 0 };
  it('correct the plan: of what is foreseen only the share that comes true is expected', () => {
    let hits = UNLEARNED_HITS;
    expect(splitInput(2_000, plan, hits)).toMatchObject({ cacheRead: 800, uncached: 1_200, basis: 'planned' });
    for (let i = 0; i < 500; i++)
      hits = learnCacheHits(hits, { plannedTokens: 1_000, inputTokens: 2_000, readTokens: i % 2 === 0 ? 1_000 : 0 });
    const split = splitInput(2_000, plan, hits);
    expect(Math.abs(split.cacheRead - 520)).toBeLessThan(30);
    expect(split.basis).toBe('learned');
    expect(splitInput(2_000, { ...plan, read: 0 }, hits).cacheRead).toBe(0);
  });

  it('tell of reuse that nothing foresaw: prefixes that other routers sent', () => {
    let hits = UNLEARNED_HITS;
    for (let i = 0; i < 500; i++)
      hits = learnCacheHits(hits, { plannedTokens: 0, inputTokens: 2_000, readTokens: 1_500 });
    expect(Math.abs(splitInput(1_000, { ...plan, read: 0 }, hits).cacheRead - 700)).toBeLessThan(60);
  });

  it('keep the two apart: what was foreseen says nothing of what was not', () => {
    let hits = UNLEARNED_HITS;
    for (let i = 0; i < 400; i++) {
      hits = learnCacheHits(hits, { plannedTokens: 0, inputTokens: 2_000, readTokens: 1_000 });
      hits = learnCacheHits(hits, { plannedTokens: 1_000, inputTokens: 2_000, readTokens: 0 });
    }
    expect(splitInput(1_000, plan, hits).cacheRead).toBeLessThan(100);
    expect(splitInput(1_000, { ...plan, read: 0 }, hits).cacheRead).toBeGreaterThan(420);
  });

  it('never make the parts more than the input', () => {
    let hits = UNLEARNED_HITS;
    for (let i = 0; i < 100; i++)
      hits = learnCacheHits(hits, { plannedTokens: 10, inputTokens: 2_000, readTokens: 1_900 });
    for (const marked5m of [0, 500, 5_000])
      for (const marked1h of [0, 300, 5_000]) {
        const split = splitInput(1_000, { read: 400, marked5m, marked1h }, hits);
        const parts = [split.uncached, split.cacheRead, split.cacheWrite5m, split.cacheWrite1h];
        expect(Math.min(...parts)).toBeGreaterThanOrEqual(0);
        expect(parts.reduce((a, b) => a + b)).toBeCloseTo(1_000, 6);
      }
  });
});

describe('the cache of a provider', () => {
  it.each([
    ['openai', 'gpt-4o', 'automatic', 1_024],
    ['azure-openai', 'gpt-4.1', 'automatic', 1_024],
    ['anthropic', 'claude-sonnet-4-5', 'marked', 1_024],
    ['anthropic', 'claude-opus-4-5', 'marked', 4_096],
    ['bedrock', 'anthropic.claude-3-5-haiku', 'marked', 2_048],
    ['google', 'gemini-2.5-flash', 'automatic', 1_024],
    ['google', 'gemini-2.5-pro', 'automatic', 4_096],
    ['deepseek', 'deepseek-chat', 'automatic', 64],
    ['nimbus', 'some-model', 'none', 0],
  ])('%s %s is %s from %i tokens', (provider, model, kind, minTokens) => {
    expect(cachePolicyOf({ kind: 'cloud', provider, model })).toMatchObject({ kind, minTokens });
  });
  it('of an own engine is automatic from 16 tokens', () => {
    expect(cachePolicyOf({ kind: 'local', provider: 'acme', model: 'claude-like' })).toMatchObject({ minTokens: 16 });
  });
});
