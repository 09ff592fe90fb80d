import type { Subscription } from '@nats-io/transport-node';
import type { DynamicModule } from '@nestjs/common';
import { KeyRing } from '@meritorder/access/keys';
import { Counters } from '@meritorder/counters';
import { AWAKE_TICK_MS, AwakeClock, systemClock } from '@meritorder/kernel';
import { followEpoch, followFleet, secretFromEnvironment, type Bus } from '@meritorder/messaging';
import type { ServiceContext } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import { RedisAdmission } from './adapters/admission.redis.js';
import { NatsAttemptLog } from './adapters/attempt-log.nats.js';
import { NatsCaller } from './adapters/caller.nats.js';
import { NatsCatalogue } from './adapters/catalogue.nats.js';
import { NatsDecisionLog } from './adapters/decision-log.nats.js';
import { FleetController } from './adapters/fleet.controller.js';
import { EstimatesController } from './adapters/estimates.controller.js';
import { LearningConversions } from './adapters/conversions.nats.js';
import { EventsFeed } from './adapters/events-feed.nats.js';
import { LearningLoads } from './adapters/loads.memory.js';
import { LearningQualities } from './adapters/quality.nats.js';
import { RetryTokens } from './adapters/retries.memory.js';
import { LearningEstimator } from './adapters/estimator.nats.js';
import { NatsExtensionLog } from './adapters/extension-log.nats.js';
import { HedgeTokens } from './adapters/hedges.memory.js';
import { HeartbeatFleet } from './adapters/fleet.memory.js';
import { JobsController } from './adapters/jobs.controller.js';
import { RequestsController } from './adapters/requests.controller.js';
import { NatsKeyLog } from './adapters/key-log.nats.js';
import { NatsWorkers } from './adapters/workers.nats.js';
import { SlotQueue } from './application/slot-queue.js';
import { ROUTER, RouterRuntime } from './router.runtime.js';

/** Of these, what is left to those that have a slot: who has none by then is told to come again. */
const LAST_OF_DRAIN_MS = 10_000;
/** Workers beat once a second: after this a router knows who is alive. */
const HEARTBEATS_HEARD_MS = 1_300;

/** The composition root: ports to adapters. */
export async function routerModule({ config, bus, env, readiness }: ServiceContext): Promise<DynamicModule> {
  const warn = (message: string): void => console.warn(JSON.stringify({ level: 'warn', service: 'router', message }));
  const counters = await Counters.connect(env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', {
    onError: (e) => warn(`Redis: ${e.message}`),
  });
  const following = new AbortController();
  await followEpoch(bus, (id) => counters.requireEpoch(id), following.signal);
  const weights = new Map(config.orgs.map((org) => [org.id, org.gpuWeight ?? 1]));
  const awake = new AwakeClock(performance.now());
  const weightOf = (org: string): number => weights.get(org) ?? 1;
  const every = (ms: number, run: () => void): (() => void) => {
    const timer = setInterval(run, ms);
    return () => clearInterval(timer);
  };
  const fleet = new HeartbeatFleet(systemClock, Math.random, weightOf, awake);
  const slots = new SlotQueue({ slots: fleet, clock: systemClock, every }, config.limits, weightOf);
  fleet.onFree = (backend) => slots.free(backend);
  const catalogue = new NatsCatalogue(config, bus, warn);
  const heartbeats = hearHeartbeats(bus, fleet, catalogue, warn);
  const listeningSinceMs = Date.now();
  await catalogue.start();
  const feed = await EventsFeed.open(bus, warn);
  const estimator = new LearningEstimator(config, bus, feed, systemClock, warn);
  const fleetChanged = (): void => {
    catalogue.fleetChanged();
    void estimator.fleetChanged().catch((error: Error) => warn(`a vocabulary is not there: ${error.message}`));
  };
  await followFleet(bus, config, fleetChanged, warn, following.signal);
  await estimator.start();
  const qualities = new LearningQualities(config, bus, feed, systemClock, warn);
  await qualities.start();
  const conversions = new LearningConversions(bus, feed, systemClock, warn);
  await conversions.start();
  feed.start();
  const loads = new LearningLoads({ get: (id) => catalogue.backend(id) }, fleet);
  const closed = hearClosed(bus, loads, warn);
  const workers = new NatsWorkers(bus, awake);
  const awakeTimer = setInterval(() => {
    awake.tick(performance.now());
    workers.giveUpSilent();
  }, AWAKE_TICK_MS);
  const decisions = new NatsDecisionLog(bus, warn);
  const ports = {
    clock: systemClock,
    admission: new RedisAdmission(counters),
    catalogue,
    estimator,
    qualities,
    conversions,
    loads,
    retries: new RetryTokens(),
    hedges: new HedgeTokens(systemClock),
    random: Math.random,
    fleet,
    workers,
    caller: new NatsCaller(bus),
    decisions,
    attempts: new NatsAttemptLog(bus, (error) => warn(`attempts: ${error.message}`)),
    extensions: new NatsExtensionLog(bus),
    keys: await NatsKeyLog.open(bus),
    slots,
    every,
  };
  const keyRing = await KeyRing.open({
    config,
    bus,
    secretOf: (name) => secretFromEnvironment(name, env),
    onError: warn,
  });
  const orgs = new Map(config.orgs.map((org) => [org.id, org]));
  const runtime = new RouterRuntime(config, bus, ports, { orgs, keys: keyRing });
  readiness(() => keyRing.stale());
  readiness(() =>
    counters.openEpochId() === undefined ? 'admission is closed: the budget counters are being rebuilt' : undefined,
  );
  readiness(() => (catalogue.knowsAllBudgets() ? undefined : 'not all budgets are known yet'));
  readiness(() => {
    const unheard = catalogue.unheardOf();
    return unheard.length > 0 ? `no word yet of the prices of ${unheard.slice(0, 5).join(', ')}` : undefined;
  });
  meter()
    .createObservableGauge('meritorder_requests_in_flight', { description: 'Requests this router is working on' })
    .addCallback((result) => result.observe(runtime.requestsInFlight()));
  meter()
    .createObservableGauge('meritorder_requests_waiting', { description: 'Of these, waiting for a slot' })
    .addCallback((result) => result.observe(slots.size));
  // Its share of the requests comes at once: before it knows the workers it would refuse what others could serve.
  await new Promise((r) => setTimeout(r, Math.max(0, HEARTBEATS_HEARD_MS - (Date.now() - listeningSinceMs))));
  return {
    module: class RouterModule {
      async onApplicationShutdown(): Promise<void> {
        const deadline = Date.now() + config.limits.drainMs;
        while (runtime.requestsInFlight() > 0 && Date.now() < deadline) {
          if (Date.now() > deadline - LAST_OF_DRAIN_MS) slots.close();
          await new Promise((r) => setTimeout(r, 50));
        }
        heartbeats.unsubscribe();
        closed.unsubscribe();
        clearInterval(awakeTimer);
        workers.close();
        await decisions.close();
        catalogue.close();
        keyRing.close();
        feed.stop();
        await estimator.close();
        await qualities.close();
        await conversions.close();
        following.abort();
        await counters.close();
      }
    },
    providers: [{ provide: ROUTER, useValue: runtime }],
    controllers: [RequestsController, EstimatesController, FleetController, JobsController],
  };
}

function hearHeartbeats(
  bus: Bus,
  fleet: HeartbeatFleet,
  catalogue: NatsCatalogue,
  warn: (message: string) => void,
): Subscription {
  return bus.nats.subscribe('worker.heartbeat.v1.>', {
    callback: (error, message) => {
      try {
        if (error) throw error;
        fleet.heard(message.data, message.subject, (id) => catalogue.backend(id));
      } catch (problem) {
        warn(`a heartbeat was ignored: ${(problem as Error).message}`);
      }
    },
  });
}

function hearClosed(bus: Bus, loads: LearningLoads, warn: (message: string) => void): Subscription {
  return bus.nats.subscribe('usage.attempt-closed.v1.>', {
    callback: (error, message) => {
      try {
        if (error) throw error;
        loads.heardClosed(message.data, message.subject, Date.now());
      } catch (problem) {
        warn(`a closed attempt taught nothing: ${(problem as Error).message}`);
      }
    },
  });
}
