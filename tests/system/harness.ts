import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Stack, writeConfig, type StackOptions } from '@meritorder/launcher';
import { startSimulator as startInProcess, type Simulator, type SimulatorConfig } from '@meritorder/provider-simulator';
import { serverCacheDir } from '@meritorder/testing';
import type { Msg, NatsConnection } from '@nats-io/transport-node';

export interface TestBackend {
  id: string;
  kind?: 'cloud' | 'local';
  /** Of the simulated model that serves it. */
  behaviour?: Record<string, unknown>;
  config?: Record<string, unknown>;
  /** The rest of it, where that depends on where the simulated provider is. */
  configAt?: (url: string) => Record<string, unknown>;
  /** Listens nowhere. */
  dead?: boolean;
}

export interface Product {
  stack: Stack;
  simulator: Simulator;
  app(org?: string): Promise<NatsConnection>;
  stop(): Promise<void>;
}

/** Where the simulator has a protocol. */
const PATHS: Readonly<Record<string, string>> = { gemini: '/v1beta', bedrock: '' };
const PRICE = { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' };

/** The whole product with simulated backends: the tests touch its public surface alone. */
export async function startProduct(options: {
  backends: TestBackend[];
  config?: Record<string, unknown>;
  instances?: StackOptions['instances'];
  env?: Record<string, string>;
  supervise?: boolean;
  /** Of the simulated provider. */
  simulator?: Partial<SimulatorConfig>;
  /** Seeds of NKeys by NATS user, whose public parts are in the configuration. */
  seeds?: Record<string, string>;
}): Promise<Product> {
  const root = mkdtempSync(join(tmpdir(), 'meritorder-e2e-'));
  // Postgres may run as another user, who must be able to enter.
  chmodSync(root, 0o755);
  const models: SimulatorConfig['models'] = {};
  for (const b of options.backends)
    models[b.id] = { prices: { input: '1', output: '2' }, ...b.behaviour } as SimulatorConfig['models'][string];
  const simulator = await startInProcess({ name: 'simco', models, ...options.simulator });
  for (const [user, seed] of Object.entries(options.seeds ?? {})) {
    mkdirSync(join(root, 'data', 'nats', 'seeds'), { recursive: true });
    writeFileSync(join(root, 'data', 'nats', 'seeds', user), seed, { mode: 0o600 });
  }
  const configFile = writeConfig(root, {
    version: 1,
    orgs: [{ id: 'acme', departments: ['eng', 'support'] }, { id: 'globex' }],
    backends: options.backends.map((b) => ({
      id: b.id,
      kind: b.kind ?? 'cloud',
      provider: 'simco',
      ...(b.kind === 'local' ? { host: 'gpu-1' } : {}),
      model: b.id,
      baseUrl: `${b.dead ? 'http://127.0.0.1:1' : simulator.url}${PATHS[String(b.config?.['protocol'])] ?? '/v1'}`,
      contextTokens: 100_000,
      maxOutputTokens: 1_000,
      capabilities: ['streaming', 'choices'],
      maxConcurrency: 2_000,
      prices: [{ effectiveFrom: '2025-01-01T00:00:00Z', cash: PRICE }],
      ...b.config,
      ...b.configAt?.(simulator.url),
    })),
    routes: [{ id: 'auto', backends: options.backends.map((b) => b.id) }],
    ...options.config,
  });
  const stack = new Stack({
    configFile,
    dataDir: join(root, 'data'),
    cacheDir: serverCacheDir(),
    log: () => {},
    unsafe: true,
    ...(options.instances ? { instances: options.instances } : {}),
    ...(options.env ? { env: options.env } : {}),
    ...(options.supervise ? { supervise: true } : {}),
  });
  await stack.start();
  const connections: NatsConnection[] = [];
  return {
    stack,
    simulator,
    async app(org = 'acme') {
      const connection = await stack.connectOrg(org);
      connections.push(connection);
      return connection;
    },
    async stop() {
      await Promise.all(connections.map((c) => c.close()));
      await stack.stop();
      await simulator.stop();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

export function chat(text: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: text }], max_tokens: 100, ...more });
}

export async function ask(
  app: NatsConnection,
  body: string | Uint8Array,
  options: { org?: string; timeout?: number; headers?: Msg['headers'] } = {},
): Promise<Msg> {
  return app.request(`inference.request.v1.${options.org ?? 'acme'}`, body, {
    timeout: options.timeout ?? 20_000,
    ...(options.headers ? { headers: options.headers } : {}),
  });
}

export function errorCode(message: Msg): string {
  return message.headers?.get('Nats-Service-Error') ?? '';
}
