import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';

const WORKER = resolve(import.meta.dirname, '../../../services/local-worker/dist/main.js');

interface JoinOptions {
  host: string;
  nats: string;
  engine: string[];
}

/** What the environment of a host's worker says when it joins. */
export function joinEnvironment({ host, nats, engine }: JoinOptions, env: NodeJS.ProcessEnv): Record<string, string> {
  return {
    NATS_URL: nats,
    NATS_USER: env['NATS_USER'] ?? `local-worker-${host}`,
    MERITORDER_HOST: host,
    MERITORDER_ENGINES: engine.join(','),
  };
}

/** `meritorder join`: this process is the worker of this GPU host until it is stopped. */
export function joinCommand(program: Command): void {
  program
    .command('join')
    .description(
      'run the worker of this GPU host: its engines join the fleet (password: NATS_PASSWORD or NATS_PASSWORD_FILE)',
    )
    .requiredOption('--host <id>', 'id of this host in "joins" of the configuration', process.env['MERITORDER_HOST'])
    .requiredOption(
      '--engine <url...>',
      'its engines, for example http://127.0.0.1:8000; their order is part of their names',
    )
    .option('--nats <url>', 'the NATS server', process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222')
    .action(async (options: JoinOptions) => {
      Object.assign(process.env, joinEnvironment(options, process.env));
      // A service is never imported, but it may be what this process becomes.
      await import(pathToFileURL(WORKER).href);
    });
}
