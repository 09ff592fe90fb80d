import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { refusalInAnswer, refusalOf, type Refusal, type Refused } from './refusal.js';

const NOW = Date.parse('2026-11-24T10:00:00Z');
const of = (status: number, body: unknown, headers: Refused['headers'] = {}): Refusal =>
  refusalOf({ status, headers, body: typeof body === 'string' ? body : JSON.stringify(body) }, NOW);
const openai = (code: string | null, message: string, type = 'invalid_request_error') => ({
  error: { message, type, param: null, code },
});
const anthropic = (type: string, message: string) => ({ type: 'error', error: { type, message }, request_id: 'req_1' });
const google = (code: number, status: string, message: string, details: unknown[] = []) => ({
  error: { code, message, status, details },
});

/** In the shapes that each provider documents. */
const TABLE: [Refusal['code'], string, number, unknown, Refused['headers']?][] = [
  ['quota', 'OpenAI', 429, openai('rate_limit_exceeded', 'Rate limit reached for gpt-4.1', 'requests')],
  ['quota', 'Azure', 429, { error: { code: '429', message: 'Requests have exceeded call rate limit.' } }],
  ['quota', 'Anthropic', 429, anthropic('rate_limit_error', 'This request would exceed the rate limit')],
  ['quota', 'Gemini, as a list', 429, [google(429, 'RESOURCE_EXHAUSTED', 'Resource has been exhausted')]],
  ['quota', 'Bedrock', 429, { message: 'Too many requests' }, { 'x-amzn-errortype': 'ThrottlingException:http://x' }],
  ['quota', 'Bedrock, with the status of a fault', 400, { message: 'x', __type: 'a.b#ServiceQuotaExceededException' }],
  ['quota', 'Mistral', 429, { object: 'error', message: 'Requests rate limit exceeded', type: 'x', code: '1300' }],
  ['quota', 'OpenRouter', 429, { error: { code: 429, message: 'Rate limit exceeded: free-models-per-min' } }],
  ['quota', 'Groq, its flexible tier', 498, openai('capacity_exceeded', 'over capacity')],
  ['quota', 'a proxy that says nothing', 429, ''],

  ['credential', 'OpenAI', 401, openai('invalid_api_key', 'Incorrect API key provided: sk-abc')],
  ['credential', 'OpenAI, without credit', 429, openai('insufficient_quota', 'You exceeded your current quota')],
  ['credential', 'Azure', 401, { statusCode: 401, message: 'Unauthorized. Access token is missing, invalid' }],
  ['credential', 'Anthropic', 403, anthropic('permission_error', 'Your API key does not have permission')],
  [
    'credential',
    'Anthropic, without credit',
    400,
    anthropic('invalid_request_error', 'Your credit balance is too low'),
  ],
  [
    'credential',
    'Gemini, with the status of a fault',
    400,
    google(400, 'INVALID_ARGUMENT', 'API key not valid.', [{ reason: 'API_KEY_INVALID' }]),
  ],
  ['credential', 'Bedrock', 403, { message: 'expired' }, { 'x-amzn-errortype': 'ExpiredTokenException' }],
  ['credential', 'DeepSeek, without credit', 402, openai('invalid_request_error', 'Insufficient Balance')],
  ['credential', 'OpenRouter, without credit', 402, { error: { code: 402, message: 'Insufficient credits' } }],
  [
    'credential',
    'OpenAI, of an account that is closed',
    429,
    openai('billing_not_active', 'Your account is not active'),
  ],
  [
    'credential',
    'OpenAI, a project without the model',
    403,
    openai('model_not_found', 'Project `proj_1` does not have access to model `gpt-4.1`'),
  ],
  ['credential', 'OpenAI, a key without the right', 403, openai(null, 'You have insufficient permissions for this')],
  [
    'credential',
    'OpenAI, from where it does not serve',
    403,
    openai('unsupported_country_region_territory', 'Country, region, or territory not supported', 'request_forbidden'),
  ],
  ['credential', 'Gemini', 403, google(403, 'PERMISSION_DENIED', 'The caller is denied')],
  [
    'credential',
    'Azure, behind its network',
    403,
    { error: { code: '403', message: 'Access denied due to Firewall' } },
  ],
  ['credential', 'Bedrock, a role', 403, { message: 'x' }, { 'x-amzn-errortype': 'AccessDeniedException' }],
  ['credential', 'S3', 403, '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'],
  [
    'credential',
    'xAI, a key without the right',
    403,
    { code: 'The caller does not have permission to execute the specified operation', error: 'Team is blocked' },
  ],

  ['context-length', 'OpenAI', 400, openai('context_length_exceeded', "This model's maximum context length is 8192")],
  [
    'context-length',
    'OpenAI, embeddings of too much at once',
    400,
    openai(
      'max_tokens_per_request',
      'Requested 301047 tokens, max 300000 tokens per request',
      'max_tokens_per_request',
    ),
  ],
  [
    'context-length',
    'vLLM',
    400,
    { object: 'error', message: "This model's maximum context length is 4096 tokens.", type: 'BadRequestError' },
  ],
  [
    'context-length',
    'llama.cpp',
    400,
    { error: { code: 400, message: 'request (5012 tokens) is too large', type: 'exceed_context_size_error' } },
  ],
  [
    'context-length',
    'llama.cpp, earlier',
    400,
    {
      error: {
        code: 400,
        message: 'the request exceeds the available context size. try increasing the context size',
        type: 'invalid_request_error',
      },
    },
  ],
  [
    'context-length',
    'SGLang',
    400,
    {
      object: 'error',
      message: "The input (5012 tokens) is longer than the model's context length (4096 tokens).",
      type: 'BadRequestError',
    },
  ],
  ['context-length', 'Ollama', 400, openai(null, 'the input length exceeds the context length')],
  [
    'context-length',
    'TGI, with the answer',
    422,
    {
      error:
        'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3900 `inputs` tokens and 400 `max_new_tokens`',
      error_type: 'validation',
    },
  ],
  [
    'context-length',
    'TGI',
    422,
    {
      error: 'Input validation error: `inputs` must have less than 4095 tokens. Given: 5012',
      error_type: 'validation',
    },
  ],
  [
    'context-length',
    'Together',
    422,
    openai(null, 'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193.'),
  ],
  [
    'context-length',
    'xAI',
    400,
    {
      code: 'Client specified an invalid argument',
      error: "This model's maximum prompt length is 131072 but the request contains 140012 tokens.",
    },
  ],
  [
    'context-length',
    'OpenAI, a minute of tokens',
    429,
    openai(
      'rate_limit_exceeded',
      'Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 61337.',
      'tokens',
    ),
  ],
  [
    'context-length',
    'DeepSeek',
    400,
    openai('invalid_request_error', "This model's maximum context length is 65536 tokens."),
  ],
  [
    'context-length',
    'Anthropic',
    400,
    anthropic('invalid_request_error', 'prompt is too long: 208310 tokens > 200000 maximum'),
  ],
  [
    'context-length',
    'Anthropic, with the answer',
    400,
    anthropic('invalid_request_error', 'input length and `max_tokens` exceed context limit: 1 + 2 > 2'),
  ],
  ['context-length', 'Anthropic, in bytes', 413, anthropic('request_too_large', 'Request exceeds the maximum size')],
  [
    'context-length',
    'Gemini',
    400,
    google(
      400,
      'INVALID_ARGUMENT',
      'The input token count (3475108) exceeds the maximum number of tokens allowed (1048576).',
    ),
  ],
  [
    'context-length',
    'Bedrock',
    400,
    { message: 'Input is too long for requested model.' },
    { 'x-amzn-errortype': 'ValidationException' },
  ],
  [
    'context-length',
    'Bedrock, the answer',
    400,
    { message: 'The maximum tokens you requested exceeds the model limit of 32768' },
  ],
  [
    'context-length',
    'Mistral',
    400,
    {
      object: 'error',
      message: 'Prompt contains 40123 tokens, too large for model with 32768 maximum context length',
      code: '3051',
    },
  ],
  [
    'context-length',
    'Groq, a minute of tokens',
    413,
    openai('rate_limit_exceeded', 'Request too large for model `x` on tokens per minute (TPM): Limit 6000', 'tokens'),
  ],

  [
    'content-filter',
    'Azure',
    400,
    {
      error: {
        code: 'content_filter',
        message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        innererror: { code: 'ResponsibleAIPolicyViolation', content_filter_result: { hate: { filtered: true } } },
      },
    },
  ],
  [
    'content-filter',
    'xAI',
    403,
    {
      code: 'The caller does not have permission to execute the specified operation',
      error:
        'Content violates usage guidelines. Team: t, API key ID: k, Model: grok-4, Failed check: SAFETY_CHECK_TYPE_BIO',
    },
  ],
  ['content-filter', 'DeepSeek', 400, openai('invalid_request_error', 'Content Exists Risk')],
  ['content-filter', 'OpenAI', 400, openai('content_policy_violation', 'Your request was rejected')],
  [
    'content-filter',
    'OpenAI, a reasoning model',
    400,
    openai('invalid_prompt', 'Your prompt was flagged as potentially violating our usage policy.'),
  ],
  [
    'content-filter',
    'Anthropic',
    400,
    anthropic('invalid_request_error', 'Output blocked by content filtering policy'),
  ],
  [
    'content-filter',
    'OpenRouter',
    403,
    { error: { code: 403, message: 'flagged', metadata: { reasons: ['x'], flagged_input: 'y' } } },
  ],

  ['server-error', 'OpenAI', 500, openai(null, 'The server had an error', 'server_error')],
  ['server-error', 'Anthropic', 529, anthropic('overloaded_error', 'Overloaded')],
  ['server-error', 'Gemini', 503, google(503, 'UNAVAILABLE', 'The model is overloaded.')],
  ['server-error', 'Bedrock', 424, { message: 'x' }, { 'x-amzn-errortype': 'ModelErrorException' }],
  ['server-error', 'OpenRouter', 502, { error: { code: 502, message: 'Provider returned error' } }],
  ['server-error', 'a deployment that is not there', 404, { error: { code: 'DeploymentNotFound', message: 'x' } }],
  ['server-error', 'a page of a proxy', 502, '<html>Bad Gateway: context window of a page</html>'],

  ['caller-fault', 'Anthropic', 400, anthropic('invalid_request_error', 'messages: roles must alternate')],
  ['caller-fault', 'Gemini', 400, google(400, 'INVALID_ARGUMENT', 'Invalid JSON payload received.')],
  [
    'caller-fault',
    'Bedrock',
    400,
    { message: 'Malformed input request' },
    { 'x-amzn-errortype': 'ValidationException' },
  ],
  [
    'caller-fault',
    'Mistral',
    422,
    { object: 'error', message: { detail: [{ type: 'string_type', loc: ['body', 'messages', 0] }] } },
  ],
];

/** Mistral's, one for each thing that is wrong with a body. */
const EXTRA = [{ type: 'extra_forbidden', loc: ['body', 'user'], msg: 'Extra inputs are not permitted' }];
const SETTINGS: [string, number, unknown][] = [
  ['OpenAI, a value', 400, openai('unsupported_value', "Unsupported value: 'temperature' does not support 0.2")],
  ['OpenAI, a field of other models', 400, openai('unsupported_parameter', "Unsupported parameter: 'top_p'")],
  ['OpenAI, a field', 400, openai('unknown_parameter', "Unknown parameter: 'min_p'.")],
  ['Azure, a field', 400, openai(null, 'Unrecognized request argument supplied: min_p')],
  ['Mistral', 422, { object: 'error', message: { detail: EXTRA }, type: 'invalid_request_error', code: null }],
  ['Mistral, later', 422, { object: 'Error', detail: EXTRA, message: EXTRA, type: 'invalid_request_error' }],
  ['a server of FastAPI', 422, { detail: [{ type: 'value_error.extra', loc: ['body', 'user'] }] }],
  ['Anthropic', 400, anthropic('invalid_request_error', 'min_p: Extra inputs are not permitted')],
  ['Groq', 400, openai(null, "'messages.1' : property 'reasoning_content' is unsupported")],
  ['Anthropic, sampling', 400, anthropic('invalid_request_error', '`temperature` is deprecated for this model.')],
  [
    'Anthropic, sampling twice',
    400,
    anthropic(
      'invalid_request_error',
      '`temperature` and `top_p` cannot both be specified for this model. Please use only one.',
    ),
  ],
  [
    'Anthropic, a way to think',
    400,
    anthropic(
      'invalid_request_error',
      '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.',
    ),
  ],
  [
    'Anthropic, the beginning of an answer',
    400,
    anthropic(
      'invalid_request_error',
      'This model does not support assistant message prefill. The conversation must end with a user message.',
    ),
  ],
  [
    'xAI',
    400,
    {
      code: 'Client specified an invalid argument',
      error: 'Model grok-4 does not support parameter presencePenalty.',
    },
  ],
  [
    'vLLM, tools',
    400,
    {
      error: {
        message: '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        type: 'BadRequestError',
        code: 400,
      },
    },
  ],
];
/** A model that did not manage what it was asked. */
const MODEL_FAILED: [string, number, unknown][] = [
  ['Groq, a call', 400, openai('tool_use_failed', "Failed to call a function. See 'failed_generation'.")],
  ['Groq, JSON', 400, openai('json_validate_failed', "Failed to generate JSON. See 'failed_generation'.")],
];
/** What nobody knows may be of this one request. */
const FORBIDDEN: [string, number, unknown][] = [
  ['a proxy', 403, ''],
  ['a page of a proxy', 403, "<html><h1>Access Denied</h1>You don't have permission to access this.</html>"],
  ['a provider, in new words', 403, openai('policy_7', 'This is not something that we answer')],
];

describe('a refusal', () => {
  it.each(TABLE)('%s: %s, %d', (code, _who, status, body, headers) => {
    expect(of(status, body, headers)).toMatchObject({
      code,
      retryable: code !== 'caller-fault' && code !== 'content-filter',
      didNothing: true,
    });
  });

  it.each(SETTINGS)('of a setting says nothing of other backends: %s, %d', (_who, status, body) => {
    expect(of(status, body)).toMatchObject({ code: 'caller-fault', retryable: true, didNothing: true });
  });

  it.each(MODEL_FAILED)('by a failure of the model is no word on others: %s, %d', (_who, status, body) => {
    expect(of(status, body)).toMatchObject({ code: 'caller-fault', retryable: true });
  });

  it.each(FORBIDDEN)('without a known reason takes no key from others: %s, %d', (_who, status, body) => {
    expect(of(status, body)).toMatchObject({ code: 'caller-fault', retryable: true });
  });

  it("has the provider's own words, but for a refused key, which some of them quote", () => {
    expect(of(400, openai('x', 'no such tool')).message).toBe('400 no such tool');
    expect(of(401, openai('invalid_api_key', 'Incorrect API key provided: sk-abc')).message).toBe(
      '401 invalid_api_key invalid_request_error',
    );
    expect(of(422, { message: { detail: [{ loc: ['body', 'x'] }] } }).message).toBe(
      '422 {"detail":[{"loc":["body","x"]}]}',
    );
    expect(of(500, 'x'.repeat(1_000)).message).toHaveLength(404);
  });

  it('of a gateway that gave up waiting does not say that nothing was done', () => {
    for (const status of [408, 504, 524])
      expect(of(status, '')).toMatchObject({ code: 'server-error', didNothing: false });
  });

  it.each<[string, Refused['headers'], unknown, number | undefined]>([
    ['seconds', { 'retry-after': '20' }, '', 20],
    ['a date', { 'retry-after': 'Tue, 24 Nov 2026 10:00:30 GMT' }, '', 30],
    ['milliseconds, which are finer', { 'retry-after-ms': '1500', 'retry-after': '2' }, '', 1.5],
    [
      'Google’s RetryInfo',
      {},
      google(429, 'RESOURCE_EXHAUSTED', 'x', [{ '@type': 'x.RetryInfo', retryDelay: '34.4s' }]),
      34.4,
    ],
    [
      'OpenAI and Groq: the limit that has nothing left',
      {
        'x-ratelimit-remaining-requests': '999',
        'x-ratelimit-reset-requests': '2m59.56s',
        'x-ratelimit-remaining-tokens': '0',
        'x-ratelimit-reset-tokens': '7.66s',
      },
      '',
      7.66,
    ],
    ['in milliseconds', { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '120ms' }, '', 0.12],
    [
      'Anthropic: an instant',
      {
        'anthropic-ratelimit-requests-remaining': '10',
        'anthropic-ratelimit-requests-reset': '2026-11-24T10:05:00Z',
        'anthropic-ratelimit-input-tokens-remaining': '0',
        'anthropic-ratelimit-input-tokens-reset': '2026-11-24T10:00:09Z',
      },
      '',
      9,
    ],
    ['OpenRouter: an epoch in milliseconds', { 'x-ratelimit-reset': String(NOW + 4_000) }, '', 4],
    ['an instant that has passed', { 'retry-after': 'Tue, 24 Nov 2026 09:00:00 GMT' }, '', 0],
    ['what is no time', { 'retry-after': 'soon' }, '', undefined],
    ['nothing', {}, '', undefined],
  ])('says when to come back: %s', (_how, headers, body, seconds) => {
    expect(of(429, body, headers).retryAfterSeconds).toBe(seconds);
  });

  it('inside an answer is never "nothing was done"', () => {
    expect(refusalInAnswer({ type: 'overloaded_error', message: 'Overloaded' }, NOW)).toEqual({
      code: 'server-error',
      retryable: true,
      message: 'Overloaded',
      retryAfterSeconds: undefined,
      didNothing: false,
    });
    expect(refusalInAnswer({ code: 429, message: 'slow down' }, NOW)).toMatchObject({
      code: 'quota',
      didNothing: false,
    });
    expect(refusalInAnswer({ code: 'content_filter', message: 'x' }, NOW)).toMatchObject({ code: 'content-filter' });
    expect(refusalInAnswer({ code: 400, type: 'unsupported_value', message: 'x' }, NOW)).toMatchObject({
      code: 'caller-fault',
      retryable: false,
    });
    expect(refusalInAnswer('boom', NOW)).toMatchObject({ code: 'server-error', message: 'boom' });
  });

  it('of any status and any bytes is a refusal', () => {
    for (const body of ['', 'null', '[]', '[1]', '{"error":[]}', '{"error":{"details":7,"code":{}}}', '"x"', '\u0000'])
      for (const status of [300, 400, 418, 499, 500, 599])
        expect(of(status, body).code).toMatch(/^(server-error|caller-fault)$/);
  });
});

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

it.skipIf(!data)('recorded refusals (MERITORDER_TEST_DATA) are what the table says', () => {
  const fixture = (path: string): string => readFileSync(join(data!, 'responses/vercel-ai', path), 'utf8');
  expect(of(429, fixture('google/src/__fixtures__/google-429-retry-info.json'))).toMatchObject({
    code: 'quota',
    retryAfterSeconds: 34.4,
  });
  for (const path of [
    'openai/src/chat/__fixtures__/reasoning-model-legacy-parameter-error.json',
    'openai/src/image/__fixtures__/gpt-image-response-format-error.json',
  ])
    expect(of(400, fixture(path))).toMatchObject({ code: 'caller-fault', retryable: true });
});
