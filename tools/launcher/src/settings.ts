import { resolve } from 'node:path';

/** As the command line gives them. */
export interface StartOptions {
  config: string;
  demo: boolean;
  rate: string;
}

/** What `npm start` is to do, by its options and the environment. */
export interface Settings {
  configFile: string;
  demo: boolean;
  /** Of the generated traffic. */
  requestsPerSecond: number;
  dataDir: string;
  ports: {
    gateway: number;
    nats: number;
    redis: number;
    postgres: number;
    simulatedCloud: number;
    simulatedGpu: number;
  };
  /** Servers that exist already. */
  external: {
    nats: string | undefined;
    redis: string | undefined;
    database: string | undefined;
    natsSecrets: string | undefined;
  };
}

const MAX_REQUESTS_PER_SECOND = 1_000;

/** Shown by `--help`. */
export const ENVIRONMENT_HELP = `
Environment:
  NATS_URL, REDIS_URL, DATABASE_URL   use these servers instead of starting some
  MERITORDER_NATS_SECRETS             JSON file, NATS user to password, for NATS_URL (see docs/reference/nats.md)
  MERITORDER_GATEWAY_PORT             default 8080
  MERITORDER_NATS_PORT                default 14222
  MERITORDER_REDIS_PORT               default 16379
  MERITORDER_POSTGRES_PORT            default 15432
  SIMULATOR_CLOUD_PORT                default 18081
  SIMULATOR_GPU_PORT                  default 18082
  MERITORDER_DATA                     folder for data and logs, default .data
  NATS_SERVER_BIN, REDIS_SERVER_BIN, POSTGRES_BIN_DIR
                                      programs to start instead of those that are found or fetched
  OTEL_EXPORTER_OTLP_ENDPOINT         where traces go
`;

/** @throws Error with one line that names the option or the variable. */
export function settingsFrom(options: StartOptions, env: NodeJS.ProcessEnv, workspace: string): Settings {
  const port = (name: string, fallback: number): number => {
    const text = env[name];
    const value = text ? Number(text) : fallback;
    if (!Number.isInteger(value) || value < 1 || value > 65_535)
      throw new Error(`${name} must be a port from 1 to 65535, not "${text}"`);
    return value;
  };
  const rate = Number(options.rate);
  if (!(rate > 0 && rate <= MAX_REQUESTS_PER_SECOND))
    throw new Error(
      `--rate must be above 0 and at most ${MAX_REQUESTS_PER_SECOND} requests a second, not "${options.rate}"`,
    );
  return {
    configFile: resolve(options.config),
    demo: options.demo,
    requestsPerSecond: rate,
    dataDir: resolve(env['MERITORDER_DATA'] || `${workspace}/.data`),
    ports: {
      gateway: port('MERITORDER_GATEWAY_PORT', 8_080),
      nats: port('MERITORDER_NATS_PORT', 14_222),
      redis: port('MERITORDER_REDIS_PORT', 16_379),
      postgres: port('MERITORDER_POSTGRES_PORT', 15_432),
      simulatedCloud: port('SIMULATOR_CLOUD_PORT', 18_081),
      simulatedGpu: port('SIMULATOR_GPU_PORT', 18_082),
    },
    external: {
      nats: env['NATS_URL'] || undefined,
      redis: env['REDIS_URL'] || undefined,
      database: env['DATABASE_URL'] || undefined,
      natsSecrets: env['MERITORDER_NATS_SECRETS'] || undefined,
    },
  };
}

/** A URL that may be shown: without its password. */
export function withoutPassword(url: string): string {
  return url.replace(/:[^:@/]*@/g, ':***@');
}
