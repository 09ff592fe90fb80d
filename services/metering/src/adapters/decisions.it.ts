import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  DecisionsReply,
  EXAMPLES,
  MeritorderConfig,
  orgInboxPrefix,
  OutcomeRecordedV1,
  OutcomeReply,
  STREAMS,
  subjects,
  type RoutingDecisionMadeV1,
} from '@meritorder/contracts';
import { connectDatabase, migrate, relayOutbox, waitingOutcomes } from '@meritorder/ledger-store';
import {
  connectBus,
  contextOf,
  encodeEvent,
  ensureTopology,
  followStream,
  natsServerConfig,
  natsUsers,
  orgUser,
  SERVICE_INBOX,
  streamState,
  type Bus,
} from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { testServers, waitFor } from '@meritorder/testing';
import { headers } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { MeteringRuntime } from '../metering.runtime.js';
import { DecisionsConsumer } from './decisions.consumer.js';
import { DecisionsController } from './decisions.controller.js';
import { OutcomesController } from './outcomes.controller.js';
import { WaitingOutcomes } from './outcomes-work.js';

const config = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'acme' }, { id: 'globex' }],
  backends: [
    {
      id: 'gpt-4-1-mini',
      kind: 'cloud',
      provider: 'simco',
      model: 'm',
      catalogue: false,
      baseUrl: 'http://127.0.0.1:1/v1',
      contextTokens: 10,
      maxOutputTokens: 5,
      prices: [
        {
          effectiveFrom: '2025-01-01T00:00:00Z',
          cash: { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' },
        },
      ],
    },
  ],
  routes: [{ id: 'auto', backends: ['gpt-4-1-mini'] }],
});
const servers = testServers();
const passwords = Object.fromEntries(natsUsers(config).map((u) => [u.user, `pw-${u.user}`]));
const connections: Bus[] = [];
let natsUrl: string;
let db: DataSource;
let runtime: MeteringRuntime;
let consumer: DecisionsConsumer;
let metering: Bus;
let router: Bus;
let operator: Bus;
let acme: Bus;
let globex: Bus;

async function as(user: string, inboxPrefix: string): Promise<Bus> {
  const bus = await connectBus({ url: natsUrl, user, password: passwords[user], name: user, inboxPrefix });
  connections.push(bus);
  return bus;
}

beforeAll(async () => {
  const [postgres, nats] = await Promise.all([
    servers.postgres(),
    servers.nats((port, storeDir) =>
      natsServerConfig(natsUsers(config), passwords, { listen: `127.0.0.1:${port}`, storeDir }),
    ),
  ]);
  natsUrl = nats.url;
  await migrate(postgres.url);
  db = await connectDatabase(postgres.url, 'test');
  operator = await as('operator', SERVICE_INBOX.operator);
  await ensureTopology(operator, config);
  [metering, router, acme, globex] = await Promise.all([
    as('metering', SERVICE_INBOX.metering),
    as('router', SERVICE_INBOX.router),
    as(orgUser('acme'), orgInboxPrefix('acme')),
    as(orgUser('globex'), orgInboxPrefix('globex')),
  ]);
  // Neither prices nor counters are asked here.
  runtime = new MeteringRuntime(config, metering, db, undefined as never, undefined as never);
  consumer = new DecisionsConsumer(runtime);
  consumer.onApplicationBootstrap();
  const outcomes = new OutcomesController(runtime, new WaitingOutcomes());
  const decisions = new DecisionsController(runtime);
  metering.nats.subscribe('outcome.reported.v1.*', {
    queue: 'metering',
    callback: (_error, message) => void outcomes.outcome(message.data, new NatsContext([message])),
  });
  metering.nats.subscribe('metering.decisions.v1', {
    callback: (_error, message) => void decisions.decisions(message.data, new NatsContext([message])),
  });
  await metering.nats.flush();
});
afterAll(async () => {
  await consumer?.onApplicationShutdown();
  await Promise.all(connections.map((bus) => bus.close()));
  await db?.destroy();
  await servers.stop();
});

const decision = (requestId: string, over: Partial<RoutingDecisionMadeV1> = {}): RoutingDecisionMadeV1 => ({
  ...(EXAMPLES.events['routing.decision-made.v1'] as RoutingDecisionMadeV1),
  requestId,
  attemptId: `${requestId}-a1`,
  attribution: { org: 'acme', feature: 'chat' },
  tags: ['feature=chat'],
  ...over,
});
/** As a router publishes it; `id` says that it is another publication of the same. */
async function decide(
  record: RoutingDecisionMadeV1,
  id = `acme/${record.requestId}/${record.attemptId}`,
): Promise<void> {
  const { org } = record.attribution;
  await router.publishEvent({
    type: 'routing.decision-made.v1',
    subject: subjects.routingDecisionMade(org),
    id,
    time: record.decidedAt,
    data: record,
  });
}
const kept = async (requestId: string): Promise<number> =>
  (await db.query(`select count(*)::int as n from decisions where request_id = $1`, [requestId]))[0].n;
const isKept = (requestId: string) =>
  waitFor(async () => (await kept(requestId)) > 0, { message: `the decision for ${requestId} is on record` });
const report = async (bus: Bus, org: string, body: unknown): Promise<OutcomeReply> =>
  OutcomeReply.parse(
    (
      await bus.nats.request(subjects.outcomeReported(org), typeof body === 'string' ? body : JSON.stringify(body))
    ).json(),
  );
const thumbs = (request_id: string, value = true) => ({ request_id, kind: 'thumbs', value });

/** The relay of metering, as its periodic work runs it. */
function relay(afterwards: () => void = () => {}): Promise<number> {
  return relayOutbox(db, 'metering', 100, async (row) => {
    await metering.publishEvent({
      type: row.type,
      subject: row.subject,
      id: row.messageId,
      time: row.occurredAt,
      data: row.body as OutcomeRecordedV1,
      context: contextOf(row.traceparent),
    });
    afterwards();
  });
}
/** All that the stream holds of outcomes, oldest first. */
async function recordedEvents(): Promise<OutcomeRecordedV1[]> {
  const manager = await operator.manager();
  const { state } = await manager.streams.info(STREAMS.events.name);
  const events: OutcomeRecordedV1[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const stored = await manager.streams.getMessage(STREAMS.events.name, { seq });
    if (stored?.subject.startsWith('outcome.recorded.v1.')) events.push(OutcomeRecordedV1.parse(stored.json()));
  }
  return events;
}

it('decisions are kept once, also when they come again; poison goes to the dead letters and holds up nothing', async () => {
  const record = decision('once');
  await decide(record);
  await decide(record, 'published-again');
  const manager = await operator.manager();
  const { headers: broken } = encodeEvent(
    {
      type: 'routing.decision-made.v1',
      subject: subjects.routingDecisionMade('acme'),
      id: 'broken',
      time: record.decidedAt,
      data: record,
    },
    'test',
  );
  await router.jetstream.publish(subjects.routingDecisionMade('acme'), '{"requestId": 7}', { headers: broken });
  // By its schema it is right; Postgres holds no NUL.
  await decide(decision('nul', { reason: 'a\u0000b' }));
  await decide(decision('after'));
  await isKept('after');
  await waitFor(async () => (await manager.streams.info(STREAMS.deadLetter.name)).state.messages === 2, {
    message: 'two dead letters',
  });
  expect(await Promise.all([kept('once'), kept('nul'), kept('after')])).toEqual([1, 0, 1]);
  const reasons = await Promise.all(
    [1, 2].map(async (seq) =>
      (await manager.streams.getMessage(STREAMS.deadLetter.name, { seq }))!.header.get('Meritorder-Reason'),
    ),
  );
  expect(reasons.toSorted()).toEqual([expect.stringMatching(/^it cannot be kept/), expect.stringMatching(/requestId/)]);
});

it('of a decision in two copies the whole is kept, also when the copy of the org comes first', async () => {
  const whole = decision('copied', { sharedBudgets: ['account-p'] });
  const { sharedBudgets: _shared, ...told } = whole;
  await decide({ ...told, budgetsWithheld: true });
  await router.publishEvent({
    type: 'routing.decision-made.v1',
    subject: subjects.routingDecisionMade('operator'),
    id: `operator/acme/${whole.requestId}/${whole.attemptId}`,
    time: whole.decidedAt,
    data: whole,
  });
  await isKept('copied');
  const rows = await db.query(`select org, record from decisions where request_id = 'copied'`);
  expect(rows).toEqual([{ org: 'acme', record: whole }]);
});

it('an outcome is recorded once, told to its org and to routers, and known from then on', async () => {
  await decide(decision('good'));
  await isKept('good');
  const heard: [string, OutcomeRecordedV1][] = [];
  acme.nats.subscribe('outcome.recorded.v1.acme', {
    callback: (_error, message) => void heard.push(['acme', OutcomeRecordedV1.parse(message.json())]),
  });
  await acme.nats.flush();
  // Routers read the stream, from where they were.
  const { lastSequence } = await streamState(router, STREAMS.events.name);
  const reading = followStream(
    router,
    STREAMS.events.name,
    lastSequence + 1,
    ({ subject, data }) => {
      if (subject.startsWith('outcome.recorded.v1.'))
        heard.push(['router', OutcomeRecordedV1.parse(JSON.parse(new TextDecoder().decode(data)))]);
    },
    (error) => expect.fail(error.message),
  );
  const replies = await Promise.all(Array.from({ length: 5 }, () => report(acme, 'acme', thumbs('good'))));
  expect(replies.map((r) => ('state' in r ? r.state : r)).toSorted()).toEqual([
    ...Array<string>(4).fill('known'),
    'recorded',
  ]);
  expect(replies[0]).toMatchObject({ outcome_id: 'thumbs' });
  expect(await report(acme, 'acme', { request_id: 'good', kind: 'conversion', revenue_usd: '5.50' })).toEqual({
    outcome_id: 'conversion',
    state: 'recorded',
  });
  while ((await relay()) > 0);
  await waitFor(() => heard.length === 4, { message: 'org and router have heard of both' });
  reading.stop();
  const [first, second] = heard.filter(([who]) => who === 'router').map(([, event]) => event);
  expect(first).toMatchObject({
    requestId: 'good',
    attemptId: 'good-a1',
    backend: 'gpt-4-1-mini',
    quality: { value: 1, weight: 1 },
    tags: ['feature=chat'],
    attribution: { org: 'acme', feature: 'chat' },
  });
  expect(second).toMatchObject({ converted: true, revenueNanos: '5500000000' });
});

it('an outcome that comes before its decision waits for it; one without an inbox is taken in silence', async () => {
  expect(await report(acme, 'acme', thumbs('later', false))).toEqual({ outcome_id: 'thumbs', state: 'pending' });
  acme.nats.publish(subjects.outcomeReported('acme'), JSON.stringify({ request_id: 'later', kind: 'retry' }));
  await waitFor(async () => (await waitingOutcomes(db)).get('acme') === 2, { message: 'both wait' });
  expect(await report(acme, 'acme', thumbs('later', false))).toMatchObject({ state: 'known' });
  await decide(decision('later'));
  await waitFor(async () => (await waitingOutcomes(db)).size === 0, { message: 'nothing waits' });
  while ((await relay()) > 0);
  const events = (await recordedEvents()).filter((e) => e.requestId === 'later');
  expect(events.map((e) => [e.kind, e.quality]).toSorted()).toEqual([
    ['retry', { value: 0, weight: 0.5 }],
    ['thumbs', { value: 0, weight: 1 }],
  ]);
});

it('an outcome survives a metering that dies between the commit and the publication, and is published once', async () => {
  await decide(decision('crash'));
  await isKept('crash');
  expect(await report(acme, 'acme', thumbs('crash'))).toMatchObject({ state: 'recorded' });
  const before = (await recordedEvents()).length;
  // Published, and killed before the outbox could be told.
  await expect(
    relay(() => {
      throw new Error('killed');
    }),
  ).rejects.toThrow('killed');
  expect(await report(acme, 'acme', thumbs('crash'))).toMatchObject({ state: 'known' });
  while ((await relay()) > 0);
  expect((await recordedEvents()).slice(before).map((e) => e.requestId)).toEqual(['crash']);
});

it("another org's request is as one that never was, and only the org's own inbox is answered", async () => {
  await decide(decision('private'));
  await isKept('private');
  const strangers = await Promise.all(['private', 'never-was'].map((id) => report(globex, 'globex', thumbs(id))));
  expect(strangers).toEqual(['private', 'never-was'].map(() => ({ outcome_id: 'thumbs', state: 'pending' })));

  const stray: string[] = [];
  acme.nats.subscribe(`${orgInboxPrefix('acme')}.stray`, { callback: (_e, m) => void stray.push(m.string()) });
  await acme.nats.flush();
  globex.nats.publish(subjects.outcomeReported('globex'), JSON.stringify(thumbs('other')), {
    reply: `${orgInboxPrefix('acme')}.stray`,
    headers: headers(),
  });
  await globex.nats.flush();
  // What follows is answered, so the stray one was seen before.
  await report(globex, 'globex', thumbs('private'));
  await report(acme, 'acme', thumbs('private'));
  await acme.nats.flush();
  expect(stray).toEqual([]);
});

it.each([
  ['not json', 'body_not_json'],
  [{ kind: 'thumbs', value: true }, 'body_invalid'],
  [{ request_id: 'r', kind: 'thumbs', value: 1 }, 'body_invalid'],
  [{ request_id: 'r', kind: 'judge', value: 1.2 }, 'body_invalid'],
  [{ request_id: 'r', kind: 'retry', more: 1 }, 'body_invalid'],
  [{ request_id: 'r', kind: 'retry', occurred_at: '2999-01-01T00:00:00Z' }, 'body_invalid'],
  [{ request_id: 'r', kind: 'retry', outcome_id: 'a\u0000b' }, 'body_invalid'],
  [{ request_id: 'r', kind: 'conversion', revenue_usd: '9999999999' }, 'body_invalid'],
  [JSON.stringify({ request_id: 'r', kind: 'retry', outcome_id: 'x'.repeat(20_000) }), 'body_too_large'],
])('a report that is wrong is refused by a code that stays: %#', async (body, code) => {
  expect(await report(acme, 'acme', body)).toEqual({ error: { code, message: expect.any(String) } });
});

it('an operator reads what was decided and what came of it; nobody else is answered', async () => {
  await decide(decision('read'));
  await isKept('read');
  await report(acme, 'acme', { request_id: 'read', kind: 'judge', value: 0.75 });
  const ask = async (request: object): Promise<DecisionsReply> =>
    DecisionsReply.parse((await operator.nats.request(subjects.meteringDecisions(), JSON.stringify(request))).json());
  expect(await ask({ requestId: 'read' })).toMatchObject({
    org: 'acme',
    attempts: [{ record: decision('read'), booked: null }],
    outcomes: [{ kind: 'judge', value: 0.75, attemptNumber: 1, revenueNanos: null }],
  });
  expect(await ask({ requestId: 'read', org: 'globex' })).toMatchObject({ error: { code: 'request_unknown' } });
  expect(await ask({ requestId: 'NOT A SLUG' })).toMatchObject({ error: { code: 'body_invalid' } });
  await expect(
    router.nats.request(subjects.meteringDecisions(), JSON.stringify({ requestId: 'read' }), { timeout: 500 }),
  ).rejects.toThrow();
});
