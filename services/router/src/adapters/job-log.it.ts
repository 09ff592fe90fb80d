import { afterAll, beforeAll, expect, it } from 'vitest';
import { STREAMS, subjects, type MeritorderConfig } from '@meritorder/contracts';
import { busOn, ensureTopology, type Bus } from '@meritorder/messaging';
import { useNats } from '@meritorder/testing/vitest';
import { connect } from '@nats-io/transport-node';
import type { KnownJob } from '../application/ports.js';
import { NatsJobLog } from './job-log.nats.js';

const nats = useNats();
const buses: Bus[] = [];
let logs: NatsJobLog[];

beforeAll(async () => {
  for (let i = 0; i < 4; i++) buses.push(busOn(await connect({ servers: nats.url }), 'test'));
  await ensureTopology(buses[0]!, { orgs: [] } as unknown as MeritorderConfig);
  logs = buses.map((bus) => new NatsJobLog(bus));
});
afterAll(() => Promise.all(buses.map((bus) => bus.close())));

const job = (claim: string, acceptedAt = '2026-11-01T10:00:00.000Z'): KnownJob => ({
  fingerprint: 'f',
  acceptedAt,
  claim,
  messageId: 'acme/j',
  state: 'taken',
});
async function publishResult(id: string, acceptedAt?: string): Promise<void> {
  await buses[0]!.publishEvent({
    type: 'inference.result.v1',
    subject: subjects.inferenceResult('acme', id),
    id: `acme/${id}/result`,
    time: '2026-11-01T10:00:05.000Z',
    data: {
      requestId: id,
      org: 'acme',
      status: 'ok',
      body: { answer: 'yes' },
      finishedAt: '2026-11-01T10:00:05.000Z',
      ...(acceptedAt === undefined ? {} : { acceptedAt }),
    },
  });
}

it('of 40 jobs of one id at once through four routers one is remembered, and all are told which', async () => {
  const held = await Promise.all(Array.from({ length: 40 }, (_, i) => logs[i % 4]!.take('acme', 'j', job(`c${i}`))));
  expect(new Set(held.map((h) => h.job.claim)).size).toBe(1);
  expect((await logs[0]!.take('globex', 'j', job('other'))).job.claim).toBe('other');
});

it('of those who say something new of one revision one is heard', async () => {
  const { revision } = await logs[0]!.take('acme', 'revised', job('first'));
  const said = await Promise.all(logs.map((log, i) => log.replace('acme', 'revised', job(`c${i}`), revision)));
  expect(said.filter((r) => r !== undefined)).toHaveLength(1);
});

it('the end of a job is written down for that one alone, and nothing where nobody named its id', async () => {
  await logs[0]!.take('acme', 'ending', job('first'));
  await logs[1]!.ended('acme', 'ending', '2026-10-01T10:00:00.000Z');
  expect((await logs[2]!.take('acme', 'ending', job('other'))).job.state).toBe('taken');
  await logs[1]!.ended('acme', 'ending', job('first').acceptedAt);
  expect((await logs[2]!.take('acme', 'ending', job('other'))).job).toEqual({ ...job('first'), state: 'ended' });
  await logs[1]!.ended('acme', 'unnamed', job('first').acceptedAt);
  expect((await logs[2]!.take('acme', 'unnamed', job('new'))).job.claim).toBe('new');
});

it('a result is told again as it was, under its id; one of an earlier job of that id is not its own', async () => {
  const { acceptedAt } = job('any');
  expect(await logs[0]!.tellResult('acme', 'told', acceptedAt)).toBe(false);
  await publishResult('told', acceptedAt);
  const heard: [string, unknown][] = [];
  buses[1]!.nats.subscribe('inference.result.v1.acme.told', {
    callback: (_error, message) => void heard.push([message.headers!.get('ce-id'), message.json()]),
  });
  await buses[1]!.nats.flush();
  expect(await logs[0]!.tellResult('acme', 'told', acceptedAt)).toBe(true);
  await buses[1]!.nats.flush();
  const [[id, body]] = heard as [[string, { acceptedAt: string }]];
  expect([id, body.acceptedAt]).toEqual(['acme/told/result', acceptedAt]);
  expect(await logs[0]!.hasResult('acme', 'told', '2026-11-09T10:00:00.000Z')).toBe(false);
  // Earlier versions said only when it was finished.
  await publishResult('old');
  expect(await logs[0]!.hasResult('acme', 'old', acceptedAt)).toBe(true);
  expect(await logs[0]!.hasResult('acme', 'old', '2026-11-01T10:00:06.000Z')).toBe(false);
  await (await buses[0]!.manager()).streams.purge(STREAMS.events.name);
  expect(await logs[0]!.hasResult('acme', 'told', acceptedAt)).toBe(false);
});
