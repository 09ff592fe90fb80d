import { join } from 'node:path';
import { Command } from 'commander';
import { reportHerding, reportLoad, reportTrace } from './report-fleet.js';
import { reportQueues } from './report-queues.js';
import { traceWorkload } from './trace-workload.js';

const PARTS = ['theory', 'trace', 'load', 'herding'] as const;

const program = new Command('npm run bench:fleet --')
  .description('Own hardware and cloud as one fleet: queues against theory, a trace under policies, load, herding.')
  .option(
    '--trace <file>',
    'Azure, BurstGPT or Mooncake; default: the code trace in the folder of MERITORDER_TEST_DATA',
  )
  .option('--only <parts...>', `of ${PARTS.join(', ')}`, [...PARTS])
  .option('--speeds <n...>', 'the trace in 1/n of its time', ['1', '2', '4'])
  .option('--routers <n>', 'that share the traffic', '4')
  .option('--heartbeat-ms <n>', 'between two reports of a backend; 0: routers see everything as it is', '1000')
  .option('--seeds <n>', 'of the fleets', '5')
  .option('--seed <n>', 'the first', '1')
  .option('--arrivals <n>', 'of one run of a simulated queue', '1000000')
  .option('--runs <n>', 'of each queue', '20')
  .option('--pairs <n>', 'of runs with and without one more request', '200000')
  .showHelpAfterError();
program.parse();
const options = program.opts<Record<string, string | undefined> & { only: string[]; speeds: string[] }>();

function whole(name: string, least: number): number {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < least)
    throw new Error(`--${name}: ${options[name]} is not a whole number from ${least}`);
  return value;
}

function traceFile(): string {
  const { trace } = options;
  if (trace !== undefined) return trace;
  const folder = process.env['MERITORDER_TEST_DATA'];
  if (folder === undefined) throw new Error('needs --trace FILE, or MERITORDER_TEST_DATA');
  return join(folder, 'traces', 'azure-code-2023.csv');
}

try {
  for (const part of options.only)
    if (!(PARTS as readonly string[]).includes(part)) throw new Error(`--only: ${part} is none of ${PARTS.join(', ')}`);
  const speeds = options.speeds.map(Number);
  if (speeds.some((s) => !(s > 0 && s <= 1_000))) throw new Error('--speeds: a speed is above 0 and at most 1000');
  const wants = (part: (typeof PARTS)[number]): boolean => options.only.includes(part);
  const seed = whole('seed', 0);
  const fleet = {
    routers: whole('routers', 1),
    heartbeatMs: whole('heartbeatMs', 0),
    seeds: whole('seeds', 2),
    firstSeed: seed,
  };
  const trace = traceOf();
  const report = {
    ...(wants('theory')
      ? { theory: reportQueues(whole('arrivals', 1_000), whole('runs', 3), whole('pairs', 20), seed) }
      : {}),
    ...(wants('trace') && trace ? { trace: reportTrace(trace, speeds, fleet) } : {}),
    ...(wants('load') && trace ? { load: reportLoad(trace, [undefined, '0.001'], fleet) } : {}),
    ...(wants('herding') && trace ? { herding: reportHerding(trace, fleet) } : {}),
  };
  console.log(JSON.stringify(report));
} catch (error) {
  console.error(`bench:fleet: ${(error as Error).message}`);
  process.exitCode = 1;
}

/** Theory needs none. */
function traceOf() {
  return options.only.every((part) => part === 'theory') ? undefined : traceWorkload(traceFile());
}
