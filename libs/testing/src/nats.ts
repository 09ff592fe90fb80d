import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { findServer } from './find-server.js';
import { startServer, type RunningServer, type StartOptions } from './running-server.js';

export interface NatsOptions extends StartOptions {
  /** The text of the configuration. */
  config?: string | ((port: number, storeDir: string) => string) | undefined;
  /** A configuration of the caller, instead of a text. */
  configFile?: string | undefined;
  /** Default true; a `jetstream` section in the configuration decides for itself. */
  jetstream?: boolean | undefined;
}

/**
 * What it serves runs beside it: Go would spread over every core, and on a small machine waking another thread for a message costs
 * more than passing it on (a fifth of its processor time on two cores).
 */
const CORES = Math.max(1, Math.floor(availableParallelism() / 2));

/**
 * Whatever the configuration says, it listens on 127.0.0.1 at `port`. Streams are kept in `<dataDir>/jetstream` unless the
 * configuration has a `jetstream` section of its own.
 * @throws Error with one line.
 */
export async function startNats(options: NatsOptions): Promise<RunningServer> {
  const binary = await findServer('nats', options);
  const dataDir = resolve(options.dataDir);
  const storeDir = join(dataDir, 'jetstream');
  const readyDir = join(dataDir, 'ready');
  return startServer({
    name: 'NATS',
    portSetting: 'MERITORDER_NATS_PORT',
    dataDir,
    logFile: join(dataDir, 'nats.log'),
    port: options.port,
    url: (port) => `nats://127.0.0.1:${port}`,
    async prepare(port) {
      rmSync(readyDir, { recursive: true, force: true });
      mkdirSync(readyDir, { recursive: true });
      const configFile = options.configFile ? resolve(options.configFile) : join(dataDir, 'nats.conf');
      if (!options.configFile) {
        // It may hold passwords.
        const text = typeof options.config === 'function' ? options.config(port, storeDir) : options.config;
        writeFileSync(configFile, text ?? 'max_payload: 8388608\n', { mode: 0o600 });
      }
      // It refuses a folder for streams from both places.
      const configured = /^\s*jetstream\b/m.test(readFileSync(configFile, 'utf8'));
      const jetstream = options.jetstream === false || configured ? [] : ['-js', '-sd', storeDir];
      return {
        command: binary.path,
        args: ['-c', configFile, '-a', '127.0.0.1', '-p', String(port), '--ports_file_dir', readyDir, ...jetstream],
        env: { GOMAXPROCS: String(CORES), ...binary.env },
        stopSignal: 'TERM',
        cwd: dataDir,
      };
    },
    // It writes <program>_<pid>.ports once it takes connections, which is after it has read its streams.
    isReady: (_port, pid) => existsSync(readyDir) && readdirSync(readyDir).some((f) => f.endsWith(`_${pid}.ports`)),
  });
}
