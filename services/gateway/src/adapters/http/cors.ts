import type { IncomingMessage, ServerResponse } from 'node:http';

/** What SDKs and callers send; `x-stainless-*` of the SDKs of OpenAI and Anthropic are allowed by their beginning. */
const REQUEST_HEADERS = [
  'authorization',
  'content-type',
  'x-api-key',
  'api-key',
  'idempotency-key',
  'anthropic-version',
  'anthropic-beta',
  'anthropic-dangerous-direct-browser-access',
  'openai-organization',
  'openai-project',
  'openai-beta',
  'traceparent',
  'tracestate',
];
const SDK_HEADER = /^x-stainless-[a-z0-9-]{1,64}$/;
/** Every header of an answer that says something to its caller. */
const ANSWER_HEADERS = [
  'x-request-id',
  'request-id',
  ...['request-id', 'backend', 'attempts', 'cost-usd', 'cost-basis', 'replayed'].map((name) => `x-meritorder-${name}`),
  ...['requests', 'tokens'].flatMap((what) =>
    ['limit', 'remaining', 'reset'].flatMap((name) => [
      `x-ratelimit-${name}-${what}`,
      `anthropic-ratelimit-${what}-${name}`,
    ]),
  ),
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
].join(', ');
/** 2 h, the most that Chromium takes; s. */
const MAX_AGE_SECONDS = 7_200;

/** Which web pages may ask, as browsers want it said. Keys are sent by scripts and never by the browser itself: no credentials. */
export class Cors {
  private readonly origins: ReadonlySet<string>;

  /** @param origins exact ones, or `*`; none: nothing is ever said */
  constructor(origins: readonly string[]) {
    this.origins = new Set(origins);
  }

  /** Before anything is sent, whatever it will be. */
  mark(request: IncomingMessage, response: ServerResponse): void {
    if (this.origins.size === 0) return;
    // Also where no page asked: a cache must not give a page what was said to none.
    response.setHeader('vary', 'origin');
    const allowed = this.allowed(request);
    if (allowed === undefined) return;
    response.setHeader('access-control-allow-origin', allowed);
    response.setHeader('access-control-expose-headers', ANSWER_HEADERS);
  }

  /** Of an answer to OPTIONS: what the page may send. @param methods of the path */
  markPreflight(request: IncomingMessage, response: ServerResponse, methods: string): void {
    if (request.headers['access-control-request-method'] === undefined || this.allowed(request) === undefined) return;
    const asked = (request.headers['access-control-request-headers'] ?? '')
      .split(',')
      .map((n) => n.trim().toLowerCase());
    const sdk = asked.filter((name) => SDK_HEADER.test(name));
    response.setHeader('vary', 'origin, access-control-request-headers');
    response.setHeader('access-control-allow-methods', methods);
    response.setHeader('access-control-allow-headers', [...REQUEST_HEADERS, ...sdk].join(', '));
    response.setHeader('access-control-max-age', String(MAX_AGE_SECONDS));
  }

  private allowed({ headers: { origin } }: IncomingMessage): string | undefined {
    if (origin === undefined) return undefined;
    if (this.origins.has('*')) return '*';
    return this.origins.has(origin) ? origin : undefined;
  }
}
