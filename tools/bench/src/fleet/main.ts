import { Command } from 'commander';
import { reportQueues } from './report-queues.js';

const program = new Command('npm run bench:fleet --')
  .description('Own hardware and cloud as one fleet: queues against theory, a trace under policies, herding, load.')
  .option('--arrivals <n>', 'of one run of a simulated queue', '1000000')
  .option('--runs <n>', 'of each queue', '20')
  .option('--pairs <n>', 'of runs with and without one more request', '200000')
  .option('--seed <n>', 'of the first draw', '1')
  .showHelpAfterError();
program.parse();
const options = program.opts<Record<string, string | undefined>>();

function whole(name: string, least: number): number {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < least)
    throw new Error(`--${name}: ${options[name]} is not a whole number from ${least}`);
  return value;
}

try {
  const queues = reportQueues(whole('arrivals', 1_000), whole('runs', 3), whole('pairs', 20), whole('seed', 0));
  console.log(JSON.stringify({ theory: queues }));
} catch (error) {
  console.error(`bench:fleet: ${(error as Error).message}`);
  process.exitCode = 1;
}
