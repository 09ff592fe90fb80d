import { expect, it } from 'vitest';
import { EXAMPLES } from '@meritorder/contracts';
import { eventOf } from './delivered-event.js';
import { messageOf } from './nats.for-tests.js';

const data = EXAMPLES.events['budget.exhausted.v1'];

it('an event has its type, its identity and what happened, typed by its type', () => {
  const event = eventOf(
    messageOf({
      headers: {
        'ce-type': 'budget.exhausted.v1',
        'ce-id': 'e-1',
        'ce-time': '2026-11-01T00:00:00.000Z',
        'Meritorder-Subject': 'budget.exhausted.v1.acme',
        'Meritorder-Delivery': '3',
      },
      subject: 'deliver.acme.alerts',
      body: data,
    }),
  );
  expect(event).toEqual({
    type: 'budget.exhausted.v1',
    id: 'e-1',
    time: '2026-11-01T00:00:00.000Z',
    subject: 'budget.exhausted.v1.acme',
    delivery: 3,
    data,
  });
  if (event.type === 'budget.exhausted.v1') expect(event.data.budgetName satisfies string).toBe(data.budgetName);
});

it('an event that says neither where it was published nor how often it came is of its own subject and comes first', () => {
  const event = eventOf(messageOf({ headers: { 'ce-type': 'later.v9' }, subject: 'later.v9.acme', body: { new: 1 } }));
  expect(event).toEqual({
    type: 'later.v9',
    id: '',
    time: '',
    subject: 'later.v9.acme',
    delivery: 1,
    data: { new: 1 },
  });
});

it('a body that is no JSON is an error, never an event without data', () => {
  expect(() => eventOf(messageOf({ headers: { 'ce-type': 'budget.exhausted.v1' }, body: '{' }))).toThrow(SyntaxError);
});
