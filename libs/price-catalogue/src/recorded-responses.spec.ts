import { calcPrice, extractUsage, findProvider, type Provider } from '@pydantic/genai-prices';
import { describe, expect, it } from 'vitest';
import type { RateCard } from '@meritorder/contracts';
import { rate } from '@meritorder/pricing-core';
import { recordedAnswers, type RecordedAnswer } from '@meritorder/testing';
import { dialectOf, usageReader, type Dialect, type UsageReading } from '@meritorder/usage-core';
import { bundledCatalogue } from './catalogue.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

const print = process.env['MERITORDER_PRINT'] === '1';

type Any = Record<string, any>;
/** Counts as the catalogue's calculator takes them: inclusive, by its own names. */
type TheirUsage = Record<string, number>;

/** When all prices are taken: after the last recording, so that every model of them is in the book. */
const AT = new Date('2026-11-15T12:00:00Z');

interface Row {
  answer: RecordedAnswer;
  dialect: Dialect;
  reading: UsageReading;
  /** The body, or the last of a stream's events that counts, with the model: what the calculator can read. */
  body: Any;
  /** The usage block in it. */
  block: Any;
}

function rowOf(answer: RecordedAnswer): Row | undefined {
  const dialect = dialectOf({ path: answer.path, sample: answer.events });
  if (!dialect) return undefined;
  const reader = usageReader(dialect, { provider: providerOf(answer)?.id });
  for (const text of answer.texts) reader.feedText(text);
  const reading = reader.read();
  if (!reading.usage) return undefined;
  const events = answer.texts.map((text, i) => answer.events[i] ?? mended(text)).filter(isObject) as Any[];
  const body = countingBody(dialect, events);
  const block = body['usage'] ?? body['usageMetadata'] ?? body['meta'] ?? body;
  return { answer, dialect, reading, body, block };
}

/** An event that lost its last brace. */
function mended(text: string): unknown {
  try {
    return JSON.parse(`${text}}`) as unknown;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function countingBody(dialect: Dialect, events: Any[]): Any {
  const inner = events.map((e): Any => {
    const holder = e['response'] ?? e['interaction'] ?? e['metadata'] ?? e['delta'];
    return typeof holder === 'object' && holder?.usage ? holder : e;
  });
  if (dialect === 'anthropic-messages') {
    const messages = events.map((e) => (e['message'] ?? e) as Any);
    const usage = Object.assign({}, ...messages.map((m) => m['usage'] ?? {})) as Any;
    return { model: messages.find((m) => m['model'])?.['model'], usage };
  }
  const counts = inner.findLast(
    (e) => e['usage'] || e['usageMetadata']?.totalTokenCount !== undefined || e['x_groq']?.usage,
  );
  return counts ?? inner.at(-1)!;
}

const PROVIDER_OF_FOLDER: Record<string, string> = {
  'amazon-bedrock': 'aws',
  'google-vertex': 'google',
  xai: 'x-ai',
};

function providerOf(answer: RecordedAnswer): Provider | undefined {
  if (answer.host) return findProvider({ providerApiUrl: `https://${answer.host}${answer.path ?? ''}` });
  for (const folder of answer.file.split('/')) {
    const found = findProvider({ providerId: PROVIDER_OF_FOLDER[folder] ?? folder });
    if (found) return found;
  }
  return undefined;
}

/** The calculator's own extractor for a wire: the provider's, else that of whoever the wire is from. */
function extracted({ answer, dialect, body }: Row): { usage: TheirUsage; by: string } | undefined {
  const tries: [Provider | undefined, string][] = [];
  const own = providerOf(answer);
  const [flavours, home] = EXTRACTORS[dialect] ?? [[], ''];
  for (const flavour of flavours) tries.push([own, flavour]);
  for (const flavour of flavours) tries.push([findProvider({ providerId: home }), flavour]);
  for (const [provider, flavour] of tries) {
    if (!provider?.extractors?.some((e) => e.api_flavor === flavour)) continue;
    try {
      // The calculator wants a model in the body, which some wires do not name.
      const { usage } = extractUsage(provider, { model: 'm', modelVersion: 'm', ...body }, flavour);
      return { usage: usage as TheirUsage, by: `${provider.id} ${flavour}` };
    } catch {
      // Not the shape that this extractor is for.
    }
  }
  return undefined;
}

const EXTRACTORS: Partial<Record<Dialect, [string[], string]>> = {
  'openai-chat': [['chat', 'default'], 'openai'],
  'openai-embeddings': [['embeddings'], 'openai'],
  'openai-responses': [['responses'], 'openai'],
  'anthropic-messages': [['anthropic', 'default'], 'anthropic'],
  'google-gemini': [['default'], 'google'],
  'bedrock-converse': [['default'], 'aws'],
  cohere: [['default', 'embeddings'], 'cohere'],
};

/** Wires that the calculator cannot read: their counts by hand, by the documentation of the provider. */
const BY_HAND: Partial<Record<Dialect, (block: Any, body: Any) => TheirUsage>> = {
  'google-interactions': (u) => ({
    input_tokens: u['total_input_tokens'] + u['total_tool_use_tokens'],
    cache_read_tokens: u['total_cached_tokens'],
    output_tokens: u['total_output_tokens'] + u['total_thought_tokens'],
    output_reasoning_tokens: u['total_thought_tokens'],
  }),
  'google-embeddings': (_u, body) => ({
    input_tokens: body['predictions'].reduce((sum: number, p: Any) => sum + p['embeddings'].statistics.token_count, 0),
  }),
  'openai-responses': (u) => ({ audio_seconds: u['seconds'] }),
  'openai-embeddings': (u) => ({ input_tokens: u['total_tokens'] }),
  'openai-chat': (_u, { timings }) => timed(timings),
  'llama-completion': (_u, { timings }) => timed(timings),
  ollama: (u) => ({ input_tokens: u['prompt_eval_count'] ?? 0, output_tokens: u['eval_count'] ?? 0 }),
};

function timed(timings: Any): TheirUsage {
  return {
    input_tokens: timings['prompt_n'] + timings['cache_n'],
    cache_read_tokens: timings['cache_n'],
    output_tokens: timings['predicted_n'],
  };
}

/**
 * What the calculator does not know of a wire, one kind each. `correct` gives it what it left out, taken from the raw answer; a
 * kind explains a difference only if the calculator then comes to the same price.
 */
const EXPLANATIONS: readonly { why: string; correct(usage: TheirUsage, row: Row): TheirUsage | undefined }[] = [
  {
    why: 'reasoning that lies outside the completion, as the total shows',
    correct(usage, { dialect, block }) {
      const reasoning = usage['output_reasoning_tokens'] ?? 0;
      const outside = block['total_tokens'] === usage['input_tokens']! + usage['output_tokens']! + reasoning;
      if (dialect !== 'openai-chat' || reasoning === 0 || !outside) return undefined;
      return { ...usage, output_tokens: usage['output_tokens']! + reasoning };
    },
  },
  {
    why: 'tokens that only the total has (thoughts on the OpenAI wire of Gemini)',
    correct(usage, { dialect, block }) {
      if (dialect !== 'openai-chat') return undefined;
      const gap = block['total_tokens'] - usage['input_tokens']! - usage['output_tokens']!;
      return gap > 0 ? { ...usage, output_tokens: usage['output_tokens']! + gap } : undefined;
    },
  },
  {
    why: 'compactions, which Anthropic bills beside the message',
    correct(usage, { dialect, block }) {
      const compactions = ((block['iterations'] ?? []) as Any[]).filter((i) => i['type'] === 'compaction');
      if (dialect !== 'anthropic-messages' || compactions.length === 0) return undefined;
      const corrected = { ...usage };
      const add = (name: string, count: number | undefined) =>
        (corrected[name] = (corrected[name] ?? 0) + (count ?? 0));
      for (const c of compactions) {
        const read = c['cache_read_input_tokens'] as number | undefined;
        const written = c['cache_creation_input_tokens'] as number | undefined;
        add('input_tokens', c['input_tokens'] + (read ?? 0) + (written ?? 0));
        add('cache_read_tokens', read);
        add('cache_write_tokens', written);
        add('cache_write_5m_tokens', c['cache_creation']?.ephemeral_5m_input_tokens);
        add('cache_write_1h_tokens', c['cache_creation']?.ephemeral_1h_input_tokens);
        add('output_tokens', c['output_tokens']);
      }
      return corrected;
    },
  },
  {
    why: 'cache writes that grew after their split by life was sent',
    correct(usage) {
      const {
        cache_write_tokens: sum = 0,
        cache_write_5m_tokens: minutes = 0,
        cache_write_1h_tokens: hour = 0,
      } = usage;
      if (sum === minutes + hour || minutes + hour === 0) return undefined;
      const corrected = { ...usage, cache_write_1h_tokens: minutes === 0 ? sum : Math.min(hour, sum) };
      return { ...corrected, cache_write_5m_tokens: sum - corrected.cache_write_1h_tokens };
    },
  },
  {
    why: 'searches, which OpenAI and xAI bill by the call and list in the output or beside the tokens',
    correct(usage, { dialect, body, block }) {
      if (dialect !== 'openai-responses') return undefined;
      const items = (body['output'] ?? []) as Any[];
      const stated = block['server_side_tool_usage_details'] as Any | undefined;
      const web = stated
        ? stated['web_search_calls'] + stated['x_search_calls']
        : items.filter((i) => i['type'] === 'web_search_call' && (i['action']?.type ?? 'search') === 'search').length;
      const files = stated
        ? stated['file_search_calls'] + stated['document_search_calls']
        : items.filter((i) => i['type'] === 'file_search_call').length;
      return web + files > 0 ? { ...usage, web_searches: web, storage_searches: files } : undefined;
    },
  },
  {
    why: 'searches that Google bills by the prompt (to Gemini 2.5) or by the query (from Gemini 3)',
    correct(usage, { dialect, answer, reading }) {
      if (dialect !== 'google-gemini') return undefined;
      const queries = answer.events.map((e) => {
        const candidates = ((e as Any)['candidates'] ?? []) as Any[];
        return new Set(
          candidates.flatMap((c) => (c['groundingMetadata']?.webSearchQueries ?? []) as string[]).filter(Boolean),
        ).size;
      });
      const most = Math.max(0, ...queries);
      if (most === 0) return undefined;
      return { ...usage, web_searches: /gemini-[12]\b/.test(reading.servedModel ?? '') ? 1 : most };
    },
  },
  {
    why: 'cached tokens under a name of the provider (Moonshot)',
    correct(usage, { dialect, block }) {
      const cached = block['cached_tokens'];
      if (dialect !== 'openai-chat' || typeof cached !== 'number' || usage['cache_read_tokens']) return undefined;
      return { ...usage, cache_read_tokens: cached };
    },
  },
  {
    why: 'seconds of audio, which Mistral bills beside the tokens',
    correct(usage, { block }) {
      const seconds = block['prompt_audio_seconds'];
      return typeof seconds === 'number' && seconds > 0 ? { ...usage, audio_seconds: seconds } : undefined;
    },
  },
  {
    why: 'images and audio that OpenAI counts inside the tokens',
    correct(usage, { dialect, block }) {
      if (!dialect.startsWith('openai')) return undefined;
      const inside = block['prompt_tokens_details'] ?? block['input_tokens_details'] ?? block['input_token_details'];
      const made =
        block['completion_tokens_details'] ?? block['output_tokens_details'] ?? block['output_token_details'];
      return {
        ...usage,
        // Cached tokens whose kind nobody says are text.
        cache_image_read_tokens: 0,
        cache_audio_read_tokens: 0,
        input_image_tokens: inside?.image_tokens ?? 0,
        input_audio_tokens: inside?.audio_tokens ?? 0,
        output_image_tokens: made?.image_tokens ?? 0,
        output_audio_tokens: made?.audio_tokens ?? 0,
      };
    },
  },
];

/** A price list in which no two counts cost the same, so that a token in the wrong place is seen whatever the model. */
const EVERYTHING: Provider = {
  id: 'everything',
  name: 'Everything',
  api_pattern: 'everything',
  models: [
    {
      id: 'm',
      match: { equals: 'm' },
      prices: {
        input_mtok: 3,
        cache_read_mtok: 0.31,
        cache_write_mtok: 3.7,
        cache_write_1h_mtok: 6.1,
        output_mtok: 17,
        output_reasoning_mtok: 19,
        input_audio_mtok: 41,
        cache_audio_read_mtok: 4.3,
        input_image_mtok: 47,
        cache_image_read_mtok: 4.9,
        input_video_mtok: 53,
        cache_video_read_mtok: 5.9,
        output_audio_mtok: 61,
        output_image_mtok: 67,
        web_searches_kcount: 71,
        storage_searches_kcount: 73,
        output_citation_mtok: 79,
        audio_hours: 8.3,
        // Combinations that the calculator wants a price of and no answer has.
        cache_audio_write_mtok: 83,
        cache_audio_write_1h_mtok: 89,
        cache_image_write_mtok: 97,
        cache_image_write_1h_mtok: 101,
        cache_video_write_mtok: 103,
        cache_video_write_1h_mtok: 107,
        output_audio_reasoning_mtok: 109,
        output_image_reasoning_mtok: 113,
        output_audio_citation_mtok: 127,
        output_image_citation_mtok: 131,
      },
    },
  ],
};

/** The same list as rates. */
const EVERYTHING_CARD: RateCard = {
  inputPicosPerToken: '3000000',
  cacheReadPicosPerToken: '310000',
  cacheWrite5mPicosPerToken: '3700000',
  cacheWrite1hPicosPerToken: '6100000',
  outputPicosPerToken: '17000000',
  reasoningPicosPerToken: '19000000',
  requestPicos: '0',
  unitPicos: {
    inputAudioTokens: '41000000',
    cacheReadAudioTokens: '4300000',
    inputImageTokens: '47000000',
    cacheReadImageTokens: '4900000',
    inputVideoTokens: '53000000',
    cacheReadVideoTokens: '5900000',
    outputAudioTokens: '61000000',
    outputImageTokens: '67000000',
    webSearches: '71000000000',
    fileSearches: '73000000000',
    citationTokens: '79000000',
    audioMilliseconds: '8300000000000',
  },
};

interface Verdict {
  equal: boolean;
  explained: string[];
  ours: bigint;
  theirs: number;
}

/** The two prices of a row, in nano-USD, with whatever it takes to make the calculator see what was billed. */
function compare(row: Row, their: TheirUsage, card: RateCard, provider: Provider, model: string): Verdict | undefined {
  const calculate = (usage: TheirUsage): number | undefined => {
    try {
      const result = calcPrice(usage, model, { provider, timestamp: AT });
      return result ? result.total_price * 1e9 : undefined;
    } catch {
      // Parts that are larger than the whole: it did not see what lies outside.
      return Number.NaN;
    }
  };
  const theirs = calculate(their);
  if (theirs === undefined) return undefined;
  const ours = rate({ cash: card, full: card }, row.reading.usage!, { atMs: AT.getTime() }).cashNanos;
  // Half a nano-USD is ours to round; the rest is the calculator's floating point.
  const agrees = (nanos: number): boolean => Math.abs(Number(ours) - nanos) <= 0.51 + nanos * 1e-9;
  let corrected = their;
  const explained: string[] = [];
  for (const { why, correct } of agrees(theirs) ? [] : EXPLANATIONS) {
    const usage = correct(corrected, row);
    if (!usage || calculate(usage) === calculate(corrected)) continue;
    corrected = usage;
    explained.push(why);
  }
  return { equal: agrees(calculate(corrected)!), explained, ours, theirs };
}

describe.skipIf(!data)("recorded answers at the catalogue's prices (MERITORDER_TEST_DATA)", { timeout: 60_000 }, () => {
  const rows = data
    ? recordedAnswers(`${data}/responses`)
        .answers.map(rowOf)
        .filter((row) => row !== undefined)
    : [];
  const bundled = bundledCatalogue('0.1.8');
  const cardOf = (provider: Provider, model: string) =>
    bundled
      .entriesOf(`${provider.id}/${model}`)
      .filter((e) => e.from === null || e.from <= AT.toISOString())
      .at(-1)?.card;
  const countsOf = (row: Row) => extracted(row)?.usage ?? BY_HAND[row.dialect]?.(row.block, row.body);
  const table: Record<string, number> = {};
  const count = (name: string) => (table[name] = (table[name] ?? 0) + 1);

  it('every answer that states its usage is priced as the calculator does, or the difference is explained', () => {
    const unexplained: string[] = [];
    const differences: object[] = [];
    for (const row of rows) {
      const { answer, reading } = row;
      const their = countsOf(row);
      expect(their, answer.name).toBeDefined();
      const model = reading.servedModel ?? answer.requestedModel ?? /models\/([^:]+):/.exec(answer.path ?? '')?.[1];
      const provider = providerOf(answer) ?? (model === undefined ? undefined : findProvider({ modelId: model }));
      const card = provider && model ? cardOf(provider, model) : undefined;
      const verdict = card ? compare(row, their!, card, provider!, model!) : undefined;
      if (!verdict) count(model ? 'the catalogue has no price of the model' : 'the answer names no model');
      else if (!verdict.equal)
        unexplained.push(`${answer.name}: ${verdict.ours} against ${verdict.theirs} ${JSON.stringify(their)}`);
      else if (verdict.explained.length === 0) count('equal');
      for (const why of verdict?.equal ? verdict.explained : []) {
        count(`explained: ${why}`);
        differences.push({ answer: answer.name, nanos: verdict!.ours, calculator: Math.round(verdict!.theirs), why });
      }
    }
    expect(unexplained).toEqual([]);
    expect(table['equal']).toBeGreaterThan(0);
    if (print) console.table(differences);
    if (print) console.table(table);
  });

  it('and so is every one of them at a price list in which no two counts cost the same', () => {
    const unexplained: string[] = [];
    const reasons: Record<string, number> = {};
    for (const row of rows) {
      const their = countsOf(row)!;
      const verdict = compare(row, their, EVERYTHING_CARD, EVERYTHING, 'm');
      expect(verdict, row.answer.name).toBeDefined();
      if (!verdict!.equal)
        unexplained.push(
          `${row.answer.name}: ${verdict!.ours} against ${verdict!.theirs} ${JSON.stringify(their)} ${JSON.stringify(row.reading.usage)}`,
        );
      for (const why of verdict!.explained.length > 0 ? verdict!.explained : ['equal'])
        reasons[why] = (reasons[why] ?? 0) + 1;
    }
    expect(unexplained).toEqual([]);
    if (print) console.table(reasons);
  });

  it('where the provider says what it charged for tokens alone, that is what we charge', () => {
    const TICKS_PER_NANO = 10;
    const charged = rows.filter(
      ({ block }) =>
        typeof block['cost_in_usd_ticks'] === 'number' &&
        !(block['num_server_side_tools_used'] > 0) &&
        !(block['num_sources_used'] > 0),
    );
    for (const { answer, reading, block } of charged) {
      const card = cardOf(findProvider({ providerId: 'x-ai' })!, reading.servedModel!);
      expect(card, answer.name).toBeDefined();
      const { cashNanos } = rate({ cash: card!, full: card! }, reading.usage!, { atMs: AT.getTime() });
      expect(
        Math.abs(Number(cashNanos) - block['cost_in_usd_ticks'] / TICKS_PER_NANO),
        answer.name,
      ).toBeLessThanOrEqual(0.5);
    }
    if (print) console.log(`${charged.length} answers name their own charge`);
  });
});
