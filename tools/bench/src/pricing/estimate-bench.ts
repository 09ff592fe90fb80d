import { performance } from 'node:perf_hooks';
import { EXAMPLES, type ChatRequest, type PriceVersion } from '@meritorder/contracts';
import {
  emptyLearned,
  estimateCost,
  estimateInput,
  estimateOutput,
  forecastRequest,
  inputPartsOf,
  learnFromUsage,
  learnOutput,
  readInput,
  unlearnedLengths,
  type ForecastBackend,
  type Learned,
} from '@meritorder/estimate-core';
import { adversarialTexts } from '@meritorder/estimate-core/adversarial-texts';
import { seededRandom } from '@meritorder/kernel';
import { loadTokenizer, tokenizerOf, type GuardedTokenizer } from '@meritorder/tokenizers';
import { readTrace } from '../replay/trace.js';

export interface EstimateReport {
  /** A prompt of 1,000 tokens: tokens, cache, length of the answer, cost and bound at one backend. */
  estimateP50Ms: number;
  estimateP99Ms: number;
  /** For how long the slowest text of 1 MB of the corpus blocks the event loop, at one backend. */
  adversarialWorstMs: number;
  /** Texts of the corpus, by size and tokenizer and with and without it, and those whose margin and bound cover the count. */
  corpusCases: number;
  corpusCovered: number;
}

const PROMPTS = 3_000;
const WARM_UP = 1_000;
const PROMPT_TOKENS = 1_000;
const MEGABYTE = 1_000_000;
const ROUNDS = 3;
/** In one reading of the CPU time, which some systems count in ticks of 4 ms. */
const REPEATS = 8;
const AT_MS = Date.parse('2026-11-24T10:00:00Z');

const price: PriceVersion = EXAMPLES.events['price.version-published.v1'].version;
const backend = (model: string): ForecastBackend => ({
  id: model.replaceAll('.', '-'),
  kind: 'cloud',
  provider: 'openai',
  model,
  templateTokensPerMessage: 16,
  maxOutputTokens: 16_000,
});
const COUNTED = backend('gpt-4.1');
const BACKENDS = [COUNTED, backend('gpt-4-turbo'), backend('closed-model')];

/** What comes before a request is sent: its time, and whether the margins hold on the corpus of adversarial texts. */
export async function benchEstimate(): Promise<EstimateReport> {
  const tokenizers = new Map<string, GuardedTokenizer>();
  for (const { model } of BACKENDS) {
    const name = tokenizerOf(model);
    if (name) tokenizers.set(model, await loadTokenizer(name));
  }
  const learned = emptyLearned({ tokenizerOf: (model) => tokenizers.get(model), sharesLearning: () => false });
  teach(learned);
  const prompts = promptsOf(tokenizers.get(COUNTED.model)!);
  const one = timesOf(learned, prompts, [COUNTED]);
  const three = timesOf(learned, prompts, BACKENDS);
  console.log(`an estimate of a prompt of ${PROMPT_TOKENS} tokens, ms`);
  console.table({ 'one backend': percentiles(one), 'three backends, two tokenizers': percentiles(three) });
  const slowest = slowestTexts(learned);
  console.log('the slowest texts of 1 MB, ms of the event loop (CPU time, median of 3)');
  console.table(slowest.slice(0, 5));
  const { corpusCases, corpusCovered } = coverage([...tokenizers.values()]);
  return {
    estimateP50Ms: round(percentile(one, 0.5)),
    estimateP99Ms: round(percentile(one, 0.99)),
    adversarialWorstMs: round(slowest[0]!.ms),
    corpusCases,
    corpusCovered,
  };
}

/** The whole of an estimate, as a router makes it for each backend of a route. */
function estimate(learned: Learned, body: ChatRequest, backends: readonly ForecastBackend[]): bigint {
  const forecast = forecastRequest(learned, { body, org: 'acme', route: 'auto', task: 'answer' }, AT_MS);
  let nanos = 0n;
  for (const each of backends) {
    const { expected, boundCashNanos } = estimateCost({
      forecast: forecast.of(each),
      price,
      maxTokens: 1_000,
      allowed: { choices: 1 },
      atMs: AT_MS,
    });
    nanos += expected.cashNanos + (boundCashNanos ?? 0n);
  }
  forecast.sentTo(backends[0]!, AT_MS);
  return nanos;
}

/** Some hundred answers, so that keys, ratios and caches are as they are after a day. */
function teach(learned: Learned): void {
  const random = seededRandom(3);
  for (let i = 0; i < 600; i++) {
    const each = BACKENDS[i % BACKENDS.length]!;
    const body = {
      model: 'auto',
      messages: [{ role: 'user', content: `Question ${i}: what is it worth?` }],
    } as ChatRequest;
    const request = { body, org: 'acme', route: 'auto', task: 'answer' };
    const expected = { ...forecastRequest(learned, request, AT_MS).expectation(each, 1_000), route: 'auto' };
    learnFromUsage(learned, {
      ...request,
      backend: each.id,
      model: each.model,
      expected: { ...expected, maxTokens: 1_000, choices: 1 },
      inputTokens: expected.inputTokens,
      cacheReadTokens: 0,
      outputTokens: 1 + Math.floor(400 * random()),
      reported: true,
      cut: false,
    });
  }
}

/** Different prompts of ordinary text and code, each of about 1,000 tokens in three messages. */
function promptsOf(tokenizer: GuardedTokenizer): ChatRequest[] {
  const corpus = adversarialTexts(40_000);
  const sources = ['english prose', 'code', 'language 13'].map((name) => corpus.get(name)!);
  const random = seededRandom(1);
  const piece = (tokens: number): string => {
    const source = sources[Math.floor(sources.length * random())]!;
    const from = Math.floor((source.length - 8_000) * random());
    const units = Math.round((tokens * 400) / tokenizer.countTokens(source.slice(from, from + 400))!);
    return source.slice(from, from + units);
  };
  return Array.from({ length: PROMPTS }, (_, i) => ({
    model: 'auto',
    messages: [
      { role: 'system', content: piece(0.3 * PROMPT_TOKENS) },
      { role: 'user', content: piece(0.5 * PROMPT_TOKENS) },
      { role: 'user', content: `${i} ${piece(0.2 * PROMPT_TOKENS)}` },
    ],
  })) as ChatRequest[];
}

function timesOf(learned: Learned, prompts: readonly ChatRequest[], backends: readonly ForecastBackend[]): number[] {
  let sink = 0n;
  for (const body of prompts.slice(0, WARM_UP)) sink += estimate(learned, body, backends);
  const times = prompts.map((body) => {
    const startMs = performance.now();
    sink += estimate(learned, body, backends);
    return performance.now() - startMs;
  });
  if (sink === 0n) throw new Error('nothing was estimated');
  return times.toSorted((a, b) => a - b);
}

/** The rounds go over all texts in turn, so that a slow spell of the machine does not meet one text alone. */
function slowestTexts(learned: Learned): { text: string; at: string; ms: number }[] {
  const cases = [...adversarialTexts(MEGABYTE)].flatMap(([text, units]) => {
    const content = Buffer.from(units).subarray(0, MEGABYTE).toString();
    const body = { model: 'auto', messages: [{ role: 'user', content }] } as ChatRequest;
    return BACKENDS.map((each) => ({ text, body, each, times: [] as number[] }));
  });
  for (let i = 0; i < ROUNDS; i++) {
    for (const { body, each, times } of cases) {
      const before = process.threadCpuUsage();
      for (let k = 0; k < REPEATS; k++) estimate(learned, body, [each]);
      const { user, system } = process.threadCpuUsage(before);
      times.push((user + system) / 1_000 / REPEATS);
    }
  }
  return cases
    .map(({ text, each, times }) => ({
      text,
      at: each.model,
      ms: round(times.toSorted((x, y) => x - y)[Math.floor(ROUNDS / 2)]!),
    }))
    .toSorted((x, y) => y.ms - x.ms);
}

/** Texts just above what is counted whole, longer ones, and the named ones of 1 MB. */
function coverage(tokenizers: readonly GuardedTokenizer[]): { corpusCases: number; corpusCovered: number } {
  const named = ['one letter', 'emoji runs', 'one emoji', 'living languages', 'mixture 1', 'mixture 2'];
  const texts = [
    ...adversarialTexts(8_500),
    ...adversarialTexts(60_000),
    ...[...adversarialTexts(MEGABYTE)].filter(([name]) => named.includes(name)),
  ];
  let corpusCases = 0;
  let corpusCovered = 0;
  for (const [name, content] of texts) {
    const reading = readInput(inputPartsOf({ model: 'm', messages: [{ role: 'user', content }] }));
    for (const tokenizer of tokenizers) {
      const actual = tokenizer.countTokensOffline(content);
      for (const using of [tokenizer, undefined]) {
        // Without the template's own margin: the text alone must be covered.
        const { upper, bound } = estimateInput(reading, { templateTokensPerMessage: 0 }, using);
        const covered = upper - 16 >= actual && (bound ?? 0) - 16 >= actual;
        corpusCases++;
        if (covered) corpusCovered++;
        else console.log(`not covered: ${name}, ${content.length} units, ${tokenizer.name}`);
      }
    }
  }
  return { corpusCases, corpusCovered };
}

export interface OutputCoverage {
  trace: string;
  judged: number;
  /** Percent of the held-back second half no longer than stated, with what was learned so far, 64 requests late. */
  p95Percent: number;
  p99Percent: number;
  /** Tokens held for each one generated. */
  holdP95: number;
  holdP99: number;
  hold4096: number;
}

/** How often learned p95 and p99 of the length of answers hold on the second half of a trace, and what that saves to hold. */
export function benchOutputCoverage(file: string): OutputCoverage {
  const answers = readTrace(file).filter((request) => request.outputTokens > 0);
  const half = Math.floor(answers.length / 2);
  const key = unlearnedLengths();
  const waiting: Parameters<typeof learnOutput>[1][] = [];
  const sums = { p95: 0, p99: 0, holdP95: 0, holdP99: 0, actual: 0 };
  answers.forEach(({ outputTokens: tokens }, i) => {
    const stated = estimateOutput([key], 1_000_000);
    waiting.push({ tokens, maxTokens: 1_000_000, stated });
    if (waiting.length > 64) learnOutput([key], waiting.shift()!);
    if (i < half) return;
    if (tokens <= stated.p95) sums.p95++;
    if (tokens <= stated.p99) sums.p99++;
    sums.holdP95 += stated.p95;
    sums.holdP99 += stated.p99;
    sums.actual += tokens;
  });
  const judged = answers.length - half;
  return {
    trace: file,
    judged,
    p95Percent: round((100 * sums.p95) / judged),
    p99Percent: round((100 * sums.p99) / judged),
    holdP95: round(sums.holdP95 / sums.actual),
    holdP99: round(sums.holdP99 / sums.actual),
    hold4096: round((4_096 * judged) / sums.actual),
  };
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

function percentiles(sorted: readonly number[]): Record<string, number> {
  return {
    p50: round(percentile(sorted, 0.5)),
    p90: round(percentile(sorted, 0.9)),
    p99: round(percentile(sorted, 0.99)),
  };
}

function round(value: number): number {
  return Number(value.toFixed(3));
}
