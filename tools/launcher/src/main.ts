import { existsSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { Command } from 'commander';
import { orgUser } from '@meritorder/messaging';
import { startSimulator, type Simulator } from './simulators.js';
import { Stack, WORKSPACE } from './stack.js';
import { Demo } from './demo.js';

const program = new Command('npm start --')
  .description('Runs Meritorder on this machine.')
  .option('--config <file>', 'configuration', join(WORKSPACE, 'meritorder.yaml'))
  .option('--no-demo', 'no simulated providers and no generated traffic')
  .option('--rate <n>', 'requests a second of the generated traffic', '3')
  .showHelpAfterError();
program.parse();
const options = program.opts<{ config: string; demo: boolean; rate: string }>();

const env = process.env;
const dataDir = resolve(env['MERITORDER_DATA'] ?? join(WORKSPACE, '.data'));
const port = (name: string, fallback: number): number => {
  const text = env[name];
  const value = text === undefined ? fallback : Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new Error(`${name} must be a port, not "${text}"`);
  return value;
};
const started = Date.now();
const say = (line: string): void =>
  console.log(`[${((Date.now() - started) / 1_000).toFixed(1).padStart(5)} s] ${line}`);

let stack: Stack | undefined;
let demo: Demo | undefined;
const simulators: Simulator[] = [];
let stopping = false;

async function stop(code: number): Promise<void> {
  if (stopping) return;
  stopping = true;
  say('stopping ...');
  await demo?.stop();
  await stack?.stop();
  await Promise.all(simulators.map((s) => s.stop()));
  say('stopped');
  process.exit(code);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => void stop(signal === 'SIGINT' ? 130 : 0));

try {
  const configFile = resolve(options.config);
  if (!existsSync(configFile)) throw new Error(`${options.config} does not exist; name a configuration with --config`);
  stack = new Stack({
    configFile,
    dataDir,
    cacheDir: join(dataDir, 'servers'),
    log: say,
    supervise: true,
    ports: {
      nats: port('MERITORDER_NATS_PORT', 14_222),
      redis: port('MERITORDER_REDIS_PORT', 16_379),
      postgres: port('MERITORDER_POSTGRES_PORT', 15_432),
    },
    external: {
      nats: env['NATS_URL'],
      redis: env['REDIS_URL'],
      database: env['DATABASE_URL'],
      natsSecrets: env['MERITORDER_NATS_SECRETS'],
    },
  });
  if (options.demo) {
    say('starting simulated providers: openai (18081) and the GPU host gpu-1 (18082)');
    for (const [file, at] of [
      ['cloud', port('SIMULATOR_CLOUD_PORT', 18_081)],
      ['gpu', port('SIMULATOR_GPU_PORT', 18_082)],
    ] as const) {
      simulators.push(await startSimulator(join(WORKSPACE, 'tools/launcher/demo', `${file}.yaml`), at));
    }
  }
  say('starting NATS, Redis and Postgres');
  await stack.startServers();
  say(`NATS ${stack.nats.url}   Redis ${stack.redis.url}   Postgres ${stack.database.url}`);
  await stack.prepare();
  say('starting metering, budget-policy, router and workers');
  await stack.startServices();
  const passwords = relative(process.cwd(), join(dataDir, 'nats', 'generated', 'passwords'));
  say('ready');
  console.log(`
  Publish requests as an org: NATS ${stack.nats.url}, user ${orgUser(stack.config.orgs[0]!.id)}, password in ${passwords}/${orgUser(stack.config.orgs[0]!.id)}
  Try:   node examples/ask.mjs "What is a merit order?"
  Books: DATABASE_URL=${stack.database.url} npx meritorder books
  Logs:  ${relative(process.cwd(), join(dataDir, 'logs'))}/     Ctrl-C ends everything that was started here.
`);
  if (options.demo) {
    demo = new Demo(stack, Number(options.rate));
    await demo.start();
  }
} catch (error) {
  console.error(`meritorder: ${(error as Error).message}`);
  if (env['MERITORDER_DEBUG']) console.error((error as Error).stack);
  await stop(1);
}
