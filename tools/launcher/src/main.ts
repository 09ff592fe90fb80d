import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Command } from 'commander';
import { orgUser } from '@meritorder/messaging';
import { assertPortFree, serverCacheDir } from '@meritorder/testing';
import { ENVIRONMENT_HELP, settingsFrom, withoutPassword, type StartOptions } from './settings.js';
import { writeOperatorFile } from './operator-file.js';
import { startSimulator, type Simulator } from './simulators.js';
import { Stack, WORKSPACE } from './stack.js';
import { Demo } from './demo.js';

const program = new Command('npm start --')
  .description('Runs Meritorder on this machine.')
  .option('--config <file>', 'configuration', join(WORKSPACE, 'meritorder.yaml'))
  .option('--no-demo', 'no simulated providers and no generated traffic')
  .option('--rate <n>', 'requests a second of the generated traffic', '3')
  .addHelpText('after', ENVIRONMENT_HELP)
  .showHelpAfterError();
program.parse();

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
  const settings = settingsFrom(program.opts<StartOptions>(), process.env, WORKSPACE);
  const { configFile, dataDir, demo: withDemo, ports, external } = settings;
  if (!existsSync(configFile)) throw new Error(`${configFile} does not exist; name a configuration with --config`);
  if (withDemo) {
    // The configuration finds the simulated providers by these, unless it is to find others.
    process.env['SIMULATOR_CLOUD_URL'] ??= `http://127.0.0.1:${ports.simulatedCloud}`;
    process.env['SIMULATOR_GPU_URL'] ??= `http://127.0.0.1:${ports.simulatedGpu}`;
  }
  stack = new Stack({
    configFile,
    dataDir,
    cacheDir: serverCacheDir(),
    log: say,
    supervise: true,
    ports,
    external,
  });
  if (withDemo) {
    say(
      `starting simulated providers: openai (${ports.simulatedCloud}) and the GPU host gpu-1 (${ports.simulatedGpu})`,
    );
    for (const [file, at, setting] of [
      ['cloud', ports.simulatedCloud, 'SIMULATOR_CLOUD_PORT'],
      ['gpu', ports.simulatedGpu, 'SIMULATOR_GPU_PORT'],
    ] as const) {
      await assertPortFree(at, 'a simulated provider', setting);
      simulators.push(await startSimulator(join(WORKSPACE, 'tools/launcher/demo', `${file}.yaml`), at));
    }
  }
  say('starting NATS, Redis and Postgres');
  await stack.startServers();
  const [nats, redis, database] = [stack.nats.url, stack.redis.url, stack.database.url].map(withoutPassword);
  say(`NATS ${nats}   Redis ${redis}   Postgres ${database}`);
  await stack.prepare();
  await assertPortFree(ports.gateway, 'the gateway', 'MERITORDER_GATEWAY_PORT');
  say('starting metering, budget-policy, router, gateway and workers');
  await stack.startServices();
  const user = orgUser(stack.config.orgs[0]!.id);
  const { NATS_NKEY_SEED_FILE: seed } = stack.credentialsEnvironment(user);
  const secret = seed ?? external.natsSecrets ?? join(dataDir, 'nats', 'generated', 'passwords', user);
  const as = stack.passwords
    ? `, user ${user}, ${seed ? 'seed of its NKey' : 'password'} in ${relative(process.cwd(), secret)}`
    : ', without a password';
  const operatorFile = writeOperatorFile(dataDir, stack);
  say('ready');
  console.log(`
  OpenAI and Anthropic clients: ${stack.gatewayUrl}/v1, with an API key of the configuration
  Publish requests as an org: NATS ${nats}${as}
  Try:   node examples/ask.mjs "What is a merit order?"
  Look:  . ${relative(process.cwd(), operatorFile)} && npx meritorder books   (or prices list, hardware, estimate --help)
  Logs:  ${relative(process.cwd(), join(dataDir, 'logs'))}/     Ctrl-C ends everything that was started here.
`);
  if (withDemo) {
    demo = new Demo(stack, settings.requestsPerSecond);
    await demo.start();
  }
} catch (error) {
  console.error(`meritorder: ${(error as Error).message}`);
  if (process.env['MERITORDER_DEBUG']) console.error((error as Error).stack);
  await stop(1);
}
