import { describe, expect, it } from 'vitest';
import { recordedAnswers, type RecordedAnswer } from '@meritorder/testing';
import { dialectOf, totalTokensOf, usageReader, type Dialect, type UsageReading } from './index.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

type Any = Record<string, any>;

/** Recordings in no supported dialect, each with why. What is in none of these must be read. */
const NOT_SUPPORTED: readonly (readonly [string, (answer: RecordedAnswer) => boolean])[] = [
  ['the provider refused', ({ events }) => events.length === 1 && isObject(first(events)['error'])],
  [
    'a live socket: many answers on one connection',
    ({ events }) => 'setupComplete' in first(events) || first(events)['type'] === 'session.created',
  ],
  ['the creation of a cache', ({ events }) => 'expireTime' in first(events) && !('candidates' in first(events))],
  ['a ranking, billed by the search', ({ events }) => Array.isArray(first(events)['results'])],
  [
    'a count of tokens before a call',
    ({ events }) => ['input_tokens', 'totalTokens'].some((key) => typeof first(events)[key] === 'number'),
  ],
  ['no tokens are counted in it', ({ texts }) => !texts.some((text) => COUNTS_TOKENS.test(text))],
];
const COUNTS_TOKENS = /"(?!max_|chunk_)\w*(tokens|token_count|TokenCount|Tokens|eval_count|usage)"\s*:\s*[\d{]/;

/** Answers of a supported dialect that say nothing of their usage, each with why. */
const WITHOUT_USAGE: readonly (readonly [string, (answer: RecordedAnswer) => boolean])[] = [
  [
    'not generated yet',
    ({ events }) => ['queued', 'in_progress'].includes((last(events)['response'] ?? last(events))['status']),
  ],
  [
    'failed',
    ({ events }) => last(events)['type'] === 'response.failed' || events.some((e) => isObject((e as Any)?.['error'])),
  ],
  ['the prompt was blocked', ({ events }) => events.some((e) => (e as Any)?.['promptFeedback']?.blockReason)],
  [
    'the stream has no usage block in any event',
    ({ stream, texts }) => stream && !texts.some((t) => /"usage":\s*\{/.test(t)),
  ],
];

function first(events: readonly unknown[]): Any {
  return isObject(events[0]) ? (events[0] as Any) : {};
}
function last(events: readonly unknown[]): Any {
  return isObject(events.at(-1)) ? (events.at(-1) as Any) : {};
}
function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The last value of each field over all blocks of a stream, found without the code under test. */
function lastOfEach(blocks: readonly Any[]): Any {
  return Object.assign({}, ...blocks.map((b) => Object.fromEntries(Object.entries(b).filter(([, v]) => v !== null))));
}

/** An event that lost its last brace is read all the same, so the oracle mends it too. */
function mended(text: string): unknown {
  try {
    return JSON.parse(`${text}}`) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * What the vector must add up to: the provider's own total, or the rule of the dialect applied to its raw fields. Written once
 * more here, from the documentation of the providers, so that the reader does not check itself.
 */
function expectedTokens(dialect: Dialect, answer: RecordedAnswer): number | undefined {
  const events = answer.texts.map((text, i) => answer.events[i] ?? mended(text)).filter(isObject) as Any[];
  const blocks = events
    .map(
      (e) =>
        e['response']?.usage ??
        e['usage'] ??
        e['usageMetadata'] ??
        e['message']?.usage ??
        e['metadata']?.usage ??
        e['delta']?.usage ??
        e['interaction']?.usage ??
        e['x_groq']?.usage,
    )
    .filter(isObject) as Any[];
  switch (dialect) {
    case 'openai-chat':
    case 'openai-embeddings': {
      const usage = blocks.at(-1);
      if (usage) return usage['total_tokens'] ?? sumOf(usage, 'prompt_tokens', 'completion_tokens');
      return timingsOf(events);
    }
    case 'openai-responses':
      return (
        blocks.at(-1)?.['total_tokens'] ??
        (blocks.at(-1)?.['type'] === 'duration' ? 0 : sumOf(blocks.at(-1), 'input_tokens', 'output_tokens'))
      );
    case 'anthropic-messages': {
      const usage = lastOfEach(blocks);
      if (usage['input_tokens'] === undefined) return undefined;
      const compactions = ((usage['iterations'] ?? []) as Any[]).filter((i) => i['type'] === 'compaction');
      return [usage, ...compactions].reduce(
        (sum, u) =>
          sum +
          u['input_tokens'] +
          u['output_tokens'] +
          (u['cache_read_input_tokens'] ?? 0) +
          (u['cache_creation_input_tokens'] ?? 0),
        0,
      );
    }
    case 'google-gemini':
      return (
        blocks.findLast((b) => b['totalTokenCount'] !== undefined)?.['totalTokenCount'] ??
        sumOf(lastOfEach(blocks), 'promptTokenCount', 'candidatesTokenCount')
      );
    case 'google-interactions':
      return blocks.at(-1)?.['total_tokens'];
    case 'google-embeddings':
      return events[0]!['predictions'].reduce((sum: number, p: Any) => sum + p['embeddings'].statistics.token_count, 0);
    case 'bedrock-converse':
      return blocks.at(-1)?.['totalTokens'];
    case 'cohere': {
      const billed = (blocks.at(-1) ?? events[0]!['meta'])?.['billed_units'];
      return billed && (billed['input_tokens'] ?? 0) + (billed['output_tokens'] ?? 0);
    }
    case 'ollama':
      return (last(events)['prompt_eval_count'] ?? 0) + last(events)['eval_count'];
    case 'llama-completion':
      return timingsOf(events);
  }
}

function timingsOf(events: readonly Any[]): number | undefined {
  return sumOf(events.map((e) => e['timings']).findLast(isObject), 'prompt_n', 'cache_n', 'predicted_n');
}

/** Of those that are there; undefined without the first. */
function sumOf(block: Any | undefined, first: string, ...others: string[]): number | undefined {
  if (typeof block?.[first] !== 'number') return undefined;
  return others.reduce((sum, name) => sum + ((block[name] as number | undefined) ?? 0), block[first] as number);
}

function read(dialect: Dialect, answer: RecordedAnswer, times = 1): UsageReading {
  const reader = usageReader(dialect);
  for (let n = 0; n < times; n++) for (const text of answer.texts) reader.feedText(text);
  return reader.read();
}

/** What ends a stream. A message that starts and stops and says nothing in between has not said what it used. */
const ENDS =
  /"(finish_reason|finishReason)":\s*"\w|"choices":\s*\[\]|"message_delta"|"response\.(completed|incomplete|failed)"|"message-end"|"interaction\.completed"|"metadata":|"done":\s*true/;

const reasonOf = (list: typeof NOT_SUPPORTED, answer: RecordedAnswer) => list.find(([, holds]) => holds(answer))?.[0];

describe.skipIf(!data)('recorded answers of all providers (MERITORDER_TEST_DATA)', { timeout: 60_000 }, () => {
  const { answers, files, otherFiles } = data
    ? recordedAnswers(`${data}/responses`)
    : { answers: [], files: 0, otherFiles: [] };
  const rows = answers.map((answer) => ({ answer, dialect: dialectOf({ path: answer.path, sample: answer.events }) }));
  const supported = rows.filter((row) => row.dialect) as { answer: RecordedAnswer; dialect: Dialect }[];
  const others = rows.filter((row) => !row.dialect).map(({ answer }) => answer);

  it('every recording is read, or listed with why it is not an answer', () => {
    expect(otherFiles.filter((name) => !name.endsWith('LICENSE'))).toEqual([]);
    expect(new Set(answers.map((a) => a.file)).size).toBe(files);
    expect(others.filter((answer) => !reasonOf(NOT_SUPPORTED, answer)).map((answer) => answer.name)).toEqual([]);
    expect(others.length + supported.length).toBe(answers.length);
    if (process.env['MERITORDER_PRINT'] === '1') {
      const table: Record<string, number> = { files, answers: answers.length };
      for (const { dialect, answer } of rows) {
        const name = dialect
          ? `${dialect} ${answer.stream ? 'stream' : 'body'}`
          : `not read: ${reasonOf(NOT_SUPPORTED, answer)}`;
        table[name] = (table[name] ?? 0) + 1;
      }
      console.table(table);
    }
  });

  it('every answer that states its usage has its vector, and the others say why they have none', () => {
    for (const { answer, dialect } of supported) {
      const { usage } = read(dialect, answer);
      const states = expectedTokens(dialect, answer) !== undefined;
      expect(usage !== undefined, answer.name).toBe(states);
      if (!states) expect(reasonOf(WITHOUT_USAGE, answer), answer.name).toBeDefined();
    }
  });

  it("every vector adds up to the provider's total, or to its dialect's rule where none is sent", () => {
    const rules: Record<string, number> = {};
    for (const { answer, dialect } of supported) {
      const { usage, totalRule, notes } = read(dialect, answer);
      if (!usage) continue;
      rules[totalRule] = (rules[totalRule] ?? 0) + 1;
      expect(totalRule, answer.name).not.toBe('mismatch');
      const cache = usage.cacheReadTokens + usage.cacheWrite5mTokens + usage.cacheWrite1hTokens;
      const leftOut = { 'leaves-out-cache': cache, 'leaves-out-reasoning': usage.reasoningTokens ?? 0 } as Any;
      expect(totalTokensOf(usage) - (leftOut[totalRule] ?? 0), answer.name).toBe(expectedTokens(dialect, answer));
      expect(
        notes.filter((note) => note.startsWith('corrupt')),
        answer.name,
      ).toEqual([]);
    }
    expect(rules['sums']).toBeGreaterThan(0);
    if (process.env['MERITORDER_PRINT'] === '1') console.table(rules);
  });

  it('a stream that is heard twice counts once (pitfall 15)', () => {
    for (const { answer, dialect } of supported)
      expect(read(dialect, answer, 2).usage, answer.name).toEqual(read(dialect, answer).usage);
  });

  it('the usage of an answer that ended is its last word, and that of one cut before its last block is not', () => {
    let cut = 0;
    for (const { answer, dialect } of supported) {
      const whole = read(dialect, answer);
      if (!whole.usage) continue;
      expect(whole.complete, answer.name).toBe(!answer.stream || ENDS.test(answer.texts.join('\n')));
      if (!answer.stream || answer.texts.length < 3) continue;
      const lastBlock = answer.texts.findLastIndex((t) => /"(usage|usageMetadata|timings)":\s*\{/.test(t));
      const finish = answer.texts.findIndex((t) => /"(finish_reason|finishReason)":\s*"/.test(t));
      const end = finish >= 0 && finish < lastBlock ? finish : lastBlock;
      if (end <= 0) continue;
      const early = read(dialect, { ...answer, texts: answer.texts.slice(0, end) });
      expect(early.complete, answer.name).toBe(false);
      cut++;
    }
    expect(cut).toBeGreaterThan(0);
  });

  it('the served model and tier and the id of the call are those the answer names', () => {
    for (const { answer, dialect } of supported) {
      const reading = read(dialect, answer);
      const named = [...answer.events]
        .map((e) => e as Any | undefined)
        .map(
          (e) =>
            e?.['response']?.model ??
            e?.['message']?.model ??
            e?.['interaction']?.model ??
            e?.['model'] ??
            e?.['modelVersion'],
        )
        .filter((name) => typeof name === 'string' && name !== '');
      const fellBack = answer.texts.some((t) => t.includes('fallback_message'));
      if (named.length > 0 && !fellBack) expect(reading.servedModel, answer.name).toBe(named.at(-1));
      const text = answer.texts.join('\n');
      if (/ON_DEMAND_FLEX|"serviceTier":\s*"flex"/i.test(text)) expect(reading.servedTier, answer.name).toBe('flex');
      const tiers = [...text.matchAll(/"(?:service_tier|serviceTier)":\s*"([a-z_]+)"/g)].map((m) => m[1]!);
      const tier = {
        default: 'standard',
        auto: 'standard',
        standard: 'standard',
        priority: 'priority',
        flex: 'flex',
        on_demand: 'standard',
      }[tiers.at(-1) ?? ''];
      if (tier) expect(reading.servedTier, answer.name).toBe(tier);
    }
  });
});
