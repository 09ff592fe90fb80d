import { ROOT_CONTEXT } from '@opentelemetry/api';
import { expect, it, vi } from 'vitest';
import { EXAMPLES, type AttemptTerms } from '@meritorder/contracts';
import { ManualClock } from '@meritorder/kernel';
import { OpenHandshake, type Opening } from './open-handshake.js';

const { worker: _worker, openedAt: _openedAt, ...terms } = EXAMPLES.events['usage.attempt-opened.v1'];

interface World {
  streamIsAway?: boolean;
  closedLate?: boolean;
  opens?: Promise<boolean>;
  taken?: Promise<void>;
  isWanted?: () => boolean;
}

function handshake(world: World = {}) {
  const log: string[] = [];
  return {
    log,
    one: new OpenHandshake(
      {
        clock: new ManualClock(Date.parse('2026-11-24T10:00:00Z')),
        attempts: {
          recorder: 'router-1',
          opened: async (event) => {
            log.push(`record ${event.worker}`);
            if (world.streamIsAway) throw new Error('away');
          },
          closed: async ({ outcome, sent, code }) => {
            log.push(`closed ${outcome} ${sent} ${code}`);
            return !world.closedLate;
          },
        },
        admission: {
          open: async () => {
            log.push('open');
            return world.opens ?? true;
          },
          release: async () => void log.push('release'),
        },
      },
      {
        terms: terms as AttemptTerms,
        context: ROOT_CONTEXT,
        isWanted: world.isWanted ?? (() => true),
        taken: world.taken ?? Promise.resolve(),
        go: () => void log.push('go'),
      },
    ),
  };
}

function later<T>() {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((yes) => (resolve = yes));
  return { promise, resolve };
}

it('an attempt is on record, then its hold is opened, then it goes: once, however often it is asked', async () => {
  const { one, log } = handshake();
  expect(await Promise.all([one.open(), one.open()])).toEqual(['open', 'open']);
  expect(log).toEqual(['record router-1', 'open', 'go']);
});

it.each<[string, World, Opening, string[]]>([
  ['the stream does not record', { streamIsAway: true }, 'not-recorded', ['record router-1']],
  ['nobody wants any more', { isWanted: () => false }, 'unwanted', []],
  ['the counters do not open', { opens: Promise.resolve(false) }, 'hold-gone', ['record router-1', 'open']],
])('what %s does not go', async (_what, world, opening, expected) => {
  const { one, log } = handshake(world);
  expect(await one.open()).toBe(opening);
  expect(log).toEqual(expected);
});

it('what is called off while it is being opened does not go, is closed as not sent, and then gives its hold back', async () => {
  const opens = later<boolean>();
  const { one, log } = handshake({ opens: opens.promise });
  const opening = one.open();
  await vi.waitFor(() => expect(log).toContain('open'));
  const off = one.lost();
  opens.resolve(true);
  expect(await opening).toBe('unwanted');
  await off;
  expect(log).toEqual(['record router-1', 'open', 'closed not-sent false no-worker', 'release']);
});

it('what no worker has does not go, and costs nothing when it is known that none will have it', async () => {
  const taken = later<void>();
  const { one, log } = handshake({ taken: taken.promise });
  const opening = one.open();
  await vi.waitFor(() => expect(log).toContain('open'));
  await one.lost();
  taken.resolve();
  expect(await opening).toBe('unwanted');
  expect(log).toEqual(['record router-1', 'open', 'closed not-sent false no-worker', 'release']);
});

it('what went may have been sent: that its worker is lost says nothing of its cost', async () => {
  const { one, log } = handshake();
  await one.open();
  await one.lost();
  expect(log).toEqual(['record router-1', 'open', 'go']);
});

it('a worker that refused it did not send it, even when it was told to go meanwhile', async () => {
  const { one, log } = handshake();
  await one.open();
  await one.notSent('busy');
  expect(log.slice(3)).toEqual(['closed not-sent false busy', 'release']);
});

it('what is not on record for certain keeps its hold until its lease ends, and is closed all the same', async () => {
  const { one, log } = handshake({ streamIsAway: true });
  await one.open();
  await one.lost();
  expect(log).toEqual(['record router-1', 'closed not-sent false no-worker']);
});

it('what the stream does not say to be closed in time keeps its hold, and nobody waits for it', async () => {
  const { one, log } = handshake({ closedLate: true });
  await one.open();
  await one.notSent('busy');
  expect(log.slice(3)).toEqual(['closed not-sent false busy']);
});

it('what was never to be on record gives its hold back at once', async () => {
  const { one, log } = handshake();
  await one.notSent('invalid');
  expect(await one.open()).toBe('unwanted');
  expect(log).toEqual(['release']);
});
