import { describe, expect, it } from 'vitest';
import { EXAMPLES, type BackendConfig, type ChatRequest, type PriceVersion } from '@meritorder/contracts';
import { boundNanos } from '@meritorder/pricing-core';
import { ableCandidates, loweredText, requirementsOf, type AskedKind, type BackendView } from './index.js';

const base = EXAMPLES.events['price.version-published.v1'].version;
const priced = (input: number, output: number): PriceVersion => ({
  ...base,
  cash: {
    ...base.cash,
    inputPicosPerToken: String(input),
    cacheReadPicosPerToken: '0',
    cacheWrite5mPicosPerToken: '0',
    cacheWrite1hPicosPerToken: '0',
    outputPicosPerToken: String(output),
  },
});
const view = (id: string, more: Partial<BackendView> = {}, config: Partial<BackendConfig> = {}): BackendView => ({
  backend: {
    id,
    contextTokens: 1_000,
    maxOutputTokens: 500,
    capabilities: ['streaming'],
    templateTokensPerMessage: 1,
    ...config,
  } as BackendConfig,
  price: priced(1_000_000, 2_000_000),
  workersAlive: 1,
  workersWithRoom: 1,
  breakerClosed: true,
  ...more,
});
const body = (more: object = {}): ChatRequest =>
  ({ model: 'auto', messages: [{ role: 'user', content: 'hi' }], ...more }) as ChatRequest;
const CALLED = {
  role: 'assistant',
  content: null,
  tool_calls: [{ id: 'c', type: 'function', function: { name: 'f' } }],
};
const AT = Date.parse('2026-11-24T10:00:00Z');
const estimate = () => ({
  inputTokensExpected: 100,
  cacheReadTokensExpected: 0,
  cacheWriteTokensExpected: 0,
  inputTokensBound: 400,
  inputTokensUpper: 150,
  outputTokensExpected: 50,
  outputTokensP95: 90,
  outputTokensP99: 200,
});

describe('what is able', () => {
  it('takes a conversation in which no tool was called for one without tools', () => {
    const plain = { role: 'assistant', content: 'a', tool_calls: [], function_call: null };
    expect(requirementsOf(body({ messages: [plain] })).capabilities).toEqual([]);
  });
  it.each<[string, BackendView, object, RegExp]>([
    ['tools', view('x'), { tools: [{ type: 'function' }] }, /lacks tools/],
    ['a tool that was called', view('x'), { messages: [CALLED] }, /lacks tools/],
    ['what a tool said', view('x'), { messages: [{ role: 'tool', tool_call_id: 'c', content: '1' }] }, /lacks tools/],
    ['what a function said', view('x'), { messages: [{ role: 'function', name: 'f', content: '1' }] }, /lacks tools/],
    ['an image', view('x'), { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, /lacks vision/],
    ['JSON', view('x'), { response_format: { type: 'json_schema' } }, /lacks json/],
    ['several choices', view('x'), { n: 2 }, /lacks choices/],
    ['a context too small', view('x', {}, { contextTokens: 100 }), {}, /exceed its context of 100/],
    ['no price', view('x', { price: undefined }), {}, /no price in force/],
    ['no worker', view('x', { workersAlive: 0 }), {}, /no live worker/],
    ['busy workers', view('x', { workersWithRoom: 0 }), {}, /busy/],
    ['an open breaker', view('x', { breakerClosed: false }), {}, /cooling down/],
    [
      'a quota',
      view('x', { breakerClosed: false, cooling: { quota: true, seconds: 19.2 } }),
      {},
      /^out of quota at its provider for 20 s$/,
    ],
  ])('excludes for %s', (_name, candidate, more, why) => {
    const { able, excluded } = ableCandidates([candidate], requirementsOf(body(more)), estimate, undefined, AT);
    expect(able).toEqual([]);
    expect(excluded[0]!.why).toMatch(why);
  });

  it.each<[string, BackendView[], boolean]>([
    ['that alone is in the way', [], true],
    ['another could not do it anyway', [view('y')], true],
    ['another may be free later', [view('y', { workersAlive: 0 }, { capabilities: ['tools'] })], false],
    ['another is able', [view('y', {}, { capabilities: ['tools'] })], false],
  ])(
    'says of a prompt that is too long "maximum context length", by which clients know it, where %s',
    (_n, others, said) => {
      const short = view('x', {}, { contextTokens: 100, capabilities: ['tools'] });
      const asked = requirementsOf(body({ tools: [{ type: 'function' }] }));
      const { excluded } = ableCandidates([short, ...others], asked, estimate, undefined, AT);
      const why = 'about 100 input tokens exceed its context of 100';
      expect(excluded[0]!.why).toBe(said ? `${why}, its maximum context length` : why);
    },
  );

  it('measures its context by what must fit it together, and not by all that is paid for', () => {
    const small = view('x', {}, { contextTokens: 50 });
    const of = (contextTokensExpected?: number) =>
      ableCandidates([small], requirementsOf(body()), () => ({ ...estimate(), contextTokensExpected }), undefined, AT);
    expect(of(49).able).toHaveLength(1);
    expect(of(50).excluded[0]!.why).toMatch(/^about 50 tokens of one input exceed its context of 50/);
    expect(of().excluded[0]!.why).toMatch(/^about 100 input tokens exceed its context of 50/);
  });

  it.each<[string, object]>([
    ['service_tier', { service_tier: 'scale' }],
    ['service_tier', { service_tier: 'fast' }],
    ['tools', { tools: [{ type: 'computer_use' }] }],
    ['tools', { tools: [{ type: 'tool_search_tool_embedding_20251119' }] }],
    ['tools', { tools: [{ type: 'tool_search_tool_regex_20251119_and_more' }] }],
    ['modalities', { modalities: ['text', 'smell'] }],
    ['best_of', { best_of: 8 }],
    ['documents', { documents: [{ text: 'hi' }] }],
  ])('refuses %s, whose cost no bound is known for', (field, more) => {
    const withTools = view('x', {}, { capabilities: ['tools'] });
    const { able, excluded } = ableCandidates([withTools], requirementsOf(body(more)), estimate, undefined, AT);
    expect(able).toEqual([]);
    expect(excluded[0]).toMatchObject({ code: 'unable', why: `${field} has no cost bound` });
  });

  it.each<[string, object, RegExp]>([
    ['a tier', { service_tier: 'priority' }, /no price for the service tier priority/],
    ['audio in the answer', { modalities: ['text', 'audio'], audio: {} }, /no price for audio output/],
  ])('%s is served where it has a price, and no other rate stands in for it', (_name, more, why) => {
    const plain = priced(1_000_000, 2_000_000);
    const priceOfAll: PriceVersion = {
      ...plain,
      cash: { ...plain.cash, unitPicos: { outputAudioTokens: '8000000' }, serviceTiers: { priority: plain.cash } },
    };
    const rank = (price: PriceVersion) =>
      ableCandidates([view('x', { price })], requirementsOf(body(more)), estimate, undefined, AT);
    expect(rank(plain).excluded[0]).toMatchObject({ code: 'unpriced', why: expect.stringMatching(why) });
    expect(rank(priceOfAll).able).toHaveLength(1);
  });

  const DAY_MS = 86_400_000;
  const inBatches = (more: Partial<BackendView> = {}): BackendView =>
    view('x', more, { batch: { completionSeconds: 86_400, collectSeconds: 30, maxBytes: 1_000, pollSeconds: 30 } });
  const halved = ((): PriceVersion => {
    const plain = priced(1_000_000, 2_000_000);
    return { ...plain, cash: { ...plain.cash, serviceTiers: { batch: priced(500_000, 1_000_000).cash } } };
  })();

  it.each<[string, number | undefined, object, PriceVersion, RegExp]>([
    ['what is no job', undefined, {}, halved, /asked in batches, which is for jobs/],
    [
      'a job with less than its time',
      DAY_MS - 1,
      {},
      halved,
      /take up to 86400 s; the deadline of the job is in 86399 s/,
    ],
    ['a job that names another tier', DAY_MS, { service_tier: 'default' }, halved, /names another service tier/],
    ['a price without the tier', DAY_MS, {}, priced(1, 1), /no price for the service tier batch/],
  ])('a backend that is asked in batches does not take %s', (_name, batchWithinMs, more, price, why) => {
    const requirements = { ...requirementsOf(body(more)), batchWithinMs };
    const { excluded } = ableCandidates([inBatches({ price })], requirements, estimate, undefined, AT);
    expect(excluded[0]!.why).toMatch(why);
  });

  it('and what it takes is expected and bounded at the tier of batches', () => {
    const requirements = { ...requirementsOf(body({ max_tokens: 100 })), batchWithinMs: DAY_MS };
    const views = [inBatches({ price: halved }), view('y', { price: halved })];
    const { able } = ableCandidates(views, requirements, estimate, undefined, AT);
    // 100 input and 50 output tokens; at most 400 and 100.
    expect(able.map((a) => Math.round(a.expectedCashUsd * 1e9))).toEqual([100_000, 200_000]);
    expect(able.map((a) => boundNanos(a.bound.cash, a.maxTokens))).toEqual([300_000n, 600_000n]);
  });

  it('audio needs no eyes, a file does, for its pages may be pictures and billed as such', () => {
    const content = [
      { type: 'file', file: {} },
      { type: 'input_audio' },
      { type: 'document', source: { type: 'url' } },
    ];
    const asked = requirementsOf(body({ messages: [{ role: 'user', content }] }));
    expect(asked.capabilities).toEqual(['vision']);
    expect(asked.inputModalities).toEqual(['audio', 'image']);
    const heard = requirementsOf(body({ messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] }));
    expect(heard).toMatchObject({ capabilities: [], inputModalities: ['audio'] });
    const spoken = requirementsOf(body({ messages: [{ role: 'assistant', audio: { id: 'a' } }] }));
    expect(spoken.inputModalities).toEqual(['audio']);
  });

  it('takes what changes nothing of the cost', () => {
    const more = { service_tier: 'auto', best_of: 1, modalities: ['text'], audio: null, tools: [{ type: 'function' }] };
    const able = view('x', {}, { capabilities: ['tools'] });
    expect(ableCandidates([able], requirementsOf(body(more)), estimate, undefined, AT).able).toHaveLength(1);
  });

  it.each(['tool_search_tool_regex_20251119', 'tool_search_tool_bm25_20251119', 'tool_search_tool_bm25'])(
    'takes a search of the tools that the caller sent, %s',
    (type) => {
      const asked = requirementsOf(body({ tools: [{ type }, { type: 'function', defer_loading: true }] }));
      const able = view('x', {}, { capabilities: ['tools'], maxToolInputTokens: 1_000 });
      expect(ableCandidates([able], asked, estimate, undefined, AT).able).toHaveLength(1);
      expect(asked.units).toEqual([]);
    },
  );

  it('what Groq calls its standard tier is the standard tier', () => {
    const asked = requirementsOf(body({ service_tier: 'on_demand' }));
    expect(asked).toMatchObject({ standardTierOnly: true, tier: undefined, unbounded: undefined });
  });

  describe('of which one would cut the answer', () => {
    /** 400 tokens are expected, where nothing cuts them. */
    const long = ({ maxOutputTokens }: BackendConfig) => ({
      ...estimate(),
      outputTokensExpected: Math.min(400, maxOutputTokens),
      outputLengths: { meanUpTo: (most: number) => Math.min(400, most) },
    });
    const short = view('short', {}, { maxOutputTokens: 100 });
    const whole = view('whole', {}, { maxOutputTokens: 700 });
    const rank = (views: BackendView[], more: object = {}, cap?: bigint) =>
      ableCandidates(views, requirementsOf(body(more)), long, cap, AT);
    const ids = (of: { backend: BackendConfig }[]) => of.map(({ backend }) => backend.id);

    it('it is out while another gives the limit that the caller named, and says so', () => {
      const { able, excluded } = rank([short, whole], { max_tokens: 600 });
      expect(ids(able)).toEqual(['whole']);
      expect(able[0]).toMatchObject({ maxTokens: 600, limitTokens: undefined });
      expect(excluded).toMatchObject([
        {
          backend: { id: 'short' },
          code: 'too-short',
          why: 'gives 100 output tokens at most; the request allows 600, which another gives',
        },
      ]);
      expect(ids(rank([short, whole], { max_tokens: 100 }).able)).toEqual(['short', 'whole']);
      // A caller's own cap is no reason: it lowers what is paid for, not what the backend gives.
      expect(ids(rank([short, whole], { max_tokens: 600 }, 700_000n).able)).toEqual(['whole']);
      // Nor does one that cannot be asked now keep another out.
      expect(ids(rank([short, { ...whole, workersWithRoom: 0 }], { max_tokens: 600 }).able)).toEqual(['short']);
    });

    it('where nobody gives that limit its sentence says what there is', () => {
      const { able, excluded } = rank([short, whole], { max_tokens: 800 });
      expect(excluded).toEqual([]);
      expect(able.map((a) => [a.backend.id, a.maxTokens])).toEqual([
        ['whole', 700],
        ['short', 100],
      ]);
      expect(loweredText(able[1]!)).toBe(
        '; at most 100 output tokens, for no able backend gives the 800 that the request allows',
      );
      expect(loweredText(rank([short, whole], { max_tokens: 600 }).able[0]!)).toBe('');
      expect(loweredText(rank([short]).able[0]!)).toBe('');
    });

    it.each<[string, object]>([
      ['no limit is named', {}],
      ['nobody gives the limit that is', { max_tokens: 800 }],
    ])('it is not the cheaper for it where %s: both are compared at equal length', (_name, more) => {
      const { able } = rank([short, whole], more);
      // 100 input tokens at 1000 nano-dollars, and 400 output tokens at 2000.
      expect(able.map((a) => Math.round(a.expectedCashUsd * 1e9))).toEqual([900_000, 900_000]);
      expect(ids(able)).toEqual(['whole', 'short']);
      expect(able.map((a) => a.comparedTokens)).toEqual([undefined, 400]);
      const dearer = { ...whole, price: priced(1_000_000, 2_100_000) };
      const [first, second] = rank([dearer, short], more).able;
      expect(second!.expectedCashUsd).toBeLessThan(first!.expectedCashUsd);
      // Alone it is expected to cost what it can.
      expect(Math.round(rank([short], more).able[0]!.expectedCashUsd * 1e9)).toBe(300_000);
    });
  });

  it("clamps the output to the context, the backend and the caller's own cap", () => {
    const rank = (more: object, cap?: bigint) =>
      ableCandidates([view('x')], requirementsOf(body(more)), estimate, cap, AT).able[0];
    expect(rank({})!.maxTokens).toBe(500);
    expect(rank({ max_tokens: 20 })).toMatchObject({ maxTokens: 20, minTokens: 20 });
    expect(
      ableCandidates([view('x', {}, { contextTokens: 150 })], requirementsOf(body()), estimate, undefined, AT).able[0]!
        .maxTokens,
    ).toBe(50);
    // Of an input of 100 that is trusted to stay under 150: what the caller names is tried where it is expected to fit.
    const within = (contextTokens: number, more: object = {}) =>
      ableCandidates([view('x', {}, { contextTokens })], requirementsOf(body(more)), estimate, undefined, AT).able[0]!;
    expect(within(400).maxTokens).toBe(250);
    expect(within(400, { max_tokens: 300 }).maxTokens).toBe(300);
    expect(within(200).maxTokens).toBe(64);
    // 400 input tokens at 1000 nano, and 2000 nano for each of 100 output tokens.
    expect(rank({}, 600_000n)!.maxTokens).toBe(100);
    expect(rank({}, 400_000n)).toBeUndefined();
  });

  it('scores expected cache hits at their own price, and holds for a request without any', () => {
    const cached = { ...estimate(), cacheReadTokensExpected: 80 };
    const rank = (of: typeof cached) =>
      ableCandidates([view('x')], requirementsOf(body()), () => of, undefined, AT).able[0]!;
    // 80 of 100 input tokens at 0 in place of 1,000 nano-USD.
    expect(rank(estimate()).expectedCashUsd - rank(cached).expectedCashUsd).toBeCloseTo(0.00008, 12);
    expect(rank(cached).bound).toEqual(rank(estimate()).bound);
  });

  it.each<[string, object, Partial<BackendConfig>, RegExp | undefined]>([
    [
      'web searches without a bound',
      { tools: [{ type: 'web_search_20250305' }] },
      {},
      /webSearches may cost without a bound/,
    ],
    ['web searches by option without a bound', { web_search_options: {} }, {}, /webSearches/],
    [
      'web searches whose findings have no bound as input',
      { tools: [{ type: 'web_search' }] },
      { unitBounds: { webSearches: 5 } },
      /add maxToolInputTokens/,
    ],
    [
      'a search of its tools without a bound',
      { tools: [{ type: 'tool_search_tool_bm25' }] },
      {},
      /add maxToolInputTokens/,
    ],
    [
      'a search of its tools with one',
      { tools: [{ type: 'tool_search_tool_bm25' }] },
      { maxToolInputTokens: 50_000 },
      undefined,
    ],
    [
      'web searches with both bounds',
      { tools: [{ type: 'web_search' }] },
      { unitBounds: { webSearches: 5 }, maxToolInputTokens: 50_000 },
      undefined,
    ],
  ])('%s', (_name, more, config, why) => {
    const candidate = view('x', {}, { capabilities: ['tools'], ...config });
    const { able, excluded } = ableCandidates([candidate], requirementsOf(body(more)), estimate, undefined, AT);
    expect(able.length).toBe(why ? 0 : 1);
    if (why) expect(excluded[0]!.why).toMatch(why);
  });

  it('holds what the tools of a provider may add to the input', () => {
    const config = { capabilities: ['tools' as const], unitBounds: { webSearches: 5 }, maxToolInputTokens: 1_000 };
    const holdOf = (more: object): bigint =>
      ableCandidates([view('x', {}, config)], requirementsOf(body(more)), estimate, undefined, AT).able[0]!.bound.cash
        .fixedNanos;
    expect(holdOf({ tools: [{ type: 'web_search' }] }) - holdOf({})).toBe(1_000n * 1_000n);
  });

  it('excludes what has parts without a cost bound, and says which and why', () => {
    const inputUnbounded = 'messages.0.content.1 is an image: without maxTokensPerImage its tokens have no bound';
    const unbounded = () => ({ ...estimate(), inputTokensBound: undefined, inputUnbounded });
    const { excluded } = ableCandidates([view('x')], requirementsOf(body()), unbounded, undefined, AT);
    expect(excluded[0]!.why).toBe(inputUnbounded);
  });

  it.each<[string, object, boolean]>([
    ['plain text', { type: 'document', source: { type: 'text', data: 'x' } }, false],
    ['texts', { type: 'document', source: { type: 'content', content: [] } }, false],
    ['a search result', { type: 'search_result', content: [] }, false],
    ['a call of a provider', { type: 'server_tool_use', input: {} }, false],
    ['a result of a provider', { type: 'web_search_tool_result', content: [] }, false],
    ['a PDF', { type: 'document', source: { type: 'base64', data: 'x' } }, true],
    ['a broken document', { type: 'document', source: null }, true],
    ['a picture', { type: 'image_url' }, true],
  ])('%s among the messages needs vision: %s', (_name, part, needsVision) => {
    const { capabilities } = requirementsOf(body({ messages: [{ role: 'user', content: [part] }] }));
    expect(capabilities.includes('vision')).toBe(needsVision);
  });
});

describe('kinds', () => {
  const rank = (config: Partial<BackendConfig>, asked: AskedKind, more: object = {}) =>
    ableCandidates([view('x', {}, config)], requirementsOf(body(more), asked), estimate, undefined, AT);
  const anthropic = { protocol: 'anthropic' } as unknown as Partial<BackendConfig>;

  it.each<[string, Partial<BackendConfig>, AskedKind, string | undefined]>([
    ['chat, where nothing is said', {}, { kind: 'chat' }, undefined],
    ['messages, where nothing is said', {}, { kind: 'messages' }, undefined],
    ['embeddings, where nothing is said', {}, { kind: 'embeddings' }, 'does not serve embeddings'],
    ['embeddings of a model for them', { kinds: ['embeddings'] }, { kind: 'embeddings' }, undefined],
    ['chat of a model for embeddings', { kinds: ['embeddings'] }, { kind: 'chat' }, 'does not serve chat'],
    [
      'what a translation cannot say',
      {},
      { kind: 'messages', uncarried: '"document"' },
      'is sent a chat completion, which cannot say "document"',
    ],
    ['the same, passed on as it came', anthropic, { kind: 'messages', uncarried: '"document"' }, undefined],
    ['a field without a bound', anthropic, { kind: 'messages', unbounded: 'speed' }, 'speed has no cost bound'],
    [
      'more thinking than the backend has output',
      anthropic,
      { kind: 'messages', leastTokens: 501 },
      'leaves 500 output tokens; the request asks for 501 at least',
    ],
  ])('%s', (_name, config, asked, why) => {
    const { able, excluded } = rank(config, asked);
    expect(excluded[0]?.why).toBe(why);
    expect(able).toHaveLength(why === undefined ? 1 : 0);
  });

  it.each<[string, string, 'chat' | 'messages', string | undefined]>([
    ['chat', 'gemini', 'chat', 'speaks gemini, which cannot say "seed"'],
    ['chat that it can say', 'openai', 'chat', undefined],
    ['messages that become chat', 'gemini', 'messages', 'speaks gemini, which cannot say "seed"'],
    ['messages that go as they came', 'anthropic', 'messages', undefined],
  ])('of what a protocol has no words for: %s over %s', (_name, protocol, kind, why) => {
    const unsaid = (name: string): string | undefined => (name === 'openai' ? undefined : '"seed"');
    const requirements = { ...requirementsOf(body(), { kind }), uncarriedBy: unsaid };
    const views = [view('x', {}, { protocol } as Partial<BackendConfig>)];
    const { excluded } = ableCandidates(views, requirements, estimate, undefined, AT);
    expect(excluded[0]?.why).toBe(why);
  });

  it('embeddings hold their input alone: no output, whatever the backend has', () => {
    const { able } = rank({ kinds: ['embeddings'] }, { kind: 'embeddings' }, { max_tokens: 0 });
    expect(able[0]).toMatchObject({ maxTokens: 0, minTokens: 0 });
    // 400 input tokens at most, at 1,000 nano-USD.
    expect(boundNanos(able[0]!.bound.cash, able[0]!.maxTokens)).toBe(400_000n);
    expect(able[0]!.expectedCashUsd).toBeCloseTo(0.0001, 12);
  });

  it('a hold never leaves less output than thinking takes', () => {
    expect(rank(anthropic, { kind: 'messages', leastTokens: 300 }).able[0]).toMatchObject({
      maxTokens: 500,
      minTokens: 300,
    });
  });
});
