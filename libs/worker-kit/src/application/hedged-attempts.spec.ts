import { describe, expect, it } from 'vitest';
import {
  WORKER_SPEAKS_MS,
  type RouterReply,
  type UsageAttemptClosedV1,
  type WorkEvent,
  type WorkRequest,
} from '@meritorder/contracts';
import { ManualClock, seededRandom } from '@meritorder/kernel';
import { answers, attempt, fails, streams, terms, type World } from './attempt-world.for-tests.js';
import type { UpstreamRequest } from './ports.js';
import { HedgeTurn, OwnTurn } from './turn.js';

type Name = 'first' | 'hedge';
type Ends = 'answer' | 'fail' | 'cut';
interface Race {
  /** Turns of the event loop until each one's backend says something. */
  first: { afterTicks: number; ends: Ends };
  hedge: { afterTicks: number; ends: Ends };
  stream?: boolean;
  cancelAfterTicks?: number;
  routerDiesAfterTicks?: number;
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const LINE = { attempt_id: 'first', backend: 'gpt-4-1-mini', outcome: 'cancelled', code: 'hedge-lost' } as const;

/** Both attempts of a request as their workers run them, with the caller's inbox and the router that they share. */
async function race({ first, hedge, stream = true, cancelAfterTicks, routerDiesAfterTicks }: Race) {
  const said: string[] = [];
  const heard: Record<Name, WorkEvent[]> = { first: [], hedge: [] };
  const taken = new Set<Name>();
  const aborts: Partial<Record<Name, AbortController>> = {};
  let [alive, raced] = [true, true];
  const own = new OwnTurn(LINE, () => aborts.first!.abort('hedge-lost'));
  const turns = {
    first: own,
    hedge: new HedgeTurn('hedge', {
      first: async (request) => (await tick(), own.asked(request)),
      router: () => expect.unreachable(),
    }),
  };
  const router = (name: Name, event: WorkEvent): RouterReply | undefined => {
    if (!alive) return undefined;
    heard[name].push(event);
    if (event.type === 'ready') return { type: 'go' };
    if (event.type === 'first-token') {
      if (name === 'first') aborts.hedge?.abort('hedge-lost');
      const others = [{ ...LINE, attempt_id: 'hedge' }];
      return { type: 'noted', others: name === 'first' ? others : [] };
    }
    taken.add(name);
    return { type: 'taken' };
  };
  const run = async (name: Name, { afterTicks, ends }: Race[Name]) => {
    const waited = async ({ signal }: UpstreamRequest): Promise<void> => {
      for (let i = 0; i < afterTicks; i++) {
        await tick();
        if (signal.aborted) throw new Error('aborted');
      }
      // What has arrived is read although the call was ended meanwhile.
      await tick();
      if (ends === 'fail') fails('server-error')();
    };
    const world: World = {
      stream,
      turn: turns[name],
      router: (event) => router(name, event),
      onCall: (abort) => (aborts[name] = abort),
      onChunk: (seq) => void said.push(`${name} chunk ${seq}`),
      work: {
        terms: { ...terms, attemptId: name, ...(name === 'hedge' ? { hedgeOf: 'first' } : {}) } as WorkRequest['terms'],
        inputTokensExpected: 10,
        ...(name === 'first' ? { mayBeHedged: true } : {}),
      },
      upstream: stream
        ? async function* (request, abort) {
            await waited(request);
            yield* streams(2, ends === 'cut' ? fails('cut') : undefined)(request, abort);
          }
        : ((async (request: UpstreamRequest) => {
            await waited(request);
            if (ends === 'cut') fails('cut')();
            return answers(request);
          }) as NonNullable<World['upstream']>),
    };
    const result = await attempt(world);
    for (const line of result.log) if (/^(answer|error)/.test(line)) said.push(`${name} ${line}`);
    return result;
  };
  const after = async (ticks: number | undefined, what: () => void): Promise<void> => {
    for (let i = 0; ticks !== undefined && i < ticks && raced; i++) await tick();
    if (ticks !== undefined && raced) what();
  };
  const both = Promise.all([run('first', first), run('hedge', hedge)]);
  const events = Promise.all([
    after(cancelAfterTicks, () => Object.values(aborts).forEach((a) => a.abort('cancelled'))),
    after(routerDiesAfterTicks, () => (alive = false)),
  ]);
  const [one, two] = await both;
  raced = false;
  await events;
  const closed = { first: one.closed[0]!, hedge: two.closed[0]! };
  const ended = (name: Name): string => {
    const last = (name === 'first' ? one : two).sent.at(-1)!;
    return last.type === 'finished' ? last.status : last.type;
  };
  const writers = new Set(said.map((s) => s.split(' ')[0]));
  const terminals = said.filter((s) => /^\w+ (answer|error)/.test(s));
  return {
    said,
    closed,
    ended,
    taken,
    writers,
    terminals,
    answers: [...one.finished, ...two.finished],
    all: [one, two],
  };
}

const soon = { afterTicks: 3, ends: 'answer' } as const;
const late = { afterTicks: 30, ends: 'answer' } as const;
const lost = { outcome: 'cancelled', code: 'hedge-lost', sent: true } satisfies Partial<UsageAttemptClosedV1>;

describe.each([{ stream: true }, { stream: false }])(
  'of two attempts of a request, $stream streaming,',
  ({ stream }) => {
    it('the first wins: its answer alone reaches the caller, and its receipt lists both', async () => {
      const { writers, terminals, closed, ended, answers: told } = await race({ first: soon, hedge: late, stream });
      expect([[...writers], terminals]).toEqual([['first'], ['first answer ok']]);
      expect(closed.first.outcome).toBe('finished');
      expect(closed.hedge).toMatchObject({ ...lost, hedgeOf: 'first' });
      expect(ended('hedge')).toBe('yielded');
      expect(told[0].meritorder.attempts).toMatchObject([
        { attempt_id: 'hedge', outcome: 'cancelled', code: 'hedge-lost' },
        { attempt_id: 'first', outcome: 'finished' },
      ]);
    });

    it('the hedge wins: the first one ends at once, without a word', async () => {
      const { writers, terminals, closed, ended, answers: told } = await race({ first: late, hedge: soon, stream });
      expect([[...writers], terminals]).toEqual([['hedge'], ['hedge answer ok']]);
      expect(closed.first).toMatchObject(lost);
      expect(closed.first.firstTokenMs).toBeUndefined();
      expect(closed.hedge.outcome).toBe('finished');
      expect(ended('first')).toBe('yielded');
      expect(told[0].meritorder.attempts).toMatchObject([
        { attempt_id: 'first', outcome: 'cancelled', code: 'hedge-lost' },
        { attempt_id: 'hedge', outcome: 'finished' },
      ]);
    });

    it('both at once: one of them', async () => {
      for (let ahead = -3; ahead <= 3; ahead++) {
        const hedge = { afterTicks: 6 + ahead, ends: 'answer' } as const;
        const { writers, terminals } = await race({ first: { afterTicks: 6, ends: 'answer' }, hedge, stream });
        expect([writers.size, terminals.length]).toEqual([1, 1]);
      }
    });

    it.each(['first', 'hedge'] as const)('where the %s one fails, the other goes on', async (fails) => {
      const failing = { afterTicks: 3, ends: 'fail' } as const;
      const other = fails === 'first' ? 'hedge' : 'first';
      const {
        terminals,
        taken,
        closed,
        answers: told,
      } = await race({
        first: fails === 'first' ? failing : late,
        hedge: fails === 'hedge' ? failing : late,
        stream,
      });
      expect(terminals).toEqual([`${other} answer ok`]);
      expect([...taken]).toEqual([fails]);
      expect(closed[fails].outcome).toBe('failed');
      if (fails === 'first')
        expect(told[0].meritorder.attempts[0]).toMatchObject({ outcome: 'failed', code: 'server-error' });
    });

    it('both fail: the router hears of both, the caller of neither', async () => {
      const failing = { afterTicks: 3, ends: 'fail' } as const;
      const { said, taken } = await race({ first: failing, hedge: failing, stream });
      expect([said, [...taken].sort()]).toEqual([[], ['first', 'hedge']]);
    });

    it('a cancel ends both, and the caller hears of it once', async () => {
      const { terminals, closed } = await race({ first: late, hedge: late, cancelAfterTicks: 9, stream });
      expect(terminals).toEqual(['first error cancelled']);
      expect([closed.first.outcome, closed.hedge.outcome]).toEqual(['cancelled', 'cancelled']);
      expect(closed.hedge.code).toBe('cancelled');
    });

    it('a cancel after the first one has failed is answered by the hedge', async () => {
      const { terminals } = await race({
        first: { afterTicks: 3, ends: 'fail' },
        hedge: late,
        cancelAfterTicks: 15,
        stream,
      });
      expect(terminals).toEqual(['hedge error cancelled']);
    });

    it('when the router dies in between, the first one answers, or the hedge that has its turn', async () => {
      expect((await race({ first: soon, hedge: late, routerDiesAfterTicks: 2, stream })).terminals).toHaveLength(1);
      expect((await race({ first: late, hedge: soon, routerDiesAfterTicks: 2, stream })).terminals).toEqual([
        'hedge answer ok',
      ]);
    });

    it('a hedge that fails when the router is dead leaves the caller to the first one', async () => {
      const hedge = { afterTicks: 5, ends: 'fail' } as const;
      const { terminals } = await race({ first: late, hedge, routerDiesAfterTicks: 3, stream });
      expect(terminals).toEqual(['first answer ok']);
    });

    it('when the router has taken the failure of one and dies, the other one says how it ended', async () => {
      const { terminals } = await race({
        first: { afterTicks: 3, ends: 'fail' },
        hedge: { afterTicks: 30, ends: 'fail' },
        routerDiesAfterTicks: 15,
        stream,
      });
      expect(terminals).toEqual(['hedge error backend_failed']);
    });
  },
);

it('whatever happens in whatever order, at most one of two attempts writes, one word is the last, and each is closed once', async () => {
  const random = seededRandom(14);
  const below = (n: number): number => Math.floor(random() * n);
  const leg = (): Race['first'] => ({
    afterTicks: below(14),
    ends: (['answer', 'answer', 'fail', 'cut'] as const)[below(4)]!,
  });
  const seen: Record<string, number> = {};
  for (let i = 0; i < 1_500; i++) {
    const world: Race = {
      first: leg(),
      hedge: leg(),
      stream: random() < 0.5,
      ...(random() < 0.3 ? { cancelAfterTicks: below(16) } : {}),
      ...(random() < 0.3 ? { routerDiesAfterTicks: 2 + below(14) } : {}),
    };
    const { said, writers, terminals, taken, all, ended } = await race(world);
    const what = JSON.stringify({ world, said });
    expect(writers.size, what).toBeLessThanOrEqual(1);
    for (const { closed } of all) expect(closed, what).toHaveLength(1);
    // Only a router that took the failure of one, with nobody else to answer, answers itself.
    const byRouter =
      taken.size > 0 && (['first', 'hedge'] as const).every((n) => taken.has(n) || ended(n) === 'yielded');
    expect(terminals.length, what).toBe(byRouter ? 0 : 1);
    const how = byRouter ? 'router' : terminals[0]!;
    seen[how] = (seen[how] ?? 0) + 1;
  }
  for (const how of ['first answer ok', 'hedge answer ok', 'first error cancelled', 'hedge error cancelled', 'router'])
    expect(seen[how], how).toBeGreaterThan(0);
});

it('an attempt that may be hedged says nothing after its worker was suspended for longer than routers wait', async () => {
  const clock = new ManualClock(Date.parse(terms.reservedAt));
  const { log, closed } = await attempt({
    stream: true,
    clock,
    work: { mayBeHedged: true },
    upstream: (request, ended) => (clock.advance(WORKER_SPEAKS_MS + 1), streams(3)(request, ended)),
    router: ({ type }) => {
      if (type === 'heartbeat') return { type: 'stop', reason: 'given-up' };
      return type === 'ready' ? { type: 'go' } : { type: 'noted', others: [] };
    },
  });
  expect(log).toEqual(['heartbeat', 'may go', 'upstream', 'heartbeat', 'closed cancelled']);
  expect(closed[0]).toMatchObject({ outcome: 'cancelled', code: 'stopped', sent: true });
});
