import type { FailureCode } from '../application/ports.js';

/** What a backend said when it refused, over any protocol. */
export interface Refused {
  status: number;
  /** By lower-case name. */
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: string;
}

/** What that means for the caller, the credential and for money. */
export interface Refusal {
  code: FailureCode;
  /** Whether another backend may do better. */
  retryable: boolean;
  message: string;
  retryAfterSeconds: number | undefined;
  /** False: a gateway gave up waiting, and what stands behind it may go on and charge for it. */
  didNothing: boolean;
}

/**
 * One table for every provider: from status, codes and words to what they mean. The first row that fits counts.
 *
 * - `content-filter`: somebody's policy forbids the request. Asking elsewhere would be a way around it, so nobody does.
 * - `context-length`: too long for this backend; another may take it.
 * - `credential`: this key, account or its credit is refused, the request is not.
 * - `quota`: too many at once or per minute.
 * - `server-error`: the backend's own trouble.
 * - `caller-fault`: any other 4xx. Where it is a setting that the provider does not know, or that this model does not take, another
 *   backend may take the request as it is; so where a model failed at it, and where a 403 has no known reason.
 *
 * @param nowMs of the wall clock: instants in the answer are told as seconds from it
 */
export function refusalOf(refused: Refused, nowMs: number): Refusal {
  const said = saidIn(refused);
  const code = codeOf(refused.status, said);
  const isFinal = code === 'content-filter' || (code === 'caller-fault' && !mayBeTakenElsewhere(refused.status, said));
  const words = code === 'credential' ? said.codes.join(' ') : said.message;
  return {
    code,
    retryable: !isFinal,
    // Providers quote keys when they refuse them, so a refused credential is told by its codes alone.
    message: `${refused.status} ${words}`.trim(),
    retryAfterSeconds: retryAfterSecondsOf(refused, said, nowMs),
    didNothing: !GATEWAY_TIMEOUTS.has(refused.status),
  };
}

/** The same of an error inside a stream or a body of status 200. Something was done before it. */
export function refusalInAnswer(error: unknown, nowMs: number): Refusal {
  const status = Number(objectOf(error)?.['code']);
  const refused = {
    status: status >= 400 && status < 600 ? status : 500,
    headers: {},
    body: JSON.stringify({ error }),
  };
  const { message, ...refusal } = refusalOf(refused, nowMs);
  const words = refusal.code === 'credential' ? message : saidIn(refused).message || 'an error inside the answer';
  // A setting is refused before anything is done, and not in an answer.
  const retryable = refusal.retryable && (refusal.code !== 'caller-fault' || status === 403);
  return { ...refusal, retryable, message: words, didNothing: false };
}

const GATEWAY_TIMEOUTS: ReadonlySet<number> = new Set([408, 504, 522, 524]);

interface Said {
  message: string;
  /** Whatever the body or a header has as a name of the error. */
  codes: string[];
  error: Json;
}

type Json = Record<string, unknown>;

/** @see the provider's documentation of its errors: each name below is of one of them. */
const CONTENT_FILTER =
  /^(content_filter|content_filtered|content_policy_violation|ResponsibleAIPolicyViolation|moderation_blocked|data_inspection_failed|guardrail_intervened)$/i;
/** Azure and Anthropic, OpenAI, xAI (whose code of it is that of a right that the caller lacks), DeepSeek. */
const CONTENT_FILTER_WORDS =
  /content (management|filtering) policy|violating our usage policy|violates usage guidelines|SAFETY_CHECK_TYPE|^content exists risk$/i;
/** The last are OpenAI's of too many inputs of embeddings at once, and llama.cpp's. */
const CONTEXT_LENGTH =
  /^(context_length_exceeded|request_too_large|string_above_max_length|max_tokens_per_request|exceed_context_size_error)$/;
const CONTEXT_LENGTH_WORDS = new RegExp(
  [
    'maximum context length|context window|prompt is too long|input is too long|exceeds the model limit',
    'input token count.*exceeds|too large for model|request too large for',
    // Ollama; llama.cpp, which says "available".
    'exceed(s|ed)? (the )?(available )?context',
    // SGLang; vLLM of an embedding or a prompt in numbers.
    "longer than the (model's context length|maximum model length)",
    // TGI, and Together, which runs it.
    '`inputs` tokens \\+ `max_new_tokens` must be|`inputs` must have less than',
    // xAI.
    'maximum prompt length is',
  ].join('|'),
  'i',
);
const CREDENTIAL =
  /^(invalid_api_key|API_KEY_INVALID|insufficient_quota|billing_hard_limit_reached|billing_not_active|billing_error|authentication_error|permission_error|PERMISSION_DENIED|UnrecognizedClientException|ExpiredTokenException|InvalidSignatureException|AccessDeniedException|unsupported_country_region_territory)$/;
const CREDENTIAL_WORDS = /credit balance is too low|insufficient balance|api key (expired|not valid)/i;
/** Of a 403: what the key, the account or the place that it is asked from may not do. */
const FORBIDDEN_WORDS =
  /api.?key|access.?key|key limit|signature|permission|authori[sz]|access.?denied|(not|no) have access|billing|credit|suspended|deactivated|country|network|firewall/i;
/** Of a proxy on the way: what it forbids may be the text that is asked. */
const PAGE = /^\s*<(!doctype|html)/i;
const QUOTA =
  /^(rate_limit_exceeded|rate_limit_error|RESOURCE_EXHAUSTED|ThrottlingException|ServiceQuotaExceededException|TooManyRequestsException)$/;
const SERVER = /^(overloaded_error|api_error|server_error|timeout_error|ModelErrorException|ModelTimeoutException)$/;
/** OpenAI's, Azure's and pydantic's, which Mistral's and vLLM's servers check a body with. */
const SETTING = /^(unsupported_value|unsupported_parameter|unknown_parameter|extra_forbidden|value_error\.extra)$/;
/** None of these has a code for it. */
const SETTING_WORDS = new RegExp(
  [
    // Anthropic, Azure, Groq and Cerebras: of a field that they do not know.
    "extra inputs are not permitted|unrecognized request argument|property '[^']*' is unsupported",
    // Anthropic, also on Bedrock, and xAI: of what the model does not take.
    '(deprecated|not supported|unsupported|cannot both be specified) (for|by|on|with) this model',
    '\\bmodel( \\S+)? does not support\\b',
    // vLLM, where nobody chose how calls are read.
    'requires --enable-auto-tool-choice',
  ].join('|'),
  'i',
);
/** Groq's: what the model wrote is no call of a tool, or not the JSON that was asked for. Another may write it. */
const MODEL_FAILED = /^(tool_use_failed|json_validate_failed)$/;

function mayBeTakenElsewhere(status: number, { message, codes }: Said): boolean {
  if (status === 403) return true;
  if (status !== 400 && status !== 422) return false;
  return codes.some((code) => SETTING.test(code) || MODEL_FAILED.test(code)) || SETTING_WORDS.test(message);
}

function codeOf(status: number, { message, codes, error }: Said): FailureCode {
  const named = (pattern: RegExp): boolean => codes.some((code) => pattern.test(code));
  if (named(CONTENT_FILTER) || CONTENT_FILTER_WORDS.test(message)) return 'content-filter';
  // OpenRouter's moderation.
  if (status === 403 && objectOf(error['metadata'])?.['flagged_input'] !== undefined) return 'content-filter';
  // Groq and OpenAI call one request that is larger than a minute's tokens a rate limit: it will never fit there.
  if (status === 413 || named(CONTEXT_LENGTH)) return 'context-length';
  if (status < 500 && CONTEXT_LENGTH_WORDS.test(message)) return 'context-length';
  if (status === 401 || status === 402 || named(CREDENTIAL) || CREDENTIAL_WORDS.test(message)) return 'credential';
  // One that nobody knows may be of what this request says: no reason to take the key away from all others.
  if (status === 403) return isOfAccount(message, codes) ? 'credential' : 'caller-fault';
  // 498: Groq's flexible tier is full.
  if (status === 429 || status === 498 || named(QUOTA)) return 'quota';
  // A redirect is no answer either: a call goes where the configuration says.
  if (status < 400 || status >= 500 || STATUS_OF_SERVER.has(status) || named(SERVER)) return 'server-error';
  return 'caller-fault';
}

function isOfAccount(message: string, codes: readonly string[]): boolean {
  return codes.some((code) => FORBIDDEN_WORDS.test(code)) || (!PAGE.test(message) && FORBIDDEN_WORDS.test(message));
}

/** Not there (a deployment, a model), too slow, in conflict, failed inside the model (Bedrock): not the request's fault. */
const STATUS_OF_SERVER: ReadonlySet<number> = new Set([404, 405, 408, 409, 424]);

const MOST_CHARACTERS = 400;

function saidIn({ headers, body }: Refused): Said {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  // Gemini sends a list where a stream was asked for.
  const whole = objectOf(Array.isArray(parsed) ? parsed[0] : parsed) ?? {};
  const error = objectOf(whole['error']) ?? whole;
  const inner = objectOf(error['innererror']) ?? objectOf(error['inner_error']);
  const details = listOf(error['details']).map((detail) => objectOf(detail)?.['reason']);
  // "ThrottlingException:http://internal.amazon.com/...", and "com.amazon.coral.service#AccessDeniedException".
  const names = [first(headers['x-amzn-errortype']), whole['__type']].map((name) =>
    typeof name === 'string' ? name.split(':')[0]!.split('#').at(-1) : undefined,
  );
  const codes = [
    error['code'],
    error['type'],
    error['status'],
    inner?.['code'],
    ...details,
    ...names,
    ...faultsIn(whole),
  ]
    .filter((code) => typeof code === 'string' && code !== '' && code !== 'error')
    .map((code) => String(code).slice(0, 64));
  return { message: messageOf(whole, error, body).slice(0, MOST_CHARACTERS), codes: [...new Set(codes)], error };
}

/** Mistral and FastAPI have a list of what is wrong with the body, each with its type. */
function faultsIn({ message, detail }: Json): unknown[] {
  return [detail, message, objectOf(message)?.['detail']].flatMap(listOf).map((fault) => objectOf(fault)?.['type']);
}

/** That list is in place of a text. */
function messageOf(whole: Json, error: Json, body: string): string {
  for (const message of [error['message'], whole['message'], whole['Message'], whole['error'], whole['detail']]) {
    if (typeof message === 'string' && message !== '') return message;
    if (typeof message === 'object' && message !== null && message !== error) return JSON.stringify(message);
  }
  return body;
}

function retryAfterSecondsOf({ headers }: Refused, { error }: Said, nowMs: number): number | undefined {
  const header = (name: string): string | undefined => first(headers[name]);
  const milliseconds = Number(header('retry-after-ms') ?? NaN);
  if (milliseconds >= 0) return milliseconds / 1_000;
  const after = header('retry-after');
  if (after !== undefined) return secondsUntil(after, nowMs);
  const delay = listOf(error['details'])
    .map((detail) => objectOf(detail)?.['retryDelay'])
    .find((value) => typeof value === 'string');
  if (delay !== undefined) return secondsUntil(String(delay), nowMs);
  return resetSeconds(headers, nowMs);
}

/** OpenAI, Groq, Azure, Mistral: `x-ratelimit-reset-tokens`; Anthropic: `anthropic-ratelimit-tokens-reset`; OpenRouter: one alone. */
const RESET = /^(?:x-ratelimit-reset(?:-(.+))?|anthropic-ratelimit-(.+)-reset)$/;

/** Until the last of those limits is reset that have nothing left; where none says so, until the last of all. */
function resetSeconds(headers: Refused['headers'], nowMs: number): number | undefined {
  const exhausted: number[] = [];
  const all: number[] = [];
  for (const [name, value] of Object.entries(headers)) {
    const match = RESET.exec(name);
    const seconds = match ? secondsUntil(first(value) ?? '', nowMs) : undefined;
    if (!match || seconds === undefined) continue;
    all.push(seconds);
    const of = match[1] ?? match[2];
    const left = match[2]
      ? headers[`anthropic-ratelimit-${of}-remaining`]
      : headers[of === undefined ? 'x-ratelimit-remaining' : `x-ratelimit-remaining-${of}`];
    if (Number(first(left) ?? NaN) <= 0) exhausted.push(seconds);
  }
  const those = exhausted.length > 0 ? exhausted : all;
  return those.length > 0 ? Math.max(...those) : undefined;
}

const DURATION = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$/;

/** From "20", "6m0s", "34.4s", "120ms", a date, or an epoch in seconds or milliseconds. */
function secondsUntil(value: string, nowMs: number): number | undefined {
  const text = value.trim();
  if (text === '') return undefined;
  const number = Number(text);
  if (Number.isFinite(number)) {
    if (number < 0) return undefined;
    const instantMs = number > 1e12 ? number : number > 1e9 ? number * 1_000 : undefined;
    return instantMs === undefined ? number : Math.max(0, (instantMs - nowMs) / 1_000);
  }
  const parts = DURATION.exec(text);
  if (parts) {
    const [hours, minutes, seconds, milliseconds] = parts.slice(1).map((part) => Number(part ?? 0));
    return hours! * 3_600 + minutes! * 60 + seconds! + milliseconds! / 1_000;
  }
  const instantMs = Date.parse(text);
  return Number.isNaN(instantMs) ? undefined : Math.max(0, (instantMs - nowMs) / 1_000);
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

function objectOf(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
