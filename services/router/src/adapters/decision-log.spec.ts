import type { RoutingDecisionMadeV1 } from '@meritorder/contracts';
import type { Bus } from '@meritorder/messaging';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { expect, it } from 'vitest';
import { NatsDecisionLog } from './decision-log.nats.js';

const decision = (requestId: string) =>
  ({
    requestId,
    attemptNumber: 1,
    attribution: { org: 'acme' },
    decidedAt: '2026-11-25T10:00:00Z',
  }) as RoutingDecisionMadeV1;

function logTo(publishEvent: (event: { id: string }) => Promise<unknown>) {
  const problems: string[] = [];
  const log = new NatsDecisionLog({ publishEvent } as unknown as Bus, (message) => void problems.push(message));
  return { log, problems };
}

it('a record is not even made while its request is on its way to a worker, and is published by itself', async () => {
  const published: string[] = [];
  let heard = (): void => {};
  const isPublished = new Promise<void>((resolve) => (heard = resolve));
  const { log } = logTo(async ({ id }) => {
    published.push(id);
    heard();
  });
  let made = 0;
  log.record(() => (made++, decision('one')), ROOT_CONTEXT);
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect([made, published]).toEqual([0, []]);
  await isPublished;
  expect([made, published]).toEqual([1, ['acme/one/refused-1']]);
});

it('who ends has every record kept: those that wait and those under way', async () => {
  const kept: string[] = [];
  const { log, problems } = logTo(async ({ id }) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    kept.push(id);
  });
  log.record(() => decision('under-way'), ROOT_CONTEXT);
  await new Promise((resolve) => setTimeout(resolve, 30));
  log.record(() => decision('waiting'), ROOT_CONTEXT);
  await log.close();
  expect(kept).toEqual(['acme/under-way/refused-1', 'acme/waiting/refused-1']);
  expect(problems).toEqual([]);
});

it('one that cannot be kept is said', async () => {
  const { log, problems } = logTo(() => Promise.reject(new Error('no stream')));
  log.record(() => decision('one'), ROOT_CONTEXT);
  await log.close();
  expect(problems).toEqual(['decision record of one lost: no stream']);
});

it('what budgets of all orgs had a say in goes whole to the operator, and without them to its org', async () => {
  const published: { subject: string; id: string; data: RoutingDecisionMadeV1 }[] = [];
  const log = new NatsDecisionLog(
    { publishEvent: async (event: (typeof published)[number]) => void published.push(event) } as unknown as Bus,
    () => {},
  );
  const on = (budget: string) => ({ budget, window: '2026-11', basis: 'cash' as const, shadowPrice: 2 });
  const candidates = [{ backend: 'a', budgets: [on('acme-month'), on('account-p')] }];
  log.record(() => ({ ...decision('one'), candidates, sharedBudgets: ['account-p'] }) as any, ROOT_CONTEXT);
  await log.close();
  expect(published.map(({ subject, id }) => [subject, id])).toEqual([
    ['routing.decision-made.v1.operator', 'operator/acme/one/refused-1'],
    ['routing.decision-made.v1.acme', 'acme/one/refused-1'],
  ]);
  const [whole, told] = published.map((event) => event.data);
  expect(whole).toMatchObject({ candidates, sharedBudgets: ['account-p'], attribution: { org: 'acme' } });
  expect(told).toMatchObject({ candidates: [{ backend: 'a', budgets: [on('acme-month')] }], budgetsWithheld: true });
  expect(JSON.stringify(told)).not.toContain('account-p');
});
