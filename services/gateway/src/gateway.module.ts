import type { DynamicModule } from '@nestjs/common';
import { KeyRing } from '@meritorder/access/keys';
import { systemClock } from '@meritorder/kernel';
import { secretFromEnvironment } from '@meritorder/messaging';
import type { ServiceContext } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import { HttpEdge } from './adapters/http/http-edge.js';
import { MemoryIdempotency } from './adapters/idempotency.memory.js';
import { NatsInference } from './adapters/inference.nats.js';
import { NoRateLimits } from './adapters/rate-limits.none.js';

const DRAIN_LIMIT_MS = 25_000;
const DEFAULT_PORT = 8080;
/** Beyond the deadline of a request, so that the error of the router or the worker comes first. */
const DEADLINE_GRACE_MS = 5_000;

/** The composition root: ports to adapters. Nest holds the life of the service; calls go from Node's HTTP server to NATS. */
export async function gatewayModule(context: ServiceContext): Promise<DynamicModule> {
  const { config, bus, env, readiness, health } = context;
  const log = (level: 'warn' | 'error', message: string): void =>
    console[level](JSON.stringify({ level, service: 'gateway', message }));
  const { limits } = config;
  const inference = new NatsInference(bus, limits.requestDeadlineMs + DEADLINE_GRACE_MS, (m) => log('warn', m));
  const requests = meter().createCounter('meritorder_gateway_requests', {
    description: 'HTTP calls by org, kind and how they ended',
  });
  const keys = await KeyRing.open({
    config,
    bus,
    secretOf: (name) => secretFromEnvironment(name, env),
    onError: (m) => log('warn', m),
  });
  const edge = new HttpEdge({
    config,
    limits,
    keys,
    ports: {
      inference,
      rateLimits: new NoRateLimits(),
      idempotency: new MemoryIdempotency(systemClock),
      nowMs: () => systemClock.nowMs(),
    },
    health,
    onOutcome: (org, kind, outcome) => requests.add(1, { org, kind, outcome }),
    onError: (error, requestId) => log('error', `request ${requestId}: ${error.stack}`),
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
        await edge.drain(DRAIN_LIMIT_MS);
        inference.close();
        keys.close();
      }
    },
  };
}
