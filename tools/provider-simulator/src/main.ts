import { parseArgs } from 'node:util';
import { readConfigFile, type SimulatorConfig } from './config.js';
import { startSimulator } from './simulator.js';

const USAGE = `node dist/main.js --config FILE [--port N] [--host ADDRESS] [--name NAME] [--invoice-file FILE] [--stop-with-stdin]
`;

const { values } = parseArgs({
  options: {
    config: { type: 'string' },
    port: { type: 'string' },
    host: { type: 'string' },
    name: { type: 'string' },
    'invoice-file': { type: 'string' },
    'stop-with-stdin': { type: 'boolean' },
    help: { type: 'boolean' },
  },
});

/** The file, with what the command line says instead. */
function configuration(path: string): SimulatorConfig {
  const config = readConfigFile(path) as SimulatorConfig;
  return {
    ...config,
    ...(values.port === undefined ? {} : { port: Number(values.port) }),
    ...(values.host === undefined ? {} : { host: values.host }),
    ...(values.name === undefined ? {} : { name: values.name }),
    ...(values['invoice-file'] === undefined ? {} : { invoiceFile: values['invoice-file'] }),
  };
}

async function main(): Promise<void> {
  if (values.help) return void process.stdout.write(USAGE);
  if (values.config === undefined) throw new Error(`--config is missing\n${USAGE}`);
  const config = configuration(values.config);
  const simulator = await startSimulator(config);
  process.stdout.write(`provider-simulator ${config.name ?? 'simulator'} listening on ${simulator.url}\n`);
  const stop = async (): Promise<void> => {
    await simulator.stop();
    // Open, it would keep the process alive.
    process.stdin.destroy();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop());
  if (values['stop-with-stdin']) process.stdin.resume().once('end', () => void stop());
}

main().catch((error: unknown) => {
  process.stderr.write(`provider-simulator: ${(error as Error).message}\n`);
  process.exitCode = 1;
});
