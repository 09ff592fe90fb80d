import { expect, it } from 'vitest';
import { RecentCancels } from './recent-cancels.js';

it('remembers a cancel of an org for ten seconds from when it was heard last', () => {
  const cancels = new RecentCancels();
  cancels.add('acme', 'a', 0);
  cancels.add('acme', 'b', 4_000);
  cancels.add('acme', 'a', 5_000);
  expect(cancels.has('acme', 'a', 15_000)).toBe(true);
  expect(cancels.has('acme', 'b', 14_001)).toBe(false);
  expect(cancels.has('globex', 'a', 5_000)).toBe(false);
});

it('forgets the oldest where there are more than ten thousand', () => {
  const cancels = new RecentCancels();
  for (let i = 0; i <= 10_000; i++) cancels.add('acme', `r-${i}`, i / 10_000);
  expect(['r-0', 'r-1', 'r-10000'].map((id) => cancels.has('acme', id, 1))).toEqual([false, true, true]);
});
