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
