import { loadTokenizer, type GuardedTokenizer } from '@meritorder/tokenizers';
import type { ChatRequest } from '@meritorder/contracts';
import { beforeAll, describe, expect, it } from 'vitest';
import { adversarialTexts } from './adversarial-texts.js';
import { estimateInput, type InputEstimate } from './estimate-input.js';
import { inputPartsOf, type InputParts } from './input-parts.js';
import { readInput } from './input-reading.js';

const print = process.env['MERITORDER_PRINT'] === '1';
const NAMES = ['o200k_base', 'cl100k_base'] as const;
/** A text just above what is counted whole, and one that is a sample of its kind. */
const SIZES = print ? [8_500, 40_000, 1_000_000] : [8_500, 20_000];
const corpora = SIZES.map((units) => adversarialTexts(units));

const settings = { templateTokensPerMessage: 0 };
const partsOf = (...texts: string[]): InputParts => ({
  texts,
  toolTexts: [],
  messages: 0,
  tools: 0,
  builtInTools: 0,
  images: 0,
  files: 0,
  audios: 0,
  others: 0,
  unknownBytes: 0,
});
/** What an estimate says of the text itself, without the start of the answer: 3 tokens expected, 16 at most. */
const ofText = (estimate: InputEstimate) => ({
  expected: estimate.expected - 3,
  upper: estimate.upper - 16,
  bound: estimate.bound! - 16,
});

let tokenizers: Record<(typeof NAMES)[number], GuardedTokenizer>;
beforeAll(async () => {
  tokenizers = { o200k_base: await loadTokenizer('o200k_base'), cl100k_base: await loadTokenizer('cl100k_base') };
});

describe.each(NAMES)('estimates against the exact count of %s', (name) => {
  it.each([...corpora[0]!.keys()])('upper covers %s, with and without the tokenizer, and bound is no less', (label) => {
    const tokenizer = tokenizers[name];
    for (const corpus of corpora) {
      const text = corpus.get(label)!;
      const actual = tokenizer.countTokensOffline(text);
      const reading = readInput(partsOf(text));
      const row: string[] = [];
      for (const using of [tokenizer, undefined]) {
        const estimate = estimateInput(reading, settings, using);
        const { expected, upper, bound } = ofText(estimate);
        expect(upper).toBeGreaterThanOrEqual(actual);
        expect(bound).toBeGreaterThanOrEqual(upper);
        expect(bound).toBe(Buffer.byteLength(text));
        expect(upper).toBeGreaterThanOrEqual(expected);
        expect(estimate.countedUnits).toBeLessThanOrEqual(using === undefined ? 0 : 8_192);
        row.push(`${(expected / actual).toFixed(2)} ${(upper / actual).toFixed(2)}`);
      }
      if (print) console.log(`${name} ${text.length} ${label}: sampled ${row[0]}, classes ${row[1]} of the count`);
    }
  });

  it('counts every character of a text of up to 8 KB, and says so', () => {
    const text = 'Every request is estimated before it is sent. '.repeat(100);
    const estimate = estimateInput(readInput(partsOf(text, text.slice(0, 1_000))), settings, tokenizers[name]);
    expect(estimate).toMatchObject({ basis: 'exact', countedUnits: text.length + 1_000, visitedUnits: 0 });
    expect(ofText(estimate).expected).toBe(
      tokenizers[name].countTokens(text)! + tokenizers[name].countTokens(text.slice(0, 1_000))!,
    );
  });

  it('is within 8 % of the count for prose, code and every living language of the corpus', () => {
    for (const corpus of corpora) {
      for (const [label, text] of corpus) {
        if (!/^(english prose|code|living languages|language \d+)$/.test(label)) continue;
        const { expected } = ofText(estimateInput(readInput(partsOf(text)), settings, tokenizers[name]));
        const ratio = expected / tokenizers[name].countTokensOffline(text);
        expect([label, Math.abs(ratio - 1) <= 0.08, ratio]).toEqual([label, true, ratio]);
      }
    }
  });
});

describe('the work of an estimate', () => {
  it('looks at every unit of a text of up to 262,144, and sees what is hidden in a longer one', () => {
    const plain = 'the same words again '.repeat(40_000);
    expect(readInput(partsOf(plain.slice(0, 262_144))).blocks().visitedUnits).toBe(262_144);
    const hidden = `${plain.slice(0, 500_003)}${'漢字'.repeat(2_000)}${plain.slice(500_003)}`;
    const without = estimateInput(readInput(partsOf(plain)), settings, undefined);
    const within = estimateInput(readInput(partsOf(hidden)), settings, undefined);
    expect(Math.abs(within.expected - without.expected - 4_200)).toBeLessThan(1_000);
  });

  it.each([
    ['one letter', 'a'.repeat(1_000_000)],
    ['an emoji run', '😀'.repeat(250_000)],
    ['mixed scripts', 'кот猫แมว🐈cat '.repeat(80_000).slice(0, 1_000_000)],
  ])(
    'of 1 MB of %s is at most 262,144 units looked at and 4,096 counted, for any number of backends',
    (_label, text) => {
      const reading = readInput(partsOf(text));
      let counts = 0;
      const tokenizer = {
        ...tokenizers.o200k_base,
        countTokens: (t: string) => (counts++, tokenizers.o200k_base.countTokens(t)),
      };
      const first = estimateInput(reading, settings, tokenizer);
      expect(first.visitedUnits).toBeLessThanOrEqual(262_144);
      expect(first.visitedUnits).toBeGreaterThan(0.8 * 262_144);
      expect(first.countedUnits).toBeLessThanOrEqual(4_096);
      const before = counts;
      const blocks = reading.blocks();
      for (let i = 0; i < 20; i++) estimateInput(reading, settings, tokenizer);
      expect(counts).toBe(before);
      expect(reading.blocks()).toBe(blocks);
    },
  );
});

describe('the parts of a request', () => {
  const body = (more: object): ChatRequest =>
    ({ model: 'm', messages: [{ role: 'user', content: 'hello there' }], ...more }) as ChatRequest;
  const estimate = (more: object, maxTokensPerImage?: number) =>
    estimateInput(
      readInput(inputPartsOf(body(more))),
      { templateTokensPerMessage: 16, maxTokensPerImage },
      tokenizers.o200k_base,
    );

  it('are all text that reaches the model: contents, refusals, thoughts, names, calls and results of tools, tools, answer formats', () => {
    const parts = inputPartsOf(
      body({
        messages: [
          { role: 'system', content: [{ type: 'text', text: 'one', cache_control: { type: 'ephemeral' } }] },
          { role: 'user', content: 'two', name: 'ann' },
          {
            role: 'assistant',
            content: null,
            tool_calls: [{ id: 'c1', function: { name: 'f', arguments: '{"a":1}' } }],
          },
          { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }], reasoning_content: 'hm' },
          { role: 'tool', tool_call_id: 'c1', content: 'three' },
        ],
        tools: [{ type: 'function', function: { name: 'f' } }, { type: 'web_search' }],
        response_format: { type: 'json_object' },
        temperature: 1,
        metadata: { team: 'x' },
      }),
    );
    expect(parts.texts).toEqual([
      'one',
      'two',
      'ann',
      '[{"id":"c1","function":{"name":"f","arguments":"{\\"a\\":1}"}}]',
      'no',
      'hm',
      'three',
      'c1',
    ]);
    expect(parts.toolTexts).toEqual([
      '[{"type":"function","function":{"name":"f"}},{"type":"web_search"}]',
      '{"type":"json_object"}',
    ]);
    expect(parts).toMatchObject({ messages: 5, tools: 2, builtInTools: 1, images: 0, others: 0, unknownBytes: 0 });
  });

  const PLAIN = { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'x'.repeat(500) } };
  const ofParts = (...parts: object[]) => ({ messages: [{ role: 'user', content: parts }] });
  const result = (type: string, content: unknown) => ({ type, tool_use_id: 's', content });
  const PDF = { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'aGk=' } };
  const IMAGE = { type: 'image', source: { type: 'url', url: 'https://a.example/b.png' } };

  it.each<[string, object]>([
    ['a document of plain text', PLAIN],
    ['its title and context', { ...PLAIN, title: 'a title', context: 'where it is from' }],
    ['a document of texts', { type: 'document', source: { type: 'content', content: [{ type: 'text', text: 'x' }] } }],
    ['a document of one text', { type: 'document', source: { type: 'content', content: 'x' } }],
    [
      'a search result',
      { type: 'search_result', source: 'https://a.example', title: 't', content: [{ type: 'text', text: 'x' }] },
    ],
    [
      'a call of a tool of the provider',
      { type: 'server_tool_use', id: 's', name: 'web_search', input: { query: 'x' } },
    ],
    [
      'what it found',
      result('web_search_tool_result', [
        { type: 'web_search_result', url: 'https://a.example', title: 't', encrypted_content: 'RXFnZg==' },
      ]),
    ],
    [
      'what it did not find',
      result('web_search_tool_result', { type: 'web_search_tool_result_error', error_code: 'unavailable' }),
    ],
    ['a text that it fetched', result('web_fetch_tool_result', { type: 'web_fetch_result', content: PLAIN })],
    [
      'what a program printed',
      result('bash_code_execution_tool_result', { type: 'bash_code_execution_result', stdout: 'x', content: [] }),
    ],
    ['a text of a remote server', result('mcp_tool_result', [{ type: 'text', text: 'x' }])],
  ])('are text where they are %s: the bound has its bytes, and those around it', (_name, part) => {
    const { cache_control: _mark, ...rest } = { ...part, cache_control: { type: 'ephemeral' } };
    const { bound, unbounded } = estimate(ofParts({ ...part, cache_control: { type: 'ephemeral' } }));
    expect(unbounded).toBeUndefined();
    expect(bound).toBe(JSON.stringify(rest).length + 16 + 16);
  });

  it('that a search of tools found have room for the definition of the tool at every reference', () => {
    const tool = { type: 'function', function: { name: 'look', description: 'x'.repeat(700) }, defer_loading: true };
    const tools = [tool, { type: 'tool_search_tool_bm25', name: 'tool_search_tool_bm25' }];
    const reference = (tool_name: string) => ({ type: 'tool_reference', tool_name });
    const found = (...tool_references: object[]) =>
      result('tool_search_tool_result', { type: 'tool_search_tool_search_result', tool_references });
    const boundOf = (part: object): number =>
      estimate({ ...ofParts(part), tools }).bound! - JSON.stringify(part).length;
    const none = boundOf(found());
    const definition = JSON.stringify(tool).length;
    expect(boundOf(found(reference('look'), reference('look'))) - none).toBe(2 * definition);
    expect(boundOf(reference('look')) - none).toBe(definition);
    expect(boundOf(found(reference('nothing'), reference('constructor')))).toBe(none);
    const failed = { type: 'tool_search_tool_result_error', error_code: 'unavailable' };
    expect(boundOf(result('tool_search_tool_result', failed))).toBe(none);
  });

  it('that are to be cited have room for the marks of every sentence', () => {
    const data = 'a. b! c? d。\ne';
    const plain = { type: 'document', source: { type: 'text', media_type: 'text/plain', data } };
    const boundOf = (citations: object): number =>
      estimate(ofParts({ ...plain, citations })).bound! - JSON.stringify(citations).length;
    const marks = boundOf({ enabled: true }) - boundOf({ enabled: false });
    expect(marks).toBeGreaterThanOrEqual(640 + 5 * 16);
    expect(marks).toBeLessThan(640 + 10 * 16);
  });

  it.each<[string, object, RegExp]>([
    [
      'a PDF',
      PDF,
      /^messages\.0\.content\.1 is a PDF document: without maxTokensPerFile its tokens have no bound; .*source of the type text$/,
    ],
    [
      'a document that is neither text nor a PDF',
      { type: 'document', source: { type: 'base64', media_type: 'application/zip', data: 'aGk=' } },
      /is a document that is not text: nothing bounds its tokens/,
    ],
    [
      'a document that is fetched',
      { type: 'document', source: { type: 'url', url: 'https://a.example' } },
      /is a document by its address/,
    ],
    [
      'a document of pictures',
      { type: 'document', source: { type: 'content', content: [IMAGE] } },
      /is a document with a part of the type "image" in it/,
    ],
    [
      'a search result without texts',
      { type: 'search_result', content: [null] },
      /is a search result with a part without a type in it/,
    ],
    [
      'a PDF that was fetched',
      result('web_fetch_tool_result', { type: 'web_fetch_result', content: PDF }),
      /is a web_fetch_tool_result with a PDF document in it: .*leave it out/,
    ],
    [
      'a picture that was looked at',
      result('text_editor_code_execution_tool_result', {
        type: 'text_editor_code_execution_view_result',
        file_type: 'image',
        content: 'x',
      }),
      /with a part of the type "image" in it/,
    ],
    [
      'tools that were found without their names',
      result('tool_search_tool_result', { type: 'tool_search_tool_search_result', tool_references: [{ type: 'x' }] }),
      /a part of the type "tool_search_tool_result"/,
    ],
    ['a reference to nothing', { type: 'tool_reference' }, /a part of the type "tool_reference"/],
    [
      'a file',
      { type: 'file', file: { file_id: 'f' } },
      /is a file: without maxTokensPerFile .*send what it says as text/,
    ],
    ['audio', { type: 'input_audio', input_audio: {} }, /is audio: without maxTokensPerAudio its tokens have no bound/],
    ['a video', { type: 'video_url', video_url: {} }, /is a video: nothing bounds its tokens/],
    ['what nobody knows', { type: 'y'.repeat(500) }, /a part of the type "y{64}": /],
  ])('have no bound where one is %s, and it is named', (_name, part, words) => {
    const { bound, unbounded } = estimate(ofParts({ type: 'text', text: 'see' }, part), 1_000);
    expect(bound).toBeUndefined();
    expect(unbounded).toMatch(words);
  });

  it('have no bound with an image, unless it is configured', () => {
    const image = ofParts({ type: 'text', text: 'see' }, { type: 'image_url', image_url: { url: 'data:,' } });
    expect(estimate(image).unbounded).toBe(
      'messages.0.content.1 is an image: without maxTokensPerImage its tokens have no bound',
    );
    expect(estimate(image, 100).unbounded).toBeUndefined();
  });

  const bounded = (parts: object[], more: object, settings: object = {}) =>
    estimateInput(
      readInput(inputPartsOf(body({ messages: [{ role: 'user', content: parts, ...more }] }))),
      { templateTokensPerMessage: 16, ...settings },
      tokenizers.o200k_base,
    );
  const AUDIO = { type: 'input_audio', input_audio: { data: 'A'.repeat(9_000), format: 'wav' } };

  it.each<[string, object, number]>([
    ['a PDF', PDF, 0],
    ['a document by its address', { type: 'document', source: { type: 'url', url: 'https://a.example' } }, 0],
    ['a document by its file', { type: 'document', source: { type: 'file', file_id: 'f' } }, 0],
    [
      'its title and context',
      { ...PDF, title: 'a title', context: 'a context' },
      'a title'.length + 'a context'.length,
    ],
    ['a document to be cited', { ...PDF, citations: { enabled: true } }, '{"enabled":true}'.length + 640 + 16],
    ['a file with its name', { type: 'file', file: { file_data: 'x'.repeat(900), filename: 'a.pdf' } }, 'a.pdf'.length],
    ['a file of responses', { type: 'input_file', file_url: 'https://a.example', filename: 'a.pdf' }, 'a.pdf'.length],
  ])('of which one is %s, are bounded by what the backend says that a file can cost', (_name, part, text) => {
    const { bound, upper, expected } = bounded([part, part], {}, { maxTokensPerFile: 7_000 });
    expect(bound).toBe(2 * (7_000 + text) - (text > 640 ? 640 : 0) + 16 + 16);
    expect(upper).toBeGreaterThanOrEqual(2 * 7_000);
    expect(expected).toBeGreaterThanOrEqual(2 * 5_000);
    expect(expected).toBeLessThan(2 * 5_000 + 100);
    expect(bounded([part], {}, { maxTokensPerFile: 100 }).expected).toBeLessThan(200);
    expect(bounded([part], {}, { maxTokensPerImage: 9, maxTokensPerAudio: 9 }).bound).toBeUndefined();
  });

  it('of which one is audio, or refers to some, are bounded by what the backend says that audio can cost', () => {
    const said = { audio: { id: 'audio_1' } };
    const { bound, features } = bounded([AUDIO, PDF], said, { maxTokensPerAudio: 700, maxTokensPerFile: 40 });
    expect(bound).toBe(2 * 700 + 40 + '{"id":"audio_1"}'.length + 16 + 16);
    expect(features.unlearned).toBe(2 * 700 + 40);
    expect(bounded([PDF, AUDIO], {}, { maxTokensPerFile: 40 }).unbounded).toMatch(
      /^messages\.0\.content\.1 is audio: without maxTokensPerAudio/,
    );
    expect(bounded([], said).unbounded).toMatch(/^messages\.0\.audio is audio: without maxTokensPerAudio/);
    expect(bounded([{ type: 'text', text: 'a' }], {}).features).not.toHaveProperty('unlearned');
  });

  it('are named by the place in the request as the caller sent it, where that is another', () => {
    const one = (placeOf: (part: object) => string | undefined) => inputPartsOf(body(ofParts(PDF)), placeOf).firstFile;
    expect(one((part) => (part === PDF ? 'input.3.content.0' : undefined))).toMatch(/^input\.3\.content\.0 is a PDF/);
    expect(one(() => undefined)).toMatch(/^a part of the input is a PDF/);
  });

  it.each([
    ['a field that nobody listed', { guided_json: { enum: ['x'.repeat(500)] } }],
    [
      'a field of a part of text',
      { messages: [{ role: 'user', content: [{ type: 'text', text: 'a', title: 'x'.repeat(500) }] }] },
    ],
    [
      'text beside an image',
      { messages: [{ role: 'user', content: [{ type: 'image_text', text: 'x'.repeat(500) }] }] },
    ],
  ])('have a bound that covers %s', (_name, more) => {
    expect(estimate(more, 0).bound).toBeGreaterThanOrEqual(500 + 16 + 16);
  });

  it('have a bound with the template of every message, and the preamble of tools that providers add', () => {
    const plain = estimate({});
    expect(plain.bound).toBe('hello there'.length + 16 + 16);
    const tools = [{ type: 'function', function: { name: 'f' } }];
    expect(estimate({ tools }).bound! - plain.bound!).toBe(JSON.stringify(tools).length + 640 + 32);
    expect(estimate({ tools }).upper).toBeGreaterThan(plain.upper + 530);
  });

  it('have no bound where an image has no configured most, or a part is audio, video or a file', () => {
    const image = { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] };
    expect(estimate(image)).toMatchObject({ bound: undefined, features: { images: 1 } });
    expect(estimate(image, 1_600).bound).toBe(16 + 16 + 1_600);
    expect(estimate(image, 700).expected).toBe(4 + 3 + 700);
    for (const type of ['input_audio', 'file', 'video_url'])
      expect(estimate({ messages: [{ role: 'user', content: [{ type }] }] }, 1_600).bound).toBeUndefined();
  });
});
