import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import {
  EstimateReply,
  subjects,
  type EstimateLine,
  type EstimateRequest,
  type EstimateRow,
} from '@meritorder/contracts';
import { nanosToUsd } from '@meritorder/kernel';
import { costOfTokens, estimateRequestCost } from '@meritorder/pricing-core';
import type { NatsConnection } from '@nats-io/transport-node';
import { readRates } from './rates.js';
import { table } from './table.js';

interface Options {
  model: string;
  rates?: string;
  text?: string;
  file?: string;
  inputTokens?: string;
  maxOutput: string;
  org: string;
  task?: string;
  department?: string;
  backends?: string;
  json?: boolean;
}

/** Runs something as the operator with the inbox of an org, which is the only one that is answered. */
type AskAs = <T>(org: string, run: (nats: NatsConnection) => Promise<T>) => Promise<T>;

/** `meritorder estimate`: what a request would cost, from a table of rates, or from the running system. */
export function estimateCommand(program: Command, askAs: AskAs): void {
  program
    .command('estimate')
    .description(
      'what a request would cost: at each backend of the running system, or from a table of rates per 1K tokens',
    )
    .requiredOption('--model <name>', 'route or backend; with --rates a model of the table')
    .option('--text <text>', 'the input')
    .option('--file <file>', 'a file with the input, or with a whole request as JSON')
    .requiredOption('--max-output <n>', 'most output tokens; with --input-tokens the output tokens')
    .option('--org <id>', 'on whose behalf the running system is asked', 'acme')
    .option('--task <task>', 'metadata.task')
    .option('--department <name>', 'metadata.department')
    .option('--backends <ids>', 'compare these, by comma, in place of those of the route')
    .option('--json', 'the whole reply')
    .option('--rates <file>', 'JSON: model to {provider, inputUsdPer1k, outputUsdPer1k}; "default" serves the rest')
    .option('--input-tokens <n>', 'with --rates: tokens of the input, counted elsewhere')
    .action(async (options: Options) => {
      if (options.rates !== undefined) return console.log(JSON.stringify(fromRates(options, options.rates), null, 2));
      const reply = await askAs(options.org, (nats) => askRouter(nats, options));
      console.log(options.json ? JSON.stringify(reply, null, 2) : comparison(reply.rows));
    });
}

function fromRates(options: Options, file: string): unknown {
  const rates = readRates(file);
  return options.inputTokens === undefined
    ? estimateRequestCost(options.model, inputOf(options), Number(options.maxOutput), rates)
    : costOfTokens(options.model, Number(options.inputTokens), Number(options.maxOutput), rates);
}

function inputOf({ text, file }: Options): string {
  return text ?? (file === undefined ? '' : readFileSync(file, 'utf8'));
}

async function askRouter(nats: NatsConnection, options: Options): Promise<Extract<EstimateReply, { rows: unknown }>> {
  const request: EstimateRequest = {
    body: bodyOf(options),
    ...(options.backends === undefined ? {} : { backends: options.backends.split(',').map((id) => id.trim()) }),
  };
  let answer: unknown;
  try {
    const subject = subjects.inferenceEstimate(options.org);
    answer = (await nats.request(subject, JSON.stringify(request), { timeout: 10_000 })).json();
  } catch (error) {
    throw new Error(`no router answers: ${(error as Error).message}; is the system running?`);
  }
  const reply = EstimateReply.parse(answer);
  if ('error' in reply) throw new Error(`${reply.error.code}: ${reply.error.message}`);
  return reply;
}

/** A whole request as it stands in the file, or one user message. */
function bodyOf(options: Options): EstimateRequest['body'] {
  const metadata = {
    ...(options.task === undefined ? {} : { task: options.task }),
    ...(options.department === undefined ? {} : { department: options.department }),
  };
  const own = { model: options.model, max_tokens: Number(options.maxOutput), metadata };
  const input = inputOf(options);
  if (options.file !== undefined && input.trimStart().startsWith('{')) {
    const request = JSON.parse(input) as EstimateRequest['body'];
    return { ...request, ...own, metadata: { ...request.metadata, ...metadata } };
  }
  return { ...own, messages: [{ role: 'user', content: input }] };
}

function comparison(rows: readonly EstimateRow[]): string {
  const lines = rows.map((row) => [
    row.backend,
    `${row.input.expectedTokens}${row.input.cacheReadTokens > 0 ? ` (${row.input.cacheReadTokens} cached)` : ''}`,
    row.input.basis,
    String(row.output.expectedTokens),
    String(row.output.p95Tokens),
    row.output.basis === 'learned' ? `learned of ${row.output.seen}` : 'prior',
    usd(row.cost?.expectedCashNanos),
    usd(row.cost?.expectedFullNanos),
    usd(row.cost?.boundCashNanos ?? undefined),
    row.state === 'able' ? '' : `${row.state}: ${row.reason ?? ''}`,
  ]);
  const head = ['backend', 'input', 'by', 'output', 'p95', 'by', 'cash USD', 'full USD', 'at most', ''];
  const breakdown = rows
    .filter((row) => row.state === 'able')
    .map((row) => `${row.backend}: ${row.cost!.lines.map(lineText).join(' + ')}`);
  return [table(head, lines, { right: [1, 3, 4, 6, 7, 8] }), '', ...breakdown].join('\n');
}

function lineText({ kind, count, cashNanos, fullNanos }: EstimateLine): string {
  const full = fullNanos === cashNanos ? '' : ` (full $${nanosToUsd(BigInt(fullNanos))})`;
  return `${count} ${kind} $${nanosToUsd(BigInt(cashNanos))}${full}`;
}

function usd(nanos: string | undefined): string {
  return nanos === undefined ? '-' : nanosToUsd(BigInt(nanos));
}
