import { expect, it } from 'vitest';
import { waitFor } from './wait-for.js';

it('returns the first value that is neither undefined nor false', async () => {
  const answers = [undefined, false, 0];
  expect(await waitFor(() => answers.shift() as number | undefined | false, { message: 'a number', everyMs: 1 })).toBe(
    0,
  );
});

it('says after the deadline what was waited for and what went wrong last', async () => {
  const failing = () => Promise.reject(new Error('connection refused'));
  await expect(waitFor(failing, { message: 'the server', timeoutMs: 10, everyMs: 1 })).rejects.toThrow(
    'waited 10 ms for: the server (connection refused)',
  );
});
