import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { loadConfig, RoutingDecisionMadeV1, type MeritorderConfig, type PriceVersion } from '@meritorder/contracts';
import { configuredThroughput, hardwareCards, hostOf } from '@meritorder/hardware-core';
import { nanosToUsd } from '@meritorder/kernel';
import { bundledCatalogue } from '@meritorder/price-catalogue';
import { proposalsFor, versionOf } from '@meritorder/pricing-core';
import {
  generatedRequests,
  repeated,
  requestOfDecision,
  requestsOfCsv,
  simulate,
  type SimulatedRequest,
  type SimulationReport,
} from '@meritorder/simulation';
import { table } from './table.js';

interface Options {
  config: string[];
  trace?: string;
  decisions?: string;
  requests?: string;
  days: string;
  repeat: string;
  org: string;
  route: string;
  seed: string;
  start: string;
}

/** `meritorder simulate`: what candidate policies would have made of the same traffic. */
export function simulateCommand(program: Command): void {
  program
    .command('simulate')
    .description('what one or more configurations would have made of the same traffic, side by side; nothing is sent')
    .option(
      '--config <file>',
      'a meritorder.yaml; the first is what the others are compared with',
      (file: string, files: string[]) => [...files, file],
      [] as string[],
    )
    .option(
      '--trace <file>',
      'CSV: TIMESTAMP, ContextTokens, GeneratedTokens, and org, route, tier, feature ... where there',
    )
    .option('--decisions <file>', 'JSON lines of routing.decision-made: a period as it was')
    .option('--requests <n>', 'made traffic of so many requests in place of a file')
    .option('--days <n>', 'of the made traffic', '30')
    .option('--start <instant>', 'of the made traffic: prices and windows are of this date', '2026-11-01T00:00:00Z')
    .option('--repeat <n>', 'the file so many times, one after the other', '1')
    .option('--org <id>', 'of requests that do not say', 'acme')
    .option('--route <id>', 'of requests that do not say', 'auto')
    .option('--seed <n>', 'of everything at random', '1')
    .action((options: Options) => {
      const files = options.config.length > 0 ? options.config : ['meritorder.yaml'];
      const reports = files.map((file) => {
        const config = loadConfig(file);
        return {
          name: file,
          report: simulate({ config, prices: pricesOf(config) }, traffic(options), whole(options.seed, 'seed')),
        };
      });
      console.log(sideBySide(reports));
      console.log(JSON.stringify({ policies: reports.map(({ name, report }) => ({ config: name, ...report })) }));
    });
}

function traffic(o: Options): Iterable<SimulatedRequest> {
  const sources = [o.trace, o.decisions, o.requests].filter((source) => source !== undefined);
  if (sources.length !== 1) throw new Error('say exactly one of --trace, --decisions and --requests');
  if (o.requests !== undefined) {
    const startMs = Date.parse(o.start);
    if (Number.isNaN(startMs)) throw new Error(`--start: "${o.start}" is not an instant`);
    return generatedRequests({
      requests: whole(o.requests, 'requests'),
      days: whole(o.days, 'days'),
      startMs,
      seed: whole(o.seed, 'seed'),
      org: o.org,
      route: o.route,
    });
  }
  const requests = o.trace === undefined ? decisionsOf(o.decisions!) : requestsOfCsv(read(o.trace), o);
  return repeated(
    requests.toSorted((a, b) => a.atMs - b.atMs),
    whole(o.repeat, 'repeat'),
  );
}

function decisionsOf(file: string): SimulatedRequest[] {
  return read(file)
    .split('\n')
    .flatMap((line, i) => {
      if (line.trim() === '') return [];
      try {
        return requestOfDecision(RoutingDecisionMadeV1.parse(JSON.parse(line))) ?? [];
      } catch (error) {
        throw new Error(`${file}, line ${i + 1}: ${(error as Error).message.slice(0, 300)}`);
      }
    });
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function whole(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: "${text}" is not a whole number above 0`);
  return value;
}

/** What the price book would hold for this configuration: own prices, the bundled catalogue's, and those of own hardware. */
function pricesOf(config: MeritorderConfig): Map<string, PriceVersion[]> {
  const catalogue = bundledCatalogue('as bundled');
  const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
  return new Map(
    config.backends.map((backend) => {
      const written = proposalsFor(backend, config, (name) => catalogue.entriesOf(name));
      const host = config.hosts.find((h) => h.id === backend.host);
      const cards =
        written.length === 0 && host && backend.throughput
          ? hardwareCards(hostOf(host), configuredThroughput(backend.throughput), Date.now())
          : undefined;
      const own = cards
        ? [{ backend: backend.id, effectiveFrom: null, derived: true, source: `cost of host ${host!.id}`, ...cards }]
        : [];
      return [
        backend.id,
        [...written, ...own].map((p) => versionOf(p, p.effectiveFrom ?? '1970-01-01T00:00:00.000Z', digest)),
      ];
    }),
  );
}

interface Named {
  name: string;
  report: SimulationReport;
}

/** One column a policy, and what the others differ by from the first. */
export function sideBySide(reports: readonly Named[]): string {
  const [first, ...others] = reports as [Named, ...Named[]];
  const usd = (nanos: string): number => Number(nanos) / 1e9;
  const row = (name: string, of: (r: SimulationReport) => number, format: (value: number) => string): string[] => [
    name,
    ...reports.map(({ report }) => format(of(report))),
    ...others.map(({ report }) => difference(of(report) - of(first.report), format)),
  ];
  const exact = (name: string, of: (r: SimulationReport) => string): string[] => [
    name,
    ...reports.map(({ report }) => `$${nanosToUsd(BigInt(of(report)))}`),
    ...others.map(({ report }) => difference(usd(of(report)) - usd(of(first.report)), dollars)),
  ];
  const rejected = (r: SimulationReport): number => r.requests - r.answered;
  const backends = [...new Set(reports.flatMap(({ report }) => Object.keys(report.shares)))];
  const rows = [
    row('requests', (r) => r.requests, count),
    row('answered', (r) => r.answered, count),
    row('rejected', rejected, count),
    exact('cash', (r) => r.cashNanos),
    exact('full cost', (r) => r.fullNanos),
    exact('marginal cost', (r) => r.marginalNanos),
    row(
      'quality',
      (r) => r.quality,
      (v) => v.toFixed(4),
    ),
    row('charged', (r) => r.chargedUsd, dollars),
    row('margin', (r) => r.marginUsd, dollars),
    row(
      'p50 latency',
      (r) => r.p50Seconds,
      (v) => `${v.toFixed(2)} s`,
    ),
    row(
      'p95 latency',
      (r) => r.p95Seconds,
      (v) => `${v.toFixed(2)} s`,
    ),
    ...backends.map((id) =>
      row(
        `  ${id}`,
        (r) => 100 * (r.shares[id] ?? 0),
        (v) => `${v.toFixed(1)} %`,
      ),
    ),
  ];
  const names = reports.map(({ name }) => name);
  const columns = names.length + others.length;
  const budgets = reports.flatMap(({ name, report }) =>
    report.budgets.map((b) => [
      b.budget,
      name,
      String(b.windows),
      `${(100 * b.peakShare).toFixed(1)} %`,
      b.firstBoundAt ?? 'never',
      count(b.bound),
      `$${nanosToUsd(BigInt(b.overshootNanos))}`,
      count(b.policyChanges),
    ]),
  );
  return [
    table(['', ...names, ...others.map(({ name }) => `${name} - ${first.name}`)], rows, {
      right: Array.from({ length: columns }, (_, i) => i + 1),
    }),
    '',
    table(
      ['budget', 'policy', 'windows', 'peak use', 'first bound at', 'passed over', 'overshoot', 'policy changes'],
      budgets.toSorted((a, b) => (a[0]! < b[0]! ? -1 : a[0]! > b[0]! ? 1 : 0)),
      { right: [2, 3, 5, 6, 7] },
    ),
    ...reports.flatMap(({ name, report }) =>
      Object.entries(report.rejected).map(([code, n]) => `${name}: ${count(n)} rejected with ${code}`),
    ),
  ].join('\n');
}

const count = (value: number): string => Math.round(value).toLocaleString('en-US');
const dollars = (value: number): string => `$${value.toFixed(2)}`;

function difference(value: number, format: (value: number) => string): string {
  const sign = value > 0 ? '+' : value < 0 ? '-' : '';
  return `${sign}${format(Math.abs(value))}`;
}
