import { describe, expect, it } from 'vitest';
import type { TurnReply } from '@meritorder/contracts';
import { HedgeTurn, OwnTurn } from './turn.js';

const LOST = { attempt_id: 'first', backend: 'a', outcome: 'cancelled', code: 'hedge-lost' } as const;
const FAILED = { attempt_id: 'first', backend: 'a', outcome: 'failed', code: 'server-error' } as const;

describe('the turn of a first attempt', () => {
  it('is its own, with nobody asked', () => {
    const turn = new OwnTurn(LOST, () => expect.unreachable());
    expect([turn.take(), turn.take(), turn.lastWord()]).toEqual([true, true, true]);
    expect(turn.asked({ by: 'hedge', ifOver: false })).toEqual({ type: 'yield' });
  });

  it('goes to the hedge that asks first, which ends the attempt; asking again changes nothing', () => {
    let ended = 0;
    const turn = new OwnTurn(LOST, () => ended++);
    for (let i = 0; i < 3; i++)
      expect(turn.asked({ by: 'hedge', ifOver: false })).toEqual({ type: 'talk', attempt: LOST });
    expect([turn.take(), turn.lastWord(), ended]).toEqual([false, false, 1]);
    expect(turn.asked({ by: 'other', ifOver: false })).toEqual({ type: 'yield' });
  });

  it('is not given for a last word while the attempt runs, and is once it is over', () => {
    const turn = new OwnTurn(LOST, () => expect.unreachable());
    expect(turn.asked({ by: 'hedge', ifOver: true })).toEqual({ type: 'yield' });
    turn.leave(FAILED);
    expect(turn.asked({ by: 'hedge', ifOver: true })).toEqual({ type: 'talk', attempt: FAILED });
    expect(turn.take()).toBe(false);
  });

  it('is never in two hands, whatever comes in whatever order', () => {
    const steps: ((turn: OwnTurn, holders: Set<string>) => void)[] = [
      (turn, holders) => void (turn.take() && holders.add('first')),
      (turn, holders) => void (turn.lastWord() && holders.add('first')),
      (turn) => turn.leave(FAILED),
      ...(['hedge', 'other'] as const).flatMap((by) =>
        [true, false].map(
          (ifOver) => (turn: OwnTurn, holders: Set<string>) =>
            void (turn.asked({ by, ifOver }).type === 'talk' && holders.add(by)),
        ),
      ),
    ];
    const orders = (length: number): number[][] =>
      length === 0 ? [[]] : orders(length - 1).flatMap((order) => steps.map((_, i) => [...order, i]));
    const seen = new Set<string>();
    for (const order of orders(5)) {
      const turn = new OwnTurn(LOST, () => {});
      const holders = new Set<string>();
      for (const i of order) steps[i]!(turn, holders);
      expect(holders.size).toBeLessThanOrEqual(1);
      for (const holder of holders) seen.add(holder);
    }
    expect([...seen].sort()).toEqual(['first', 'hedge', 'other']);
  });
});

describe('the turn of a hedge', () => {
  const asked: string[] = [];
  const turn = (first: TurnReply | undefined, router: TurnReply | undefined): HedgeTurn => {
    asked.length = 0;
    return new HedgeTurn('hedge', {
      first: async ({ by, ifOver }) => (asked.push(`first ${by} ${ifOver}`), first),
      router: async () => (asked.push('router'), router),
    });
  };
  const talk: TurnReply = { type: 'talk', attempt: LOST };

  it('is got from the worker of the first attempt, once', async () => {
    const hedge = turn(talk, undefined);
    expect([await hedge.take(), await hedge.take(), await hedge.lastWord()]).toEqual([true, true, true]);
    expect(asked).toEqual(['first hedge false']);
    expect(hedge.others()).toEqual([LOST]);
  });

  it('is got from the router where that worker does not answer, and from nobody where neither does', async () => {
    expect(await turn(undefined, talk).take()).toBe(true);
    expect(asked).toEqual(['first hedge false', 'router']);
    const alone = turn(undefined, undefined);
    expect([await alone.take(), alone.others()]).toEqual([false, []]);
  });

  it('is not got where the first attempt has it; for a last word only the first attempt is asked', async () => {
    expect(await turn({ type: 'yield' }, talk).take()).toBe(false);
    expect(asked).toEqual(['first hedge false']);
    expect(await turn(undefined, talk).lastWord()).toBe(false);
    expect(asked).toEqual(['first hedge true']);
  });
});
