import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXAMPLES, type PriceVersion } from '@meritorder/contracts';
import { sha256Hex } from '@meritorder/kernel';
import { proposalsFor, versionOf } from '@meritorder/pricing-core';
import { config, nothingListed, POLICY, requestsAt } from '../fixture.for-tests.js';
import type { QualityTable } from '../run/scenario.js';
import { simulate } from '../run/simulate.js';
import { rowsOfCsv } from './from-csv.js';
import { rowsOfRecords } from './from-records.js';
import { generated, logNormalSample, stretched } from './stretch.js';
import { workloadOf } from './workload.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

describe('a trace in CSV', () => {
  it('has times, tokens, attributes, routes and wishes by the names of its columns', () => {
    const workload = workloadOf(
      rowsOfCsv(
        'TIMESTAMP,ContextTokens,GeneratedTokens,tier,department,route,max_cost_usd\n' +
          '2026-09-01 00:00:01.5000000,10,5,gold,sales,any,0.01\n2026-09-01 00:00:00,20,6,,,,\n',
      ),
    );
    expect([...workload.atMs]).toEqual([Date.parse('2026-09-01T00:00:00Z'), Date.parse('2026-09-01T00:00:01.500Z')]);
    expect([...workload.inputTokens]).toEqual([20, 10]);
    expect(workload.profiles[workload.profile[1]!]).toEqual({
      org: undefined,
      route: 'any',
      attributes: { tier: 'gold', department: 'sales' },
      wishes: { max_cost_usd: '0.01' },
    });
  });

  it.each<[string, string, RegExp]>([
    ['columns that are not there', 'a,b\n1,2', /line 1: needs the columns TIMESTAMP/],
    [
      'a column that is none, as a slip in its name makes it',
      'TIMESTAMP,ContextTokens,GeneratedTokens,departement\n1,1,2,sales',
      /line 1: there is no column "departement"; rename it or leave it out\. Columns are .*department/,
    ],
    [
      'two columns of one meaning',
      'TIMESTAMP,time,ContextTokens,GeneratedTokens\n1,1,1,2',
      /line 1: timestamp and time say the same/,
    ],
    [
      'a cell beyond its columns',
      'TIMESTAMP,ContextTokens,GeneratedTokens,team\n1,1,2,"a,b"',
      /line 2: has 5 cells for 4 columns/,
    ],
    ['a time that is none', 'TIMESTAMP,ContextTokens,GeneratedTokens\nsoon,1,2', /line 2: "soon" is not a time/],
    [
      'a day that is none',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2026-02-31 00:00:00,1,2',
      /line 2: "2026-02-31 00:00:00" is not a time: there is no day 2026-02-31$/,
    ],
    [
      'a day without a time',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2026-02-01,1,2',
      /line 2: "2026-02-01" is not a time: it is not written like 2026-11-01T00:00:00Z$/,
    ],
    [
      'milliseconds',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n1790000000000,1,2',
      /line 2: "1790000000000" is after the year 2100: it looks like milliseconds/,
    ],
    [
      'a time beyond all',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n99999999999999999999,1,2',
      /line 2: "99999999999999999999" is after the year 2100$/,
    ],
    ['tokens that are none', 'TIMESTAMP,ContextTokens,GeneratedTokens\n1,-1,2', /line 2: "-1" is not a number/],
    [
      'a wish that is none',
      'TIMESTAMP,ContextTokens,GeneratedTokens,min_quality\n1,1,2,7',
      /line 2: the wishes min_quality/,
    ],
  ])('with %s is refused with the line', (_name, text, reason) => {
    expect(() => rowsOfCsv(text)).toThrow(reason);
  });

  it('as BurstGPT has it is read, its further columns left aside', () => {
    const text =
      'Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n' +
      '5,,1.2,ChatGPT,472,18,490,Conversation log';
    expect(rowsOfCsv(text)).toMatchObject([{ atMs: 5_000, inputTokens: 472, profile: { route: 'ChatGPT' } }]);
  });

  if (!data) it.skip('of production requests (MERITORDER_TEST_DATA is not set)');
  else
    it('of production requests has their published totals', () => {
      const workload = workloadOf(rowsOfCsv(readFileSync(join(data, 'traces/azure-code-2023.csv'), 'utf8')));
      const sum = (of: Int32Array): number => of.reduce((a, b) => a + b, 0);
      expect([workload.atMs.length, sum(workload.inputTokens), sum(workload.outputTokens)]).toEqual([
        8_819, 18_059_974, 245_896,
      ]);
    });
});

describe('a period of the ledger', () => {
  const record = EXAMPLES.events['routing.decision-made.v1'];

  it('goes through another configuration with the quality that each record knew', () => {
    const [first] = record.candidates;
    const numbers = { ...NUMBERS, quality: 0.99 };
    const known = { ...record, route: 'any', candidates: [{ ...first!, backend: 'plain', numbers }] };
    const { key: _key, ...attribution } = record.attribution;
    const line = JSON.stringify({ record: { ...known, attribution }, usage: { ...USAGE, outputTokens: 50 } });
    const workload = workloadOf(rowsOfRecords(`${line}\n`));
    const route =
      'routes: [{ id: any, backends: [dear, plain], objective: value, usdPerQualityPoint: "1", exploration: false }]\n';
    const outcome = simulate(config(route), workload, { seed: 1 }, nothingListed);
    expect(outcome).toMatchObject({
      answeredBy: { plain: 1 },
      quality: 0.99,
      cashNanos: String(1_000_000 + 50 * 4_000),
    });
  });

  it('has the quality of a table where one is given, whatever its records knew', () => {
    const { key: _key, ...attribution } = record.attribution;
    const candidate = (backend: string, quality: number) => ({
      ...record.candidates[0]!,
      backend,
      numbers: { ...NUMBERS, quality, qualityVariance: 0.01 },
    });
    const candidates = [candidate('dear', 0.6), candidate('plain', 0.9)];
    const of = (more: object, quality: QualityTable) => {
      const line = { record: { ...record, route: 'any', attribution, candidates, ...more }, usage: USAGE };
      const route =
        'routes: [{ id: any, backends: [dear, plain], objective: value, usdPerQualityPoint: "1", exploration: false }]\n';
      const workload = workloadOf(rowsOfRecords(JSON.stringify(line)));
      return simulate(config(route), workload, { seed: 1, quality }, nothingListed);
    };
    expect(of({}, {})).toMatchObject({ answeredBy: { plain: 1 }, quality: 0.9 });
    expect(of({}, { plain: { '*': 0.5 } })).toMatchObject({ answeredBy: { dear: 1 }, quality: 0.6 });
    expect(of({}, { plain: { 'task=other': 0.5 } })).toMatchObject({ answeredBy: { plain: 1 }, quality: 0.9 });
    // A substitute is held to what the table says of the backend that is named.
    const named = { route: 'dear', wishes: { allow_substitution: true } };
    expect(of(named, { dear: { '*': 0.95 } }).answeredBy).toEqual({ dear: 1 });
  });

  it('sends nothing to who could not serve it, hears what the caller wished for, and has embeddings without output', () => {
    const { key: _key, ...attribution } = record.attribution;
    const [first] = record.candidates;
    const of = (backend: string, more: object) => ({ ...first!, backend, ...more });
    const lineOf = (more: object): string =>
      JSON.stringify({
        record: { ...record, route: 'any', attribution, ...more },
        usage: { ...USAGE, outputTokens: 50 },
      });
    const rest = `  - { id: vectors, kind: cloud, provider: v, model: v, kinds: [embeddings], baseUrl: "http://127.0.0.1:1/v1", contextTokens: 10, maxOutputTokens: 1,
      prices: [{ effectiveFrom: 2026-01-01T00:00:00Z, source: test, cash: { inputUsdPerMillionTokens: "1", outputUsdPerMillionTokens: "0" } }] }
routes: [{ id: any, backends: [dear, plain, vectors], exploration: false }]\n`;
    const answeredBy = (...lines: string[]) =>
      simulate(config(rest), workloadOf(rowsOfRecords(lines.join('\n'))), { seed: 1 }, nothingListed).answeredBy;
    const known = [of('dear', { numbers: { ...NUMBERS, quality: 0.9 } })];
    const lacksTools = { numbers: undefined, excluded: 'lacks tools', exclusionCode: 'unable' };
    const dearer = { numbers: undefined, excluded: 'is not for the tier x', exclusionCode: 'not-allowed' };
    expect(answeredBy(lineOf({ candidates: [...known, of('plain', lacksTools)] }))).toEqual({ dear: 1 });
    // What another policy may allow is not out.
    expect(answeredBy(lineOf({ candidates: [...known, of('plain', dearer)] }))).toEqual({ plain: 1 });
    expect(answeredBy(lineOf({ candidates: known, wishes: { min_quality: 0.85 } }))).toEqual({ dear: 1 });
    // Its context is for one of many inputs, whose sizes nobody knows any more.
    expect(answeredBy(`\uFEFF${lineOf({ kind: 'embeddings', maxTokens: 0, candidates: [] })}`)).toEqual({ vectors: 1 });
  });

  const { key: _none, ...attribution } = record.attribution;
  const once = (rest: string, more: object, outputTokens = 50) => {
    const line = { record: { ...record, attribution, candidates: [], ...more }, usage: { ...USAGE, outputTokens } };
    return simulate(config(rest), workloadOf(rowsOfRecords(JSON.stringify(line))), { seed: 1 }, nothingListed);
  };

  describe('with the usage that was booked', () => {
    const cash = `inputUsdPerMillionTokens: "3", cacheReadUsdPerMillionTokens: "0.3", cacheWrite5mUsdPerMillionTokens: "3.75", cacheWrite1hUsdPerMillionTokens: "6", outputUsdPerMillionTokens: "15", webSearchUsdPerThousand: "10"`;
    const cached = (id: string, more = '') =>
      `  - { id: ${id}, kind: cloud, provider: ${id}, model: m, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 100000, maxOutputTokens: 1000${more},
      prices: [{ effectiveFrom: 2026-01-01T00:00:00Z, source: test, cash: { ${cash} } }] }\n`;
    const costOf = (used: object, { own = cached('one'), route = 'one', more = {} } = {}): number => {
      const usage = { ...USAGE, outputTokens: 100, ...used };
      const line = { record: { ...record, attribution, route, choice: 'one', candidates: [], ...more }, usage };
      const workload = workloadOf(rowsOfRecords(JSON.stringify(line)));
      return Number(simulate(config('', own), workload, { seed: 1 }, nothingListed).cashNanos);
    };
    const output = 100 * 15_000;

    it('costs what its cache reads, cache writes and units cost', () => {
      expect(costOf({ inputTokens: 100, cacheReadTokens: 900 })).toBe(100 * 3_000 + 900 * 300 + output);
      const writes = { inputTokens: 100, cacheWrite5mTokens: 5_000, cacheWrite1hTokens: 4_900 };
      expect(costOf(writes)).toBe(100 * 3_000 + 5_000 * 3_750 + 4_900 * 6_000 + output);
      expect(costOf({ units: { webSearches: 2 } })).toBe(1_000 * 3_000 + output + 20_000_000);
    });

    it('has the same reads, writes and units elsewhere, at the prices of there', () => {
      const elsewhere = { own: cached('other'), route: 'other' };
      const used = { inputTokens: 100, cacheReadTokens: 900, cacheWrite5mTokens: 50, units: { webSearches: 1 } };
      expect(costOf(used, elsewhere)).toBe(costOf(used));
      // Without a price of its own what is read from a cache costs as much as what is not, and a search nothing.
      expect(costOf({ inputTokens: 100, cacheReadTokens: 900, units: { webSearches: 1 } }, { route: 'plain' })).toBe(
        1_000 * 1_000 + 100 * 4_000,
      );
    });

    it('costs what its provider said where that is what is booked, and its answer is as long', () => {
      const own = cached('one', ', statedCharge: true') + cached('two', ', statedCharge: true');
      const used = { statedPicos: '7000000000' };
      expect(costOf(used, { own })).toBe(7_000_000);
      const byTokens = 1_000 * 3_000 + output;
      expect(costOf(used)).toBe(byTokens);
      expect(costOf(used, { own, route: 'two' })).toBe(byTokens);
      expect(costOf(used, { own, more: { maxTokens: 50 } })).toBe(1_000 * 3_000 + 50 * 15_000);
    });
  });

  describe('with the price versions that the books had', () => {
    const at = record.decidedAt;
    const priced = (output: string, effectiveFrom: string): PriceVersion => {
      const of = config('');
      const cash = { ...of.backends[1]!.prices[0]!.cash, outputUsdPerMillionTokens: output };
      const backend = { ...of.backends[1]!, prices: [{ effectiveFrom, source: 'test', cash }] };
      const [proposal] = proposalsFor(backend, of, nothingListed);
      return versionOf(proposal!, effectiveFrom, sha256Hex);
    };
    const configured = priced('4', '2026-01-01T00:00:00.000Z');
    const proposed = priced('3', '2026-02-01T00:00:00.000Z');
    const plain = { ...record.candidates[0]!, backend: 'plain', numbers: { ...NUMBERS, quality: 0.7 } };
    const costOf = (prices: PriceVersion[] | undefined, of = config(''), { id }: PriceVersion = proposed) => {
      const candidates = [{ ...plain, priceVersion: id }];
      const line = {
        record: { ...record, attribution, route: 'plain', candidates },
        usage: { ...USAGE, outputTokens: 50 },
        prices,
      };
      const workload = workloadOf(rowsOfRecords(JSON.stringify(line)));
      const { cashNanos, pricedOtherwise } = simulate(of, workload, { seed: 1 }, nothingListed);
      return [Number(cashNanos), pricedOtherwise];
    };
    const input = 1_000 * 1_000;

    it('costs what was taken in beside the configuration, and what the configuration says where nothing was', () => {
      expect(Date.parse(at)).toBeGreaterThan(Date.parse(proposed.effectiveFrom));
      expect(costOf([configured, proposed])).toEqual([input + 50 * 3_000, {}]);
      expect(costOf([configured], undefined, configured)).toEqual([input + 50 * 4_000, {}]);
      expect(costOf(undefined)).toEqual([input + 50 * 4_000, {}]);
    });

    it('costs what a configuration asks for that they did not have, and says that it is otherwise than then', () => {
      const cheaper = config('');
      const [price] = cheaper.backends[1]!.prices;
      cheaper.backends[1]!.prices = [{ ...price!, cash: { ...price!.cash, outputUsdPerMillionTokens: '2' } }];
      expect(costOf([configured, proposed], cheaper)).toEqual([input + 50 * 2_000, { plain: 1 }]);
    });

    it('takes the version of the date, a later one from then on', () => {
      const later = priced('1', new Date(Date.parse(at) + 1).toISOString());
      expect(costOf([configured, proposed, later])).toEqual([input + 50 * 3_000, {}]);
      const since = priced('1', new Date(at).toISOString());
      expect(costOf([configured, proposed, since], undefined, since)).toEqual([input + 50 * 1_000, {}]);
    });
  });

  describe('of jobs', () => {
    const batched = `  - { id: batched, kind: cloud, provider: q, model: c, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 100000, maxOutputTokens: 1000, batch: { completionSeconds: 60 },
      prices: [{ effectiveFrom: 2026-01-01T00:00:00Z, source: test, cash: { inputUsdPerMillionTokens: "1", outputUsdPerMillionTokens: "4", serviceTiers: { batch: { percentOfStandard: "50" } } } }] }
accounts: [{ provider: q, requestsPerMinute: 1 }]
routes: [{ id: any, backends: [plain, batched], exploration: false }]\n`;
    const after = (seconds: number) => new Date(Date.parse(record.decidedAt) + seconds * 1_000).toISOString();
    const jobs = (count: number, more: object) => {
      const of = { ...record, attribution, route: 'any', candidates: [], wishes: undefined, ...more };
      const line = JSON.stringify({ record: of, usage: { ...USAGE, outputTokens: 50 } });
      const workload = workloadOf(rowsOfRecords(Array.from({ length: count }, () => line).join('\n')));
      return simulate(config(batched), workload, { seed: 1 }, nothingListed);
    };

    it('is asked in batches at their price, beside the limit of the account, as long as its deadline allows', () => {
      const inBatch = { answeredBy: { batched: 5 }, rejected: {}, cashNanos: String((5 * 1_200_000) / 2) };
      expect(jobs(5, { isJob: true, jobDeadlineAt: after(600) })).toMatchObject({
        ...inBatch,
        pastDeadline: 0,
        latencySeconds: { p50: 60 },
      });
      expect(jobs(1, { isJob: true, jobDeadlineAt: after(60) }).answeredBy).toEqual({ batched: 1 });
      expect(jobs(1, { isJob: true, jobDeadlineAt: after(59) }).answeredBy).toEqual({ plain: 1 });
      expect(jobs(1, { isJob: true }).answeredBy).toEqual({ plain: 1 });
    });
  });

  it('has the tokens of all choices that were asked for, each as long as it may be', () => {
    const two = { route: 'plain', maxTokens: 100, choices: 2 };
    expect(once('', two, 180).cashNanos).toBe(String(1_000_000 + 180 * 4_000));
    expect(once('', { ...two, choices: undefined }, 180).cashNanos).toBe(String(1_000_000 + 100 * 4_000));
    // Of one choice it may cost $0.0014, of two $0.0018.
    const capped = {
      ...two,
      inputTokensBound: 1_000,
      outputTokensExpected: 60,
      wishes: { max_cost_usd: '0.0016' },
    };
    expect(once('', capped, 180)).toMatchObject({ cashNanos: String(1_000_000 + 2 * 75 * 4_000) });
  });

  it('is answered by others of as good a quality where its caller named a backend and allowed that', () => {
    const routes = (org = '') => `routes: [{ id: any, backends: [dear, plain], exploration: false }]\n${org}`;
    const wishes = { allow_substitution: true };
    const knows = (quality: number) => [
      { ...record.candidates[0]!, backend: 'dear', numbers: { ...NUMBERS, quality: 0.9 } },
      { ...record.candidates[0]!, backend: 'plain', numbers: { ...NUMBERS, quality } },
    ];
    const answeredBy = (more: object) => once(routes(), { route: 'dear', ...more }).answeredBy;
    expect(answeredBy({ wishes, candidates: knows(0.89) })).toEqual({ plain: 1 });
    expect(answeredBy({ wishes, candidates: knows(0.87) })).toEqual({ dear: 1 });
    expect(answeredBy({ candidates: knows(0.89) })).toEqual({ dear: 1 });
    // As they are configured: 0.9 and 0.7.
    expect(answeredBy({ wishes })).toEqual({ dear: 1 });
    expect(once(routes(), { route: 'plain', wishes }).answeredBy).toEqual({ plain: 1 });
  });

  describe('under the objective margin', () => {
    const route = (more = '') =>
      `routes: [{ id: any, backends: [dear, plain], objective: margin, exploration: false${more} }]\n`;
    const policyThen = (objective: string, revenueUsd: number) => ({ ...POLICY, objective, revenueUsd });
    const knows = (conversions: Record<string, object>) =>
      Object.entries(conversions).map(([backend, more]) => ({
        ...record.candidates[0]!,
        backend,
        numbers: { ...NUMBERS, quality: backend === 'dear' ? 0.9 : 0.7, ...more },
      }));
    const learned = knows({
      dear: { conversion: 0.05, conversionVariance: 0, priorConversion: 0.03 },
      plain: { conversion: 0.02, conversionVariance: 0, priorConversion: 0.03 },
    });
    const of = (rest: string, more: object) => once(rest, { route: 'any', ...more });

    it('has the revenue that was known then, and where none was, the one that is configured', () => {
      const then = { candidates: learned, policy: policyThen('margin', 5) };
      expect(of(route(), then)).toMatchObject({ answeredBy: { dear: 1 }, valueUsd: 0.25, conversionsUnlearned: 0 });
      expect(of(route(', revenueUsd: "0.10"'), then)).toMatchObject({ answeredBy: { dear: 1 }, valueUsd: 0.25 });
      for (const policy of [policyThen('margin', 0), policyThen('value', 0)]) {
        const none = { candidates: learned, policy };
        expect(of(route(), none)).toMatchObject({ answeredBy: { plain: 1 }, valueUsd: 0 });
        expect(of(route(', revenueUsd: "4"'), none)).toMatchObject({ answeredBy: { dear: 1 }, valueUsd: 0.2 });
      }
    });

    it('takes what was configured then for no knowledge, and a learned 0 for some', () => {
      const expected = (expectedUsd: number, from: string) => ({
        candidates: learned,
        policy: { ...policyThen('margin', expectedUsd), revenue: { expectedUsd, from, configuredUsd: 5 } },
      });
      const configured = expected(5, 'configured');
      expect(of(route(', revenueUsd: "0.10"'), configured)).toMatchObject({ answeredBy: { plain: 1 } });
      expect(of(route(', revenueUsd: "4"'), expected(0, 'learned'))).toMatchObject({ answeredBy: { plain: 1 } });
      expect(of(route(', revenueUsd: "0.10"'), expected(5, 'learned'))).toMatchObject({ answeredBy: { dear: 1 } });
    });

    it('heeds what the caller stated as the router does: it lowers what a conversion brings, and does not raise it', () => {
      const stated = (value_usd: string) => ({
        candidates: learned,
        policy: { ...policyThen('margin', 5), revenue: { expectedUsd: 5, from: 'learned' } },
        wishes: { value_usd },
      });
      expect(of(route(), stated('0.000001'))).toMatchObject({ answeredBy: { plain: 1 } });
      expect(of(route(), stated('9'))).toMatchObject({ answeredBy: { dear: 1 }, valueUsd: 0.25 });
    });

    it('takes no quality for a conversion: what is not on record is expected as the learner expects it before any', () => {
      const unknown = { candidates: knows({ dear: {}, plain: {} }) };
      // By quality the dear one would bring $1 more.
      const outcome = of(route(', revenueUsd: "5"'), unknown);
      expect(outcome).toMatchObject({ answeredBy: { plain: 1 }, conversionsUnlearned: 1 });
      expect(outcome.valueUsd).toBeCloseTo(5 * 0.02, 12);
      // Of a backend that was no candidate as of one without requests of its own.
      const added = { candidates: learned.slice(1), policy: policyThen('margin', 5) };
      const news = of(route(), added);
      expect(news).toMatchObject({ answeredBy: { dear: 1 }, conversionsUnlearned: 1 });
      expect(news.valueUsd).toBeCloseTo(5 * 0.03, 12);
    });
  });

  it('has a ceiling of the first token where its answer streamed, or nobody knows', () => {
    const soon = 'routes: [{ id: any, backends: [plain], maxFirstTokenMs: 1, exploration: false }]\n';
    expect(once(soon, { route: 'any', streams: false }).answered).toBe(1);
    expect(once(soon, { route: 'any', streams: true }).rejected).toEqual({ latency_ceiling: 1 });
    expect(once(soon, { route: 'any' }).rejected).toEqual({ latency_ceiling: 1 });
  });

  it('leaves later attempts out and refuses what is no record, with the line', () => {
    const again = JSON.stringify({ record: { ...record, attemptNumber: 2 } });
    expect(rowsOfRecords(`${again}\n${JSON.stringify(record)}`)).toHaveLength(1);
    expect(() => rowsOfRecords('\n{"record": {}}')).toThrow(/line 2: is not a decision record: requestId/);
  });
});

const NUMBERS = {
  qualityVariance: 0,
  priorQuality: 0.7,
  outcomes: 40,
  marginalUsd: 0,
  shadowCash: 0,
  shadowFull: 0,
  gpuSeconds: 0,
  usdPerGpuSecond: 0,
  lateSeconds: 0,
};
const USAGE = {
  inputTokens: 1_000,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 0,
  requests: 1,
};

describe('a workload', () => {
  it('is repeated one round after the other, slower or faster, from an instant on', () => {
    const once = requestsAt([0, 10, 20]);
    const twice = stretched(once, { repeat: 2, speed: 0.5, fromMs: 1_000 });
    expect([...twice.atMs]).toEqual([1_000, 21_000, 41_000, 61_000, 81_000, 101_000]);
    expect([...stretched(once, {}).atMs]).toEqual([...once.atMs]);
  });

  it('that is generated has exactly as many requests, in order, within its period, and by day and week their shape', () => {
    const fromMs = Date.parse('2026-11-02T00:00:00Z');
    const toMs = fromMs + 28 * 86_400_000;
    const sample = logNormalSample({ inputTokens: 1_000, outputTokens: 200 }, 1);
    const { atMs, inputTokens } = generated(sample, { requests: 100_000, fromMs, toMs, seed: 4 });
    const hours = new Float64Array(24);
    const days = new Float64Array(7);
    atMs.forEach((at, i) => {
      if (i > 0 && at < atMs[i - 1]!) throw new Error(`request ${i} came before the one before it`);
      hours[Math.floor(at / 3_600_000) % 24]! += 1;
      days[Math.floor((at - fromMs) / 86_400_000) % 7]! += 1;
    });
    expect(atMs).toHaveLength(100_000);
    expect(atMs[0]).toBeGreaterThanOrEqual(fromMs);
    expect(atMs[99_999]).toBeLessThan(toMs);
    expect(hours[20]! / hours[4]!).toBeCloseTo(146 / 63, 0);
    expect(days[0]! / days[6]!).toBeCloseTo(109 / 91, 1);
    const mean = inputTokens.reduce((a, b) => a + b, 0) / inputTokens.length;
    expect(Math.abs(mean / 1_000 - 1)).toBeLessThan(0.05);
  });
});
