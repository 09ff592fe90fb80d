import { describe, expect, it } from 'vitest';
import { errorOf, MeritorderError } from './meritorder-error.js';
import { messageOf } from './nats.for-tests.js';

describe('the error of a message', () => {
  it('is none where the message is an answer', () => {
    expect(errorOf(messageOf({ body: { choices: [] } }))).toBeUndefined();
    // Its body is what a backend said: not for us to read an error into.
    expect(errorOf(messageOf({ body: { error: { message: 'a word' } } }))).toBeUndefined();
  });

  it('has the code, the status, and all that its body says', () => {
    const error = errorOf(
      messageOf({
        headers: {
          'Nats-Service-Error': 'budget_exhausted',
          'Nats-Service-Error-Code': '429',
          'Meritorder-Request': 'r-1',
        },
        body: { error: { message: 'The budget is spent.', param: 'metadata.team', retry_after_seconds: 60 } },
      }),
      'r-other',
    );
    expect(error).toBeInstanceOf(MeritorderError);
    expect(error).toMatchObject({
      name: 'MeritorderError',
      code: 'budget_exhausted',
      status: 429,
      message: 'The budget is spent.',
      param: 'metadata.team',
      retryAfterSeconds: 60,
      requestId: 'r-1',
    });
  });

  it('is of the request that was asked, where the message names none; a param that is null is none', () => {
    const headers = { 'Nats-Service-Error': 'body_invalid', 'Nats-Service-Error-Code': '400' };
    const error = errorOf(messageOf({ headers, body: { error: { message: 'no', param: null } } }), 'r-2')!;
    expect(error.requestId).toBe('r-2');
    expect(error.param).toBeUndefined();
    expect(error.retryAfterSeconds).toBeUndefined();
  });

  it.each([
    ['nothing', undefined],
    ['no JSON', '<html>'],
    ['null', 'null'],
    ['another error than ours', { error: 'broken' }],
  ])('is told by its code where the body is %s', (_what, body) => {
    const error = errorOf(messageOf({ headers: { 'Nats-Service-Error': 'stream_cut' }, body }));
    expect(error).toMatchObject({ code: 'stream_cut', message: 'stream_cut', status: 500 });
  });

  it('says that no router listens, where the server does', () => {
    expect(errorOf(messageOf({ code: 503 }), 'r-3')).toMatchObject({
      code: 'no_router',
      status: 503,
      requestId: 'r-3',
    });
  });
});
