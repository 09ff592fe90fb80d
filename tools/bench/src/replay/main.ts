import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { WORKSPACE } from '@meritorder/launcher';
import { nanosToUsd } from '@meritorder/kernel';
import { replay } from './replay.js';
import { readTrace } from './trace.js';

const program = new Command('npm run replay --')
  .description(
    'Publishes the requests of a trace to NATS at their times and compares the books with the invoice of simulated providers.',
  )
  .requiredOption('--trace <file>', 'Azure or BurstGPT CSV, or Mooncake JSON lines')
  .option('--speed <n>', 'how many times faster than recorded', '60')
  .option('--config <file>', 'configuration with the backends of tools/bench/replay/meritorder.yaml')
  .option('--limit <n>', 'only the first n requests')
  .option('--routers <n>', 'router processes', '1')
  .option('--chaos <seed>', 'kill -9 services, duplicate messages and wipe Redis meanwhile')
  .option('--keep', 'keep data and logs')
  .showHelpAfterError();
program.parse();
const options = program.opts<{
  trace: string;
  speed: string;
  config?: string;
  limit?: string;
  routers: string;
  chaos?: string;
  keep?: boolean;
}>();

const dataDir = mkdtempSync(join(tmpdir(), 'meritorder-replay-'));
chmodSync(dataDir, 0o755);
const started = Date.now();
try {
  const all = readTrace(options.trace);
  const trace = options.limit === undefined ? all : all.slice(0, Number(options.limit));
  const speed = Number(options.speed);
  if (!(speed > 0)) throw new Error(`--speed must be above 0, not ${options.speed}`);
  const report = await replay({
    trace,
    speed,
    dataDir,
    cacheDir: join(WORKSPACE, '.data', 'servers'),
    configFile: options.config === undefined ? undefined : resolve(options.config),
    instances: { router: Number(options.routers) },
    ...(options.chaos === undefined
      ? {}
      : {
          chaos: {
            seed: Number(options.chaos),
            killEveryMs: 4_000,
            duplicates: true,
            wipeRedisAtMs: trace.at(-1)!.atMs / speed / 2,
          },
        }),
    log: (line) => console.error(`[${((Date.now() - started) / 1_000).toFixed(1).padStart(5)} s] ${line}`),
  });
  for (const [key, value] of Object.entries(report)) {
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
    console.log(`${key.padEnd(30)} ${text}${key.endsWith('Nanos') ? `  ($${nanosToUsd(BigInt(text))})` : ''}`);
  }
  console.log(JSON.stringify(report));
} catch (error) {
  console.error(`replay: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  if (options.keep) console.error(`data and logs are in ${dataDir}`);
  else rmSync(dataDir, { recursive: true, force: true });
}
