import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { loadConfig, type MeritorderConfig } from '@meritorder/contracts';
import { bundledCatalogue, readCatalogue, type Catalogue } from '@meritorder/price-catalogue';
import {
  DEFAULT_INPUT_BOUND_FACTOR,
  differenceOf,
  generated,
  leftOut,
  logNormalSample,
  rowsOfCsv,
  rowsOfRecords,
  simulate,
  stretched,
  unmatchedQuality,
  workloadOf,
  type QualityTable,
  type SimulationSettings,
  type Workload,
} from '@meritorder/simulation-core';
import { z } from 'zod';
import { instant } from '../instant.js';
import { reportText, type SimulatedPolicy, type SimulationReport } from './report.js';

interface Options {
  config: string[];
  trace?: string;
  requests?: number;
  days: number;
  meanInput: number;
  meanOutput: number;
  from?: number;
  repeat?: number;
  speed?: number;
  seed: number;
  route?: string;
  maxOutput?: number;
  inputBound: number;
  queue: number;
  quality?: string;
  catalogue?: string;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  meritorder simulate --trace azure.csv --config meritorder.yaml --config candidate.yaml
      what yesterday's requests would have made of another configuration
  meritorder simulate --requests 1000000 --config meritorder.yaml --config candidate.yaml
      a month of a million requests, with the shape of days and weeks; --trace draws their lengths from a trace
  meritorder decisions export --from 2026-11-01 > november.jsonl; meritorder simulate --trace november.jsonl --config meritorder.yaml
      a period of the ledger: JSON lines with decision records, each with the quality it knew of every candidate

A trace is CSV with TIMESTAMP, ContextTokens, GeneratedTokens, and columns such as org, department, feature, tier, route;
a column that it does not know is refused.
Everything is worked out here: no server is asked, and the same input and seed give the same bytes.
The last line is all of it as one JSON object, money in integer nano-USD.`;

/** `meritorder simulate`: a workload through one or more configurations. */
export function simulateCommand(program: Command): void {
  program
    .command('simulate')
    .description('what a trace, a period of the ledger or a made-up month would cost under one or more configurations')
    .requiredOption('--config <file...>', 'meritorder.yaml; the first is the baseline (again for each)')
    .option('--trace <file>', 'requests: CSV, or JSON lines with decision records')
    .option('--requests <n>', 'so many requests at random times, shaped by hour and weekday', whole(1))
    .option('--days <n>', 'of --requests: over how many days', above0, 30)
    .option('--mean-input <tokens>', 'of --requests without --trace', whole(1), 1_000)
    .option('--mean-output <tokens>', 'of --requests without --trace', whole(1), 200)
    .option('--from <instant>', 'when the first request comes; default: as in the trace, or this month', instant)
    .option('--repeat <n>', 'the trace so often, one after the other', whole(1))
    .option('--speed <factor>', 'above 1 the trace in less time, below 1 in more', above0)
    .option('--seed <n>', 'of everything random', whole(0), 1)
    .option('--route <id>', 'of requests that name none; default: the first of each configuration')
    .option('--max-output <tokens>', 'max_tokens of requests; default: as many as a backend gives', whole(1))
    .option(
      '--input-bound <factor>',
      'what holds count for an input token: 1 where tokens are counted exactly, else its bytes',
      above0,
      DEFAULT_INPUT_BOUND_FACTOR,
    )
    .option('--queue <n>', 'requests that wait before a full replica of own hardware', whole(0), 0)
    .option(
      '--quality <file>',
      'JSON: backend to {"task=sql": 0.8, "feature=chat": 0.7, "*": 0.75}; counts before records',
    )
    .option('--catalogue <file>', 'prices where the configuration has none; default: those that came with this version')
    .option('--json', 'only the JSON object')
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => {
      const report = simulation(options, Date.now());
      if (!options.json) console.log(`${reportText(report)}\n`);
      console.log(JSON.stringify(report));
    });
}

/** @throws Error with one line for people */
export function simulation(options: Options, nowMs: number): SimulationReport {
  const workload = workloadFrom(options, nowMs);
  const catalogue = catalogueFrom(options.catalogue);
  const quality = options.quality === undefined ? undefined : qualityFrom(options.quality);
  const settings: SimulationSettings = {
    seed: options.seed,
    route: options.route,
    maxTokens: options.maxOutput,
    inputBoundFactor: options.inputBound,
    waitingPlaces: options.queue,
    quality,
  };
  const names = namesOf(options.config);
  const configs = options.config.map((file) => withRoute(loadConfig(file), options.route, file));
  const policies = configs.map((config, i): SimulatedPolicy => {
    const outcome = simulate(config, workload, settings, (name) => catalogue.entriesOf(name));
    return { policy: names[i]!, config: options.config[i]!, ...outcome };
  });
  const [baseline] = policies as [SimulatedPolicy];
  return {
    requests: workload.atMs.length,
    from: new Date(workload.atMs[0]!).toISOString(),
    to: new Date(workload.atMs[workload.atMs.length - 1]!).toISOString(),
    inputTokens: sum(workload.inputTokens),
    outputTokens: sum(workload.outputTokens),
    seed: options.seed,
    notes: [
      ...(options.requests === undefined ? notesOn(workload) : []),
      ...(quality === undefined ? [] : unmatchedQuality(quality, configs, workload)),
      ...configs.flatMap((config, i) => leftOut(config, workload).map((note) => `${names[i]}: ${note}`)),
    ],
    policies,
    differences: policies.slice(1).map((policy) => ({
      policy: policy.policy,
      baseline: baseline.policy,
      ...differenceOf(policy, baseline),
    })),
  };
}

function workloadFrom(options: Options, nowMs: number): Workload {
  const { trace, requests, repeat, speed, days, seed, from } = options;
  const read = trace === undefined ? undefined : readTrace(trace);
  if (requests !== undefined) {
    if (repeat !== undefined || speed !== undefined)
      throw new Error('--requests makes its own times; --repeat and --speed are for a trace as it is');
    const fromMs = from ?? startOfMonth(nowMs);
    const sample = read ?? logNormalSample({ inputTokens: options.meanInput, outputTokens: options.meanOutput }, seed);
    return generated(sample, { requests, seed, fromMs, toMs: fromMs + days * 86_400_000 });
  }
  if (!read) throw new Error('name the requests: --trace <file>, or --requests <n>');
  return stretched(read, { repeat, speed, fromMs: from });
}

function readTrace(file: string): Workload {
  const text = readFileSync(file, 'utf8');
  try {
    return workloadOf(text.trimStart().startsWith('{') ? rowsOfRecords(text) : rowsOfCsv(text));
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`, { cause: error });
  }
}

/** What a period of the ledger does not say, so that it is taken for nothing. */
function notesOn({ recorded, books }: Workload): string[] {
  if (recorded === undefined) return [];
  if (books?.opening === undefined)
    return [
      `the trace does not say what budgets had spent before it${books ? '' : ', nor which prices the books had'}, or is put at another time: budgets begin at 0${books ? '' : ', and prices are as configured'}; \`decisions export\` says it with the first line.`,
    ];
  const { windowsLeftOut } = books.opening;
  return windowsLeftOut === undefined
    ? []
    : [`${windowsLeftOut} windows of budgets that had spent least before the period begin at 0.`];
}

/** A slip in --route would otherwise be a report in which every request is refused. */
function withRoute(config: MeritorderConfig, route: string | undefined, file: string): MeritorderConfig {
  if (route === undefined || [...config.routes, ...config.backends].some(({ id }) => id === route)) return config;
  const known = config.routes.map(({ id }) => id).join(', ');
  throw new Error(`--route: ${file} has no route or backend "${route}"; its routes are: ${known || 'none'}`);
}

function catalogueFrom(file: string | undefined): Catalogue {
  return file === undefined
    ? bundledCatalogue('as bundled')
    : readCatalogue(readFileSync(file, 'utf8'), basename(file));
}

const Quality = z.record(z.string(), z.record(z.string(), z.number().min(0).max(1)));

function qualityFrom(file: string): QualityTable {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} cannot be read as JSON: ${(error as Error).message}`, { cause: error });
  }
  const parsed = Quality.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new Error(`${file} is not a table of qualities: ${path.join('.') || 'the file'}: ${message}`);
}

/** Files by their names; where two have the same, as they were given. */
function namesOf(files: readonly string[]): string[] {
  const short = files.map((file) => basename(file).replace(/\.ya?ml$/, ''));
  return short.map((name, i) => (short.indexOf(name) === short.lastIndexOf(name) ? name : `${i + 1}: ${files[i]}`));
}

function startOfMonth(nowMs: number): number {
  const now = new Date(nowMs);
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1);
}

function sum(values: Int32Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function whole(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,9}$/.test(text) || value < least) throw new InvalidArgumentError(`a whole number from ${least}`);
    return value;
  };
}

function above0(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1e6)) throw new InvalidArgumentError('a number above 0');
  return value;
}
