import type {
  BackendConfig,
  BatchCollectedV1,
  BatchStateV1,
  RouterReply,
  UsageAttemptClosedV1,
  WorkEvent,
} from '@meritorder/contracts';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { OpenAiUpstream } from '../../adapters/openai-upstream.js';
import { BACKEND, lineOf } from './batch-world.for-tests.js';
import { BatchCollector } from './collect-batches.js';

let nowMs: number;
let timers: (() => void)[];
let kept: BatchCollectedV1[];
let said: WorkEvent[];
let closed: UsageAttemptClosedV1[];
let order: string[];
let answers: RouterReply | undefined;
let states: BatchStateV1[];
let givenUp: boolean;
let inHand: number;
let collector: BatchCollector;

beforeEach(() => {
  nowMs = 0;
  [timers, kept, said, closed, order] = [[], [], [], [], []];
  answers = { type: 'go' };
  states = [];
  givenUp = false;
  inHand = 0;
  collector = new BatchCollector({
    clock: { nowMs: () => nowMs } as never,
    wires: { openai: { chat: new OpenAiUpstream() } },
    store: {
      keep: async (batch) => {
        order.push('kept');
        kept.push(batch);
      },
      keepWhere: async ({ attemptId }) => void order.push(`found as ${attemptId}`),
      decide: async (_batch, state) => {
        order.push('released');
        states.push(state);
        return !givenUp;
      },
    },
    worker: 'worker-1',
    warn: () => {},
    every: (_ms, run) => {
      timers.push(run);
      return () => {};
    },
  });
});
const tick = (ms: number): void => {
  nowMs += ms;
  for (const run of timers) run();
};

async function take(attemptId: string, text = 'Hello.', isJob = true, backend = BACKEND): Promise<void> {
  const { work, job } = lineOf(attemptId);
  inHand++;
  await collector.take(backend, {
    work: { ...work, body: { ...work.body, messages: [{ role: 'user', content: text }] }, ...(isJob ? { job } : {}) },
    router: {
      send: (event) => {
        if (event.type !== 'heartbeat') order.push(event.type);
        said.push(event);
      },
      request: async () => undefined,
      mayGo: async () => {
        order.push('opened');
        return answers;
      },
    },
    usageLog: {
      closed: async (event) => void closed.push(event),
    },
    over: () => void inHand--,
  });
}
const typesOf = (): string[] => said.map((e) => e.type);

it('nothing is opened until the batch is made; then it is kept, opened by its router, released, and only then its router hears of it', async () => {
  await take('a1');
  tick(29_999);
  expect([order, inHand]).toEqual([[], 1]);
  expect(typesOf()).toEqual(['heartbeat']);
  tick(1);
  await vi.waitFor(() => expect(inHand).toBe(0));
  expect(order).toEqual(['kept', 'found as a1', 'opened', 'released', 'batched']);
  expect(kept).toMatchObject([{ backend: 'gpt-batch', lines: [{ work: { terms: { attemptId: 'a1' } } }] }]);
});

it('a batch is made when it has as many lines, or bytes, as it may', async () => {
  await take('a1');
  await take('a2');
  await vi.waitFor(() => expect(kept.map((b) => b.lines.length)).toEqual([2]));
  await take('a3', 'x'.repeat(1_500_000));
  await take('a4', 'x'.repeat(1_500_000));
  await vi.waitFor(() => expect(kept.map((b) => b.lines.length)).toEqual([2, 1]));
  await collector.drain();
  expect(kept.map((b) => b.lines.map((l) => l.work.terms.attemptId))).toEqual([['a1', 'a2'], ['a3'], ['a4']]);
});

it('what its router does not open is not in the batch and costs nothing', async () => {
  answers = { type: 'stop', reason: 'the hold is gone' };
  await take('a1');
  await collector.drain();
  answers = undefined;
  await take('a2');
  await collector.drain();
  expect(states).toEqual(Array.from({ length: 2 }, () => ({ released: [], over: true })));
  expect(closed.map((c) => [c.attemptId, c.outcome, c.code])).toEqual([
    ['a1', 'not-sent', 'stopped'],
    ['a2', 'not-sent', 'no-router'],
  ]);
  expect([typesOf(), inHand]).toEqual([[], 0]);
});

it("a batch that was given up meanwhile is nobody's: its router goes on with the job", async () => {
  givenUp = true;
  await take('a1');
  await collector.drain();
  expect(states).toEqual([{ released: ['a1'] }]);
  expect(said).toMatchObject([{ type: 'refused', code: 'given-up' }]);
});

it('a job that is cancelled while it waits for others is handed back, and is in no batch', async () => {
  await take('a1');
  collector.cancel('acme', 'request-of-a9');
  collector.cancel('globex', 'request-of-a1');
  expect(inHand).toBe(1);
  collector.cancel('acme', 'request-of-a1');
  expect([said, inHand]).toMatchObject([[{ type: 'refused', code: 'cancelled' }], 0]);
  await collector.drain();
  expect(kept).toEqual([]);
});

it('what is no job is refused', async () => {
  await take('a1', 'Hello.', false);
  expect([typesOf(), inHand]).toEqual([['refused'], 0]);
});

describe('of a provider that takes no batch with fewer than two jobs', () => {
  const bedrock = { minRecords: 2 } as NonNullable<NonNullable<BackendConfig['batch']>['bedrock']>;
  const pairs = { ...BACKEND, maxConcurrency: 3, batch: { ...BACKEND.batch!, bedrock } };
  const takePaired = (attemptId: string, text?: string) => take(attemptId, text, true, pairs);
  const refusals = () => said.flatMap((e) => (e.type === 'refused' ? [`${e.code}: ${e.message}`] : []));
  /** What is left of a deadline is the time that a batch may take. */
  const lastMomentMs = Date.parse(lineOf('a1').work.terms.deadlineAt) - BACKEND.batch!.completionSeconds * 1_000;

  it('a batch waits for its second job beyond the time of collecting, and is made with it', async () => {
    await takePaired('a1');
    tick(3_600_000);
    expect([kept, refusals(), inHand]).toEqual([[], [], 1]);
    await takePaired('a2');
    tick(100);
    await vi.waitFor(() => expect(inHand).toBe(0));
    expect(kept.map((b) => b.lines.map((l) => l.work.terms.attemptId))).toEqual([['a1', 'a2']]);
  });

  it('a job goes back when no batch that is sent later could answer it in time, not before', async () => {
    await takePaired('a1');
    tick(lastMomentMs - 1);
    expect(refusals()).toEqual([]);
    tick(1);
    expect([refusals(), inHand]).toEqual([['deadline: no batch had 2 jobs while there was time for one'], 0]);
    await takePaired('a2');
    await takePaired('a3');
    await takePaired('a4');
    await vi.waitFor(() => expect(kept.map((b) => b.lines.length)).toEqual([3]));
  });

  it('jobs that are too few go back when the worker ends, or no others fit beside them; nothing was opened', async () => {
    await takePaired('a1', 'x'.repeat(1_500_000));
    await takePaired('a2', 'x'.repeat(1_500_000));
    expect([refusals(), inHand]).toEqual([['busy: too few for a batch: 1 of at least 2 jobs'], 1]);
    await collector.drain();
    expect([refusals().length, inHand, kept, order.filter((o) => o !== 'refused')]).toEqual([2, 0, [], []]);
  });
});
