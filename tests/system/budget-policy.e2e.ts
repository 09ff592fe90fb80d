import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@meritorder/testing';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

/** 100 output tokens cost $0.0001; input is free. */
const CASH = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '1' };
/** Electricity that is paid for by the token: own hardware that is not the cheapest. */
const DEAR = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '1.5' };
const FREE = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' };
const price = (cash: object, full?: object) => [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash, ...(full ? { full } : {}) },
];
const BILLED = {
  behaviour: { prices: { input: '0', output: '1' } },
  config: { prices: price(CASH), maxOutputTokens: 100 },
};
const total = (id: string, limitUsd: string, more: object = {}) => ({
  id,
  selector: { org: 'acme', feature: id },
  window: 'total',
  limitUsd,
  thresholds: [],
  ...more,
});

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      { id: 'cloud', ...BILLED },
      { id: 'gated', ...BILLED },
      { id: 'metered', ...BILLED, config: { ...BILLED.config, provider: 'metered' } },
      { id: 'own', kind: 'local', config: { prices: price(FREE, CASH), maxOutputTokens: 100 } },
      { id: 'dear-own', kind: 'local', config: { prices: price(DEAR), maxOutputTokens: 100 } },
    ],
    config: {
      orgs: [
        {
          id: 'acme',
          subscribers: [
            { name: 'budgets', context: 'budget' },
            { name: 'stages', context: 'policy' },
          ],
        },
      ],
      routes: [
        { id: 'either', backends: ['cloud', 'own'] },
        { id: 'cloud-first', backends: ['cloud', 'dear-own'] },
      ],
      accounts: [
        {
          provider: 'metered',
          allocation: { limitUsd: '0.001', window: 'total', throttleFrom: 0.5, throttleRequestsPerMinute: 1 },
        },
      ],
      budgets: [
        total('changing', '0.001'),
        total('lowered', '0.001'),
        total('staged', '0.001', { stages: [{ at: 0.2, action: 'throttle', requestsPerMinute: 1 }] }),
        total('preferring', '0.001', { stages: [{ at: 0.2, action: 'prefer-local' }] }),
        total('survives', '0.001'),
        {
          id: 'each-customer',
          selector: { org: 'acme', feature: 'template' },
          per: ['customer'],
          window: 'month',
          timeZone: 'Asia/Kolkata',
          limitUsd: '0.0001',
          thresholds: [1],
        },
        // The month may be spent to the last cent by others; the day is another budget (pitfall 26).
        { id: 'two-day', selector: { org: 'acme', feature: 'two' }, window: 'day', limitUsd: '0.0004', thresholds: [] },
        {
          id: 'two-month',
          selector: { org: 'acme', feature: 'two' },
          window: 'month',
          limitUsd: '1',
          thresholds: [0.5],
        },
      ],
    },
    instances: { router: 2 },
    supervise: true,
  });
  app = await product.app();
  operator = await product.stack.connectOperator();
});
afterAll(async () => {
  await operator?.close();
  await product?.stop();
});

async function budgets(request: Record<string, unknown>): Promise<any> {
  const by = request['verb'] === 'list' || request['verb'] === 'show' ? {} : { by: 'test' };
  const answer = await operator.request('budget-policy.budgets.v1', JSON.stringify({ ...request, ...by }), {
    timeout: 3_000,
  });
  return answer.json();
}
const set = (id: string, change: object) => budgets({ verb: 'set', id, change });

async function one(feature: string, more: Record<string, unknown> = {}): Promise<string> {
  const { metadata, ...rest } = more as { metadata?: object };
  const reply = await ask(
    app,
    chat('Write 100 words.', { model: 'cloud', ...rest, metadata: { feature, ...metadata } }),
  );
  return errorCode(reply) || reply.json<any>().meritorder.backend;
}
async function times(n: number, feature: string, more?: Record<string, unknown>): Promise<string[]> {
  return Promise.all(Array.from({ length: n }, () => one(feature, more)));
}
/** Until everything that was asked is booked and told. */
async function settled(id: string, settledNanos: string): Promise<any> {
  return waitFor(async () => {
    const [window] = (await budgets({ verb: 'show', id })).windows;
    return window?.settledNanos === settledNanos && window.heldNanos === '0' && window;
  }, `${settledNanos} to be settled on ${id}`);
}

describe('a budget that is changed while everything runs', () => {
  it('acts in every router before the change is answered: lowered, raised, and removed', async () => {
    expect(await times(2, 'changing')).toEqual(['cloud', 'cloud']);
    await settled('changing', '200000');
    await set('changing', { limitUsd: '0.0002' });
    expect(new Set(await times(8, 'changing'))).toEqual(new Set(['budget_exhausted']));
    await set('changing', { limitUsd: '0.0004' });
    expect((await times(8, 'changing')).filter((answer) => answer === 'cloud')).toHaveLength(2);
    await budgets({ verb: 'remove', id: 'changing' });
    await waitFor(async () => (await one('changing')) === 'cloud', 'the routers to forget it');
  });

  it('lowered below what is spent it admits nothing more, and that is no overrun', async () => {
    await times(3, 'lowered');
    await settled('lowered', '300000');
    const answer = await set('lowered', { limitUsd: '0.0001' });
    expect(answer.windows).toMatchObject([
      { exhausted: true, above: { loweredNanos: '200000', correctedNanos: '0', overrunNanos: '0' } },
    ]);
    expect(new Set(await times(8, 'lowered'))).toEqual(new Set(['budget_exhausted']));
  });

  it('keeps what an operator said through a kill and a restart, and tells nothing twice', async () => {
    await set('survives', { limitUsd: '0.0001' });
    const [before] = product.stack.of('budget-policy');
    before!.child.kill('SIGKILL');
    await waitFor(
      async () => {
        const { budgets: rows } = await budgets({ verb: 'show', id: 'survives' });
        return product.stack.of('budget-policy').at(-1) !== before && rows[0].definition.limitNanos === '100000';
      },
      'budget-policy to be back',
      30_000,
    );
    await waitFor(async () => (await one('survives')) === 'cloud', 'admission to be open');
    await settled('survives', '100000');
    expect(await one('survives')).toBe('budget_exhausted');
  });

  it('an operator who is wrong is told so', async () => {
    expect(await set('new', { limitUsd: '1' })).toMatchObject({
      error: { message: expect.stringContaining('no such budget') },
    });
    expect(await set('survives', { limitUsd: '99999999' })).toMatchObject({
      error: { message: expect.stringContaining('exact up to') },
    });
  });

  it('an org can neither ask nor change', async () => {
    await expect(
      app.request('budget-policy.budgets.v1', JSON.stringify({ verb: 'list' }), { timeout: 1_000 }),
    ).rejects.toThrow();
  });
});

it('of the first requests of a new customer, all at once, as many are admitted as its budget holds (pitfall 2)', async () => {
  const gate = (closed: boolean) =>
    fetch(`${product.simulator.url}/control/gate`, {
      method: 'POST',
      body: JSON.stringify({ model: 'gated', closed }),
    });
  for (const customer of ['first', 'second']) {
    await gate(true);
    const answers: string[] = [];
    const asked = Array.from({ length: 8 }, () =>
      one('template', { model: 'gated', metadata: { customer } }).then((answer) => answers.push(answer)),
    );
    await waitFor(() => answers.length === 7, 'the others to be decided');
    expect(new Set(answers)).toEqual(new Set(['budget_held']));
    await gate(false);
    await Promise.all(asked);
    expect(answers.at(-1)).toBe('gated');
  }
  const { windows } = await waitFor(async () => {
    const shown = await budgets({ verb: 'show', id: 'each-customer' });
    return shown.windows.length === 2 && shown.windows.every((w: any) => w.settledNanos === '100000') && shown;
  }, 'both customers to be shown');
  const { budget, values } = windows.find((w: any) => w.values.customer === 'first');
  expect(budget).toMatch(/^each-customer--[0-9a-f]{16}$/);
  await budgets({ verb: 'except', id: 'each-customer', values, limitUsd: '0.0002' });
  expect(await one('template', { metadata: { customer: 'first' } })).toBe('cloud');
  expect(await one('template', { metadata: { customer: 'second' } })).toBe('budget_exhausted');
});

it('stages act as committed spend reaches them, relax with the limit, and leave own hardware usable', async () => {
  const told: string[] = [];
  operator.subscribe('policy.stage-changed.v1.acme.staged', { callback: (_e, m) => void told.push(m.json<any>().to) });
  expect(await times(2, 'staged')).toEqual(['cloud', 'cloud']);
  await settled('staged', '200000');
  await waitFor(() => told.includes('throttle'), 'the stage to be told');
  const throttled = await times(4, 'staged');
  expect(throttled.toSorted()).toEqual(['budget_throttled', 'budget_throttled', 'budget_throttled', 'cloud']);
  await settled('staged', '300000');
  await set('staged', { stages: [{ at: 0.2, action: 'local-only' }] });
  await waitFor(async () => (await one('staged')) === 'budget_local_only', 'the routers to hear of it');
  expect(await one('staged', { model: 'either' })).toBe('own');
  await set('staged', { stages: [{ at: 0.2, action: 'reject' }] });
  await waitFor(async () => (await one('staged')) === 'budget_rejecting', 'the routers to hear of it');
  await set('staged', { limitUsd: '0.01' });
  await waitFor(async () => (await one('staged')) === 'cloud', 'the stage to be relaxed');
});

it('a budget that prefers local is served by own hardware first, and by the cloud where there is none', async () => {
  const ask = { model: 'cloud-first' };
  expect(await times(2, 'preferring', ask)).toEqual(['cloud', 'cloud']);
  await settled('preferring', '200000');
  expect(await times(3, 'preferring', ask)).toEqual(['dear-own', 'dear-own', 'dear-own']);
  expect(await one('preferring')).toBe('cloud');
  await set('preferring', { limitUsd: '0.1' });
  expect(await one('preferring', ask)).toBe('cloud');
});

it("an account's allocation throttles routing to it, and the operator alone is told", async () => {
  const told: any[] = [];
  operator.subscribe('policy.stage-changed.v1.operator.>', { callback: (_e, m) => void told.push(m.json()) });
  await operator.flush();
  expect(new Set(await times(5, 'anything', { model: 'metered' }))).toEqual(new Set(['metered']));
  await settled('account-metered', '500000');
  const answers = await times(4, 'anything', { model: 'metered' });
  expect(answers.filter((a) => a === 'metered')).toHaveLength(1);
  expect(answers.filter((a) => a === 'budget_throttled')).toHaveLength(3);
  await waitFor(() => told.some((e) => e.to === 'throttle'), 'the operator to be told');
  expect(told.find((e) => e.to === 'throttle')).toMatchObject({
    budget: 'account-metered',
    org: 'operator',
    selector: { provider: 'metered' },
    requestsPerMinute: 1,
    direction: 'tightened',
  });
});

it('a rule on the month says nothing when the day is spent (pitfall 26)', async () => {
  const answers = await times(8, 'two');
  expect(answers.filter((a) => a === 'cloud')).toHaveLength(4);
  await settled('two-day', '400000');
  await settled('two-month', '400000');
});

it('a subscriber that was away for all of this gets each event once, with enough to act on', async () => {
  const events = new Map<string, any>();
  let repeated = 0;
  for (const subscriber of ['budgets', 'stages']) {
    app.subscribe(`deliver.v1.acme.${subscriber}`, {
      callback: (_e, m) => {
        const id = m.headers!.get('ce-id');
        if (events.has(id)) repeated++;
        events.set(id, { type: m.headers!.get('ce-type'), ...m.json<any>() });
        m.respond();
      },
    });
  }
  const all = (): any[] => [...events.values()];
  const of = (budget: string) =>
    all()
      .filter((e) => e.budget === budget)
      .toSorted((a, b) => a.sequence - b.sequence);
  const stages = () => of('staged').filter((e) => e.type === 'policy.stage-changed.v1');
  // Told in any order: what was tried while nobody listened is tried again later.
  await waitFor(() => stages().at(-1)?.to === 'none' && stages().length >= 4, 'all stages to be told');
  expect(stages().map((e) => `${e.from} -> ${e.to}: ${e.direction} by ${e.why}`)).toEqual([
    'none -> throttle: tightened by spend',
    'throttle -> local-only: tightened by definition',
    'local-only -> reject: tightened by definition',
    'reject -> none: relaxed by limit',
  ]);
  await waitFor(() => of('lowered').some((e) => e.type === 'budget.exhausted.v1'), 'the end of the lowered one');
  await waitFor(() => of('survives').some((e) => e.type === 'budget.exhausted.v1'), 'the end of the one that survived');
  // That of the changed one is told for its new limit, and for the old one where that was decided before the change.
  const crossed = () => all().filter((e) => e.template === 'each-customer' && e.type === 'budget.threshold-crossed.v1');
  await waitFor(
    () => ['100000', '200000'].every((limitNanos) => crossed().some((e) => e.limitNanos === limitNanos)),
    'the thresholds of both customers, each for its limit',
  );
  expect(new Set(crossed().map((e) => e.values.customer))).toEqual(new Set(['first', 'second']));
  const exhausted = all().filter((e) => e.type === 'budget.exhausted.v1');
  expect(exhausted.find((e) => e.budget === 'lowered')).toMatchObject({
    org: 'acme',
    window: 'total',
    windowEnd: null,
    basis: 'cash',
    limitUsd: '0.0001',
    spentUsd: '0.0003',
    selector: { org: 'acme', feature: 'lowered' },
  });
  expect(all().find((e) => e.template === 'each-customer')).toMatchObject({
    values: { customer: expect.any(String) },
    timeZone: 'Asia/Kolkata',
    selector: { org: 'acme', feature: 'template', customer: expect.any(String) },
  });
  expect(of('changing').map((e) => `${e.type} ${e.why ?? ''}`)).toContain('budget.recovered.v1 limit');
  expect(all().filter((e) => e.budget === 'two-month')).toEqual([]);
  expect(all().filter((e) => e.org !== 'acme')).toEqual([]);
  expect(repeated).toBe(0);
});
