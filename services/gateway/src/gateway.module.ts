import { Logger, type DynamicModule } from '@nestjs/common';
import { keyIssuing, PostgresIdempotencyStore, PostgresResponseStore, RedisRateLimits } from '@meritorder/access';
import { KeyRing } from '@meritorder/access/keys';
import { systemClock } from '@meritorder/kernel';
import { connectDatabase } from '@meritorder/ledger-store';
import { secretFromEnvironment } from '@meritorder/messaging';
import type { ServiceContext } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import { HttpEdge } from './adapters/http/http-edge.js';
import { NatsInference } from './adapters/inference.nats.js';

const DEFAULT_PORT = 8080;
const HOUR_MS = 3_600_000;
/** Beyond the deadline of a request, so that the error of the router or the worker comes first. */
const DEADLINE_GRACE_MS = 5_000;

/** The composition root: ports to adapters. Nest holds the life of the service; calls go from Node's HTTP server to NATS. */
export async function gatewayModule(context: ServiceContext): Promise<DynamicModule> {
  const { config, bus, env, readiness, health } = context;
  const log = new Logger('Gateway');
  const warn = (message: string): void => log.warn(message);
  const { limits } = config;
  const mostMs = limits.requestDeadlineMs + DEADLINE_GRACE_MS;
  const database = await connectDatabase(
    env['DATABASE_URL'] ?? 'postgres://meritorder@127.0.0.1:5432/meritorder',
    'meritorder-gateway',
  );
  const rateLimits = RedisRateLimits.open(env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', warn);
  const idempotency = new PostgresIdempotencyStore(database, { requestDeadlineMs: mostMs, onError: warn });
  idempotency.start();
  const keptMs = limits.responsesKeptHours * HOUR_MS;
  const responses = keptMs > 0 ? new PostgresResponseStore(database, { keptMs, onError: warn }) : undefined;
  responses?.start();
  const inference = new NatsInference(bus, mostMs, warn);
  const keys = await KeyRing.open({
    config,
    bus,
    secretOf: (name) => secretFromEnvironment(name, env),
    onError: warn,
  });
  const requests = meter().createCounter('meritorder_gateway_requests', {
    description: 'HTTP calls by org, kind and how they ended',
  });
  const edge = new HttpEdge({
    config,
    limits,
    keys,
    ports: {
      inference,
      rateLimits,
      idempotency,
      responses,
      mostBytes: limits.bodyBytes,
      mostMs,
      nowMs: () => systemClock.nowMs(),
    },
    health,
    onOutcome: (org, kind, outcome) => requests.add(1, { org, kind, outcome }),
    onError: (error, requestId) => log.error(`request ${requestId}: ${error.stack}`),
  });
  readiness(() => (edge.isDraining() ? 'draining' : undefined));
  readiness(() => keys.stale());
  readiness(() => (inference.isConnected() ? undefined : 'NATS is not connected'));
  meter()
    .createObservableGauge('meritorder_gateway_requests_in_flight', { description: 'Calls this gateway is answering' })
    .addCallback((result) => result.observe(edge.slots.inFlight));
  return {
    module: class GatewayModule {
      async onApplicationBootstrap(): Promise<void> {
        await edge.listen(env['GATEWAY_HOST'] ?? '127.0.0.1', Number(env['GATEWAY_PORT'] ?? DEFAULT_PORT));
      }

      async onApplicationShutdown(): Promise<void> {
        await edge.drain(limits.drainMs);
        inference.close();
        keys.close();
        idempotency.close();
        responses?.close();
        rateLimits.close();
        await database.destroy();
      }
    },
    // Calls are answered while Postgres is away, so what cannot be said of keys then is no reason to send callers elsewhere.
    ...keyIssuing({ config, bus, readiness: () => {} }, database),
  };
}
