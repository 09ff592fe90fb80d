import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Repeating } from './repeating.js';

let rounds = 0;
let repeating: Repeating;

beforeEach(() => {
  vi.useFakeTimers();
  rounds = 0;
});
afterEach(async () => {
  await repeating.stop();
  vi.useRealTimers();
});

function start(work: () => Promise<unknown> = async () => {}, restMs = 0): Error[] {
  const errors: Error[] = [];
  repeating = new Repeating(
    1_000,
    () => {
      rounds++;
      return work();
    },
    restMs,
  );
  repeating.start((error) => error && errors.push(error));
  return errors;
}

it('works at once and then in its time', async () => {
  start();
  await vi.advanceTimersByTimeAsync(999);
  expect(rounds).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(rounds).toBe(2);
});

it('more that is waiting is done at once', async () => {
  start(async () => rounds < 5);
  await vi.advanceTimersByTimeAsync(0);
  expect(rounds).toBe(5);
});

it('woken while it sleeps it works at once, and sleeps its whole time after that', async () => {
  start();
  await vi.advanceTimersByTimeAsync(500);
  repeating.wake();
  await vi.advanceTimersByTimeAsync(0);
  expect(rounds).toBe(2);
  await vi.advanceTimersByTimeAsync(999);
  expect(rounds).toBe(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(rounds).toBe(3);
});

it('woken while it works it looks once more, since it may have looked too early', async () => {
  let ended = (): void => {};
  start(() => new Promise<void>((resolve) => (ended = resolve)));
  await vi.advanceTimersByTimeAsync(0);
  repeating.wake();
  repeating.wake();
  expect(rounds).toBe(1);
  ended();
  await vi.advanceTimersByTimeAsync(0);
  expect(rounds).toBe(2);
  ended();
  await vi.advanceTimersByTimeAsync(999);
  expect(rounds).toBe(2);
});

it('rests between two rounds, so that what comes together is done together', async () => {
  start(async () => {}, 20);
  for (let ms = 0; ms < 100; ms++) {
    await vi.advanceTimersByTimeAsync(1);
    repeating.wake();
  }
  expect(rounds).toBe(1 + 100 / 20);
});

it('what fails is told of and waits its time, also when somebody woke it meanwhile', async () => {
  const errors = start(async () => {
    repeating.wake();
    throw new Error('away');
  });
  await vi.advanceTimersByTimeAsync(999);
  expect(errors.map((e) => e.message)).toEqual(['away']);
  await vi.advanceTimersByTimeAsync(1);
  expect(errors).toHaveLength(2);
});

it('stops when what is in hand has ended, and does not begin again', async () => {
  let ended = (): void => {};
  start(() => new Promise<void>((resolve) => (ended = resolve)));
  await vi.advanceTimersByTimeAsync(0);
  repeating.wake();
  const stopping = repeating.stop();
  ended();
  await stopping;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(rounds).toBe(1);
});
