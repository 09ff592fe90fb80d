import { ERRORS, type ErrorCode } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { dialectOf, retryHeaders } from './dialect.js';
import { frame } from './dialects/frames.js';

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes!).toString();

describe('an event', () => {
  it.each(['{"a":\n1}', '\r\n{"a":\r\n1}\r\n', '\n\n\n{"a":1}'])('%j is one, whatever its line ends', (json) => {
    const event = text(frame('data: ', Buffer.from(json)));
    expect(event.slice(0, -2)).not.toMatch(/[\r\n]/);
    expect(event.endsWith('\n\n')).toBe(true);
    expect(JSON.parse(event.slice(6))).toEqual({ a: 1 });
  });

  it('of Anthropic is named by its type, wherever that stands, and never by what could end a line', () => {
    const { event } = dialectOf('messages');
    const name = (value: object) => /^event: (.*)\ndata: /.exec(text(event(Buffer.from(JSON.stringify(value)))))![1];
    expect(name({ type: 'content_block_delta', index: 0 })).toBe('content_block_delta');
    expect(name({ delta: { type: 'text_delta' }, type: 'ping' })).toBe('ping');
    expect(name({ type: 'x\ndata: y' })).toBe('message');
    expect(name({ long: 'x'.repeat(200), type: 'message_delta' })).toBe('message_delta');
    expect(event(Buffer.from('{"type":"message_stop"}'))).toBeUndefined();
  });
});

describe('every error of the catalogue', () => {
  const codes = Object.keys(ERRORS) as ErrorCode[];

  it.each(codes)('%s has a body in both dialects', (code) => {
    const refusal = { code, message: 'm', param: 'p', details: { d: 1 } };
    const { status, type } = ERRORS[code];
    expect(dialectOf('chat').error(refusal, status, 'r')).toMatchObject({ error: { code, type, param: 'p' } });
    expect(dialectOf('messages').error(refusal, status, 'r')).toMatchObject({
      type: 'error',
      error: { type: expect.stringMatching(/_error$|^request_too_large$/), code, message: 'm' },
      request_id: 'r',
    });
  });

  it.each(codes.filter((code) => !ERRORS[code].retryable && code !== 'request_duplicate'))(
    '%s is not asked for again',
    (code) => {
      expect(retryHeaders({ code, message: 'm' })['x-should-retry']).toBe('false');
    },
  );
});
