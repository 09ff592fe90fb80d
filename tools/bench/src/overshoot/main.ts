import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { WORKSPACE } from '@meritorder/launcher';
import { measureReservation } from './bare-script.js';
import { FAULTS } from './faults.js';
import { faultNamed, overshootOf, OvershootStack, PLANNED_PER_SECOND, type LoadSettings } from './overshoot.js';
import { summaryOf, tableOf, type OvershootReport } from './report.js';

const REQUEST_DEADLINE_MS = 10_000;

const program = new Command('npm run bench:overshoot --')
  .description('Many clients hammer tight budgets at several levels; prints by how much any was overrun.')
  .option('--routers <n>', 'router processes', '8')
  .option('--clients <n>', 'concurrent clients', '256')
  .option('--fault <name>', `${Object.keys(FAULTS).join(', ')}; all: one after the other`, 'none')
  .option('--target <url>', 'meritorder, or the URL of an OpenAI-compatible gateway ending in /v1', 'meritorder')
  .option('--seconds <n>', 'how long the load lasts', '20')
  .option('--requests <n>', 'ends earlier after so many; the caps are sized for them')
  .option('--pause-ms <n>', 'a refused client asks again after up to this long', '100')
  .option('--seed <n>', 'of the mix of requests and of the faults', '1')
  .option('--set-budget <command>', 'other gateways: makes a key with a budget; see tools/bench/README.md')
  .option('--read-spend <command>', 'other gateways: prints what a key has spent, in USD')
  .option('--model <name>', 'other gateways: the model to ask for', 'small')
  .option('--api-key <key>', 'other gateways: when --set-budget prints none')
  .option('--budgets <n>', 'other gateways: keys with budgets, at most 8', '8')
  .option('--provider-port <n>', 'other gateways: where the simulated provider listens', '8123')
  .option('--settle-seconds <n>', 'other gateways: when their books are read, after the load', '10')
  .option('--keep', 'keep data and logs')
  .showHelpAfterError();
program.parse();
const options = program.opts<Record<string, string> & { keep?: boolean }>();

const dataDir = mkdtempSync(join(tmpdir(), 'meritorder-overshoot-'));
chmodSync(dataDir, 0o755);
const startedMs = performance.now();
const log = (line: string): void =>
  console.error(`[${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(5)} s] ${line}`);
try {
  const reports = options['target'] === 'meritorder' ? await ownStack() : [await otherGateway(options['target']!)];
  console.log(tableOf(reports));
  for (const { fault, refused, checks } of reports) console.log(`${fault}: ${JSON.stringify({ refused, checks })}`);
  console.log(JSON.stringify(summaryOf(reports)));
} catch (error) {
  console.error(`bench:overshoot: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  if (options.keep) console.error(`data and logs are in ${dataDir}`);
  else rmSync(dataDir, { recursive: true, force: true });
}

function loadSettings(): LoadSettings {
  return {
    clients: positive('clients'),
    seconds: positive('seconds'),
    requests: options['requests'] === undefined ? undefined : positive('requests'),
    seed: Number(options['seed']),
    pauseMs: Number(options['pauseMs']),
  };
}

/** A stack of its own for each fault, so that no run inherits what another one broke. */
async function ownStack(): Promise<OvershootReport[]> {
  const names = options['fault'] === 'all' ? Object.keys(FAULTS) : [options['fault']!];
  const load = loadSettings();
  const cacheDir = join(WORKSPACE, '.data', 'servers');
  const reports: OvershootReport[] = [];
  for (const name of names) {
    const { routersAtStart } = faultNamed(name);
    const own = { dataDir: join(dataDir, name), cacheDir, log };
    const rate = await measureReservation(own);
    const stack = await OvershootStack.start({
      ...own,
      routers: positive('routers'),
      routersAtStart,
      requestDeadlineMs: REQUEST_DEADLINE_MS,
      plannedRequests: load.requests ?? load.seconds * PLANNED_PER_SECOND,
      seed: load.seed,
    });
    try {
      reports.push(await stack.run(name, load, rate));
    } finally {
      await stack.stop();
    }
  }
  return reports;
}

function otherGateway(url: string): Promise<OvershootReport> {
  if (options['fault'] !== 'none') throw new Error('faults are for the own stack; another gateway is measured without');
  if (options['setBudget'] === undefined) throw new Error('--target URL needs --set-budget; see tools/bench/README.md');
  return overshootOf(
    {
      url: url.replace(/\/$/, ''),
      model: options['model']!,
      setBudget: options['setBudget'],
      readSpend: options['readSpend'],
      apiKey: options['apiKey'],
      providerPort: Number(options['providerPort']),
      settleSeconds: Number(options['settleSeconds']),
      dataDir,
    },
    { ...loadSettings(), budgets: positive('budgets'), log },
  );
}

function positive(name: string): number {
  const value = Number(options[name]);
  if (!(value > 0)) throw new Error(`--${name} must be above 0, not ${options[name]}`);
  return value;
}
