import { EXAMPLES, MeritorderConfig, STREAMS, subjects, type OutcomeRecordedV1 } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { busOn, ensureTopology, type Bus } from '@meritorder/messaging';
import { waitFor } from '@meritorder/testing';
import { useNats } from '@meritorder/testing/vitest';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { EventsFeed } from './events-feed.nats.js';
import { LearningQualities } from './quality.nats.js';

const nats = useNats();
const config = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'acme' }],
  backends: ['east', 'west'].map((id) => ({
    id,
    kind: 'cloud',
    provider: 'openai',
    model: 'gpt',
    baseUrl: 'http://127.0.0.1:1',
    contextTokens: 1_000,
    maxOutputTokens: 500,
  })),
});
const buses: Bus[] = [];
const routers: LearningQualities[] = [];
const errors: string[] = [];
let metering: Bus;

async function startRouter(): Promise<LearningQualities> {
  const bus = busOn(await connect({ servers: nats.url }), 'router');
  buses.push(bus);
  const onError = (message: string): void => void errors.push(message);
  const feed = await EventsFeed.open(bus, onError);
  const router = new LearningQualities(config, bus, feed, { nowMs: () => START_MS }, onError);
  await router.start();
  feed.start();
  routers.push(router);
  return router;
}
const START_MS = Date.parse('2026-11-25T08:00:00Z');

beforeAll(async () => {
  metering = busOn(await connect({ servers: nats.url }), 'metering');
  buses.push(metering);
  await ensureTopology(metering, config);
});
afterAll(async () => {
  await Promise.all(routers.map((router) => router.close()));
  await Promise.all(buses.map((bus) => bus.close()));
});

let told = 0;
const random = seededRandom(5);
/** Outcomes of both replicas, as metering tells them; each a second after the one before. */
async function tell(count: number, quality: number): Promise<void> {
  for (let i = 0; i < count; i++, told++) {
    const at = new Date(START_MS + told * 1_000).toISOString();
    const event: OutcomeRecordedV1 = {
      ...(EXAMPLES.events['outcome.recorded.v1'] as OutcomeRecordedV1),
      outcomeId: 'judge',
      requestId: `r-${told}`,
      backend: told % 2 === 0 ? 'east' : 'west',
      quality: { value: quality + 0.2 * (random() - 0.5), weight: 1 },
      reportedAt: at,
    };
    const subject = subjects.outcomeRecorded('acme');
    await metering.publishEvent({ type: 'outcome.recorded.v1', subject, id: `o-${told}`, time: at, data: event });
  }
}
async function shifts(): Promise<number> {
  const manager = await metering.manager();
  const { state } = await manager.streams.info(STREAMS.events.name, { subjects_filter: 'quality.model-shifted.v1.*' });
  return state.subjects?.['quality.model-shifted.v1.acme'] ?? 0;
}
const outcomesKnown = (router: LearningQualities): number =>
  router.stateOf('acme')?.models.get('openai/gpt')?.all.weight ?? 0;

it('a shift that all routers notice is in the stream once; one that knows less takes it over and does not tell it later', async () => {
  await startRouter();
  await startRouter();
  await tell(100, 0.85);
  await waitFor(() => routers.every((router) => outcomesKnown(router) === 100), { message: 'both have heard of them' });
  // It hears of less than the others: what they heard has left the stream, and none of it is kept yet.
  await (await metering.manager()).streams.purge(STREAMS.events.name);
  const late = await startRouter();
  await tell(45, 0.85);
  await waitFor(() => routers.every((router) => outcomesKnown(router) > 40), { message: 'all have heard of them' });
  const before = routers.map(outcomesKnown);
  expect(before[2]).toBeLessThan(before[0]! / 2);

  const changed = told;
  for (let i = 0; i < 80 && (await shifts()) === 0; i++) await tell(1, 0.35);
  expect(await shifts()).toBe(1);
  const manager = await metering.manager();
  const stored = await manager.streams.getMessage(STREAMS.events.name, {
    last_by_subj: subjects.qualityModelShifted('acme'),
  });
  const event = stored!.json<{ since: string; backends: string[]; direction: string }>();
  expect(event).toMatchObject({ direction: 'worse', backends: ['east', 'west'] });
  // A few of the good ones may look like the beginning of it; it is noticed after many more.
  expect(Math.abs(Date.parse(event.since) - (START_MS + changed * 1_000))).toBeLessThanOrEqual(10_000);

  // All have forgotten most, the late one too, and none notices it again while they learn what it is now.
  await waitFor(() => outcomesKnown(late) < before[2]! / 2, { message: 'the late one to take it over' });
  await tell(100, 0.35);
  await waitFor(() => routers.every((router) => outcomesKnown(router) > 90), { message: 'all have heard of them' });
  expect(await shifts()).toBe(1);
  expect(errors).toEqual([]);
});
