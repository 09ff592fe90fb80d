import { expect, it } from 'vitest';
import { AnswerRoom, type HeldAnswer } from './answer-room.js';

const room = (): AnswerRoom => new AnswerRoom(10);

function answer(): HeldAnswer & { asked: number } {
  return {
    asked: 0,
    goOn() {
      this.asked++;
    },
  };
}

it('asks for the next part while there is room', () => {
  const [within, one, two] = [room(), answer(), answer()];
  within.take(one, 4);
  within.take(two, 4);
  within.take(two, 1);
  expect([one.asked, two.asked]).toEqual([1, 2]);
});

it('full, only the answer that began first goes on', () => {
  const [within, one, two, three] = [room(), answer(), answer(), answer()];
  within.take(one, 1);
  within.take(two, 9);
  within.take(three, 5);
  within.take(one, 9);
  within.take(one, 9);
  expect([one.asked, two.asked, three.asked]).toEqual([3, 0, 0]);
});

it('whoever waits goes on when others have left, the longest there first', () => {
  const [within, one, two, three] = [room(), answer(), answer(), answer()];
  within.take(one, 8);
  within.take(two, 6);
  within.take(three, 7);
  within.leave(one);
  expect([two.asked, three.asked]).toEqual([1, 0]);
  within.leave(two);
  expect([two.asked, three.asked]).toEqual([1, 1]);
});

it('one that leaves twice, or was never there, changes nothing', () => {
  const [within, one, two] = [room(), answer(), answer()];
  within.take(one, 8);
  within.leave(one);
  within.leave(one);
  within.leave(answer());
  within.take(two, 9);
  const three = answer();
  within.take(three, 2);
  expect([two.asked, three.asked]).toEqual([1, 0]);
});
