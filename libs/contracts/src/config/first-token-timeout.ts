import type { BackendConfig } from './meritorder-config.js';

const FIRST_TOKEN_MS = 60_000;
/** OpenAI's models think for minutes of which a stream shows nothing; as long as between two tokens. */
const FIRST_TOKEN_AFTER_REASONING_MS = 300_000;
const HARDLY_ANY: ReadonlySet<unknown> = new Set(['none', 'minimal']);

/** How long a stream of a backend may be silent before its first token, milliseconds. @param body as its caller sent it, of any kind */
export function firstTokenTimeoutMs(
  { firstTokenTimeoutMs: set, hiddenOutput }: Pick<BackendConfig, 'firstTokenTimeoutMs' | 'hiddenOutput'>,
  body: Readonly<Record<string, unknown>>,
): number {
  return set ?? (hiddenOutput || asksForReasoning(body) ? FIRST_TOKEN_AFTER_REASONING_MS : FIRST_TOKEN_MS);
}

/** OpenAI's chat completions and responses, OpenRouter's field, Anthropic's messages. What is not asked for is up to the backend. */
function asksForReasoning({ reasoning_effort, reasoning, thinking }: Readonly<Record<string, unknown>>): boolean {
  const { effort, enabled, max_tokens } = fieldsOf(reasoning);
  const { type } = fieldsOf(thinking);
  return (
    isEffort(reasoning_effort) ||
    isEffort(effort) ||
    enabled === true ||
    (typeof max_tokens === 'number' && max_tokens > 0) ||
    (typeof type === 'string' && type !== 'disabled')
  );
}

function isEffort(effort: unknown): boolean {
  return typeof effort === 'string' && !HARDLY_ANY.has(effort);
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
