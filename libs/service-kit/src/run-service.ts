import 'reflect-metadata';
import { ConsoleLogger, type DynamicModule, type INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { loadConfig, type MeritorderConfig } from '@meritorder/contracts';
import { connectBus, natsCredentials, natsTls, SERVICE_INBOX, type Bus, type ServiceUser } from '@meritorder/messaging';
import { startTelemetry } from '@meritorder/telemetry';
import { startHealthServer, type HealthChecks } from './health-server.js';
import { NatsSubjectServer } from './nats-subject-server.js';

/** What every service is given: the composition root binds the rest. */
export interface ServiceContext {
  config: MeritorderConfig;
  bus: Bus;
  env: NodeJS.ProcessEnv;
  /** Registers something that must hold before the service is ready; it returns what is missing, or undefined. */
  readiness(check: () => string | undefined): void;
  /** For a service that answers `/health` and `/metrics` itself. */
  health: HealthChecks;
}

export interface ServiceDefinition {
  name: Exclude<ServiceUser, 'operator'> | 'local-worker';
  /** Where its configuration is from. Default: the file that MERITORDER_CONFIG names. */
  config?(bus: Bus, env: NodeJS.ProcessEnv): Promise<MeritorderConfig>;
  /** Default: that of its name. */
  inboxPrefix?(env: NodeJS.ProcessEnv): string;
  /** It answers `/health` and `/metrics` on a server of its own, so none is started for it. */
  servesHealth?: boolean;
  module(context: ServiceContext): DynamicModule | Promise<DynamicModule>;
}

/** After `limits.drainMs`: for last words and to leave every server, while whoever stops it waits 5 s. */
const LEAVES_WITHIN_MS = 4_000;

/**
 * Starts one service: configuration, telemetry, bus, Nest application, health server; ends it on SIGTERM and SIGINT in the
 * opposite order. A start that fails prints one line saying what is wrong and what to do, and exits with 1.
 */
export async function runService(definition: ServiceDefinition, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  const { name } = definition;
  let app: INestMicroservice | undefined;
  try {
    const file = definition.config ? undefined : loadConfig(env['MERITORDER_CONFIG'] ?? 'meritorder.yaml');
    const telemetry = await startTelemetry(name, env);
    const bus = await connectBus({
      url: env['NATS_URL'] ?? 'nats://127.0.0.1:4222',
      credentials: () => natsCredentials(env),
      tls: natsTls(env),
      name,
      inboxPrefix: definition.inboxPrefix?.(env) ?? SERVICE_INBOX[name as ServiceUser],
    });
    const config = file ?? (await definition.config!(bus, env));
    const checks: (() => string | undefined)[] = [() => disconnection(bus)];
    let listening = false;
    const health: HealthChecks = {
      notReady: () => [...(listening ? [] : ['starting']), ...checks.map((c) => c()).filter((m) => m !== undefined)],
      scrape: telemetry.scrape,
    };
    const readiness = (check: () => string | undefined): void => void checks.push(check);
    const module = await definition.module({ config, bus, env, readiness, health });
    const transport = new NatsSubjectServer(bus, name);
    app = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
      strategy: transport,
      logger: new ConsoleLogger({
        json: !process.stdout.isTTY,
        logLevels: ['log', 'warn', 'error', 'fatal'],
        prefix: name,
      }),
      abortOnError: false,
    });
    const port = definition.servesHealth ? 0 : Number(env['HEALTH_PORT'] ?? 0);
    const server = port ? await startHealthServer(env['HEALTH_HOST'] ?? '127.0.0.1', port, health) : undefined;
    stopOnSignal(config.limits.drainMs + LEAVES_WITHIN_MS, async () => {
      // What depends on a server that went first cannot end in order; the rest still does, and nothing unacknowledged is lost.
      await app?.close().catch((error: Error) => console.error(`meritorder ${name}: while stopping: ${error.message}`));
      server?.close();
      await bus.close();
      await telemetry.stop();
    });
    if (env['MERITORDER_PARENT_PIPE']) endWithParent();
    await app.listen();
    listening = true;
    console.log(JSON.stringify({ level: 'log', service: name, message: 'ready' }));
  } catch (error) {
    console.error(`meritorder ${name}: ${(error as Error).message}`);
    if (env['MERITORDER_DEBUG']) console.error((error as Error).stack);
    process.exit(1);
  }
}

/** In words, for whoever looks why a service is not ready. */
function disconnection(bus: Bus): string | undefined {
  if (bus.connected()) return undefined;
  const refusal = bus.refusal();
  return `not connected to NATS${refusal ? `, which refuses its credentials: ${refusal}` : ''}`;
}

/** The launcher holds our standard input: when it is gone, however it went, so are we. */
function endWithParent(): void {
  process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).on('error', () => {});
  process.stdin.resume();
}

function stopOnSignal(limitMs: number, stop: () => Promise<void>): void {
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      setTimeout(() => process.exit(1), limitMs).unref();
      stop().then(
        () => process.exit(0),
        (error: Error) => {
          console.error(`stopping failed: ${error.stack}`);
          process.exit(1);
        },
      );
    });
  }
}
