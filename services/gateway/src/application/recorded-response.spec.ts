import { expect, it } from 'vitest';
import type { CallerResponse } from './ports/caller-response.js';
import { RecordedResponse } from './recorded-response.js';

/** A caller whose connection takes nothing until it is told to, or leaves. */
class StubbornCaller implements CallerResponse {
  leave = (): void => {};
  header(): void {}
  send(): void {}
  begin(): void {}
  write(): boolean {
    return false;
  }
  end(): void {}
  onDrained(): void {}
  onGone(run: () => void): void {
    this.leave = run;
  }
}

it('a stream is kept as it was sent, with its headers', () => {
  const recorded = new RecordedResponse(new StubbornCaller(), 100);
  recorded.header('x-ratelimit-limit-requests', '10');
  recorded.begin({ 'content-type': 'text/event-stream' });
  recorded.write(Buffer.from('data: a\n\n'));
  recorded.end(Buffer.from('data: [DONE]\n\n'));
  expect(recorded.answer()).toEqual({
    status: 200,
    headers: { 'x-ratelimit-limit-requests': '10', 'content-type': 'text/event-stream' },
    body: Buffer.from('data: a\n\ndata: [DONE]\n\n'),
  });
});

it('a stream that is too long is not kept, nor its memory', () => {
  const recorded = new RecordedResponse(new StubbornCaller(), 10);
  recorded.begin({});
  for (let i = 0; i < 3; i++) recorded.write(Buffer.alloc(6));
  expect(recorded.answer()).toBeUndefined();
});

it('a caller that leaves is no reason to stop: what comes is taken in its place', () => {
  const caller = new StubbornCaller();
  const recorded = new RecordedResponse(caller, 100);
  let drained = 0;
  recorded.onDrained(() => drained++);
  recorded.onGone(() => {
    throw new Error('the call would be cancelled');
  });
  expect(recorded.write(Buffer.from('a'))).toBe(false);
  caller.leave();
  expect(drained).toBe(1);
  expect(recorded.write(Buffer.from('b'))).toBe(true);
  expect(recorded.answer()!.body.toString()).toBe('ab');
});
