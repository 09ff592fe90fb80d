import { describe, expect, it } from 'vitest';
import { ChoiceEnds } from './index.js';

const choice = (index: number, finish_reason: string | null = null) => ({ index, delta: {}, finish_reason });

describe('the choices of a stream', () => {
  it('are complete when as many as were asked for have ended', () => {
    const ends = new ChoiceEnds();
    ends.note([choice(0), choice(1)]);
    ends.note([choice(0, 'stop')]);
    expect(ends.complete(2)).toBe(false);
    // What Azure says of a filter that runs beside the answer comes after its end.
    ends.note([choice(1, 'length'), choice(0)]);
    expect(ends.complete(2)).toBe(true);
    expect(ends.complete(3)).toBe(false);
  });

  it('are broken off by one that says so, or that has begun and not ended; one that nothing was said of is neither', () => {
    const ends = new ChoiceEnds();
    expect(ends.broken).toBeUndefined();
    expect(ends.note([choice(0)])).toBe(false);
    expect(ends.broken).toBe('the answer broke off (it has no finish_reason)');
    expect(ends.note([choice(0, 'abort')])).toBe(true);
    expect(ends.broken).toBe('the answer broke off (finish_reason "abort")');
    expect(ends.complete(1)).toBe(false);
  });
});
