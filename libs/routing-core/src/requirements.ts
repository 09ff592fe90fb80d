import type { BackendConfig, Capability, ChatRequest, Kind, ServiceTier, UsageUnit } from '@meritorder/contracts';

/** What a request asks of a backend, read from its body. */
export interface Requirements {
  kind: Kind;
  /** What of a request of another kind a backend that is sent a chat completion could not be told, in words. */
  uncarried: string | undefined;
  /** What of a chat completion a protocol has no words for, in words; undefined: nothing. */
  uncarriedBy?: ((protocol: string) => string | undefined) | undefined;
  /** Output tokens of one choice below which no backend takes the request. */
  leastTokens: number;
  /** Of a job: how long it may take, milliseconds; undefined: it cannot be in a batch. */
  batchWithinMs?: number | undefined;
  capabilities: Capability[];
  /** Most output tokens of one choice that the caller accepts; undefined: as many as the backend gives. */
  maxTokens: number | undefined;
  choices: number;
  /** Units beside tokens that the request may use: each needs a bound. */
  units: UsageUnit[];
  /** What tools of the provider find is billed as input. */
  toolsAddInput: boolean;
  /** The caller named the standard tier, so that no dearer one can be billed. */
  standardTierOnly: boolean;
  /** Another tier that the caller named: it needs a price. */
  tier: Exclude<ServiceTier, 'standard'> | undefined;
  inputModalities: Modality[];
  outputModalities: Modality[];
  /** A field whose cost no bound is known for; undefined: all of it is bounded. */
  unbounded: string | undefined;
}
export type Modality = 'audio' | 'image' | 'video';

/** How a request of another kind than chat asks for something; what else it asks for is in its reading as a chat completion. */
export interface AskedKind {
  kind: Kind;
  uncarried?: string | undefined;
  unbounded?: string | undefined;
  leastTokens?: number | undefined;
}

const CHAT: AskedKind = { kind: 'chat' };

export function requirementsOf(
  body: ChatRequest,
  { kind, uncarried, unbounded, leastTokens = 0 }: AskedKind = CHAT,
): Requirements {
  const needs = new Set<Capability>();
  if (body.stream) needs.add('streaming');
  if (body.tools?.length || body['functions'] || hasToolTurn(body)) needs.add('tools');
  if (body.response_format && body.response_format.type !== 'text') needs.add('json');
  if ((body.n ?? 1) > 1) needs.add('choices');
  if (body['logprobs']) needs.add('logprobs');
  if (needsVision(body)) needs.add('vision');
  return {
    kind,
    uncarried,
    leastTokens,
    capabilities: [...needs],
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? undefined,
    choices: body.n ?? 1,
    units: unitsOf(body),
    toolsAddInput: unitsOf(body).length > 0 || (body.tools?.some(({ type }) => SEARCHES_TOOLS.test(type)) ?? false),
    standardTierOnly: STANDARD_TIERS.includes(body['service_tier']),
    tier: SPECIAL_TIERS.find((tier) => tier === body['service_tier']),
    inputModalities: inputModalitiesOf(body),
    outputModalities: Array.isArray(body['modalities']) ? body['modalities'].filter(isModality) : [],
    unbounded: unbounded ?? unboundedField(body),
  };
}

/** `on_demand` is Groq's name of it. */
const STANDARD_TIERS: unknown[] = ['default', 'standard', 'on_demand'];
const SPECIAL_TIERS = ['batch', 'flex', 'priority'] as const;
/** Tiers whose price a card may have; `auto` is bounded by the dearest of them. */
const KNOWN_TIERS: unknown[] = [undefined, null, 'auto', ...STANDARD_TIERS, ...SPECIAL_TIERS];
/**
 * Tools that the caller runs itself; what a provider runs is charged per call. Anthropic describes some of the former, and
 * searches the tools of the request without a charge for it, but what is found may be input once more.
 */
const CALLERS_TOOLS =
  /^(function|custom|(bash|text_editor|computer|memory)_\d{8}|tool_search_tool_(regex|bm25)(_\d{8})?)$/;

const SEARCHES_TOOLS = /^tool_search_tool_/;

/**
 * A field that is passed through and that a provider may charge in a way that no price book knows: tiers and tools that nobody
 * heard of, more choices than `n` says, text that is not in the messages.
 */
function unboundedField(body: ChatRequest): string | undefined {
  const present = (name: string): boolean => body[name] !== undefined && body[name] !== null;
  if (!KNOWN_TIERS.includes(body['service_tier'])) return 'service_tier';
  if (body.tools?.some(({ type }) => !CALLERS_TOOLS.test(type) && !unitOfTool(type))) return 'tools';
  const modalities = body['modalities'];
  if (present('modalities') && !(Array.isArray(modalities) && modalities.every((m) => m === 'text' || isModality(m))))
    return 'modalities';
  if (present('best_of') && body['best_of'] !== 1) return 'best_of';
  return ['documents', 'chat_template'].find(present);
}

/** A conversation in which a tool was called: a backend without tools refuses it, or reads it as something else. */
function hasToolTurn({ messages }: ChatRequest): boolean {
  return messages.some((m) => {
    const calls = m['tool_calls'];
    return (
      m.role === 'tool' || m.role === 'function' || (Array.isArray(calls) && calls.length > 0) || !!m['function_call']
    );
  });
}

/** Parts that are text to the model; Anthropic's are told from PDFs and images by their estimate, that has no bound for those. */
const TEXT_PARTS = /^(text|refusal|search_result|tool_reference|(server|mcp)_tool_use|[a-z_]{1,48}_tool_result)$/;

/** Pages of a file are pictures too. Audio goes to who says what it can cost: a model that hears may see nothing. */
function needsVision(body: ChatRequest): boolean {
  const isSeen = (part: ContentPart): boolean => part.type !== 'input_audio' && !isText(part);
  return body.messages.some((m) => Array.isArray(m.content) && m.content.some(isSeen));
}

type ContentPart = { type: string; [more: string]: unknown };

function isText(part: ContentPart): boolean {
  if (part.type !== 'document') return TEXT_PARTS.test(part.type);
  const source = part['source'] as { type?: unknown } | null | undefined;
  return source?.type === 'text' || source?.type === 'content';
}

const MODALITIES: readonly Modality[] = ['audio', 'image', 'video'];

/** By the start of a tool's type: providers date them ("web_search_20250305"). */
const UNIT_OF_TOOL: readonly (readonly [RegExp, UsageUnit])[] = [
  [/^web_search/, 'webSearches'],
  [/^file_search/, 'fileSearches'],
  [/^code_(interpreter|execution)/, 'codeExecutions'],
];

function unitOfTool(type: string): UsageUnit | undefined {
  return UNIT_OF_TOOL.find(([tool]) => tool.test(type))?.[1];
}

function unitsOf(body: ChatRequest): UsageUnit[] {
  const units = (body.tools ?? []).map(({ type }) => unitOfTool(type)).filter((unit) => unit !== undefined);
  return [...new Set(body['web_search_options'] ? [...units, 'webSearches' as const] : units)];
}

function isModality(value: unknown): value is Modality {
  return MODALITIES.some((modality) => modality === value);
}

/** "image_url", "input_audio", "video": what a part's type says it is. Pages of a file may be billed as images. */
function inputModalitiesOf(body: ChatRequest): Modality[] {
  const types = body.messages.flatMap((m) => [
    ...(Array.isArray(m.content) ? m.content.map((part) => (isFile(part) ? 'image' : part.type)) : []),
    ...(m['audio'] ? ['audio'] : []),
  ]);
  return MODALITIES.filter((modality) => types.some((type) => type.includes(modality)));
}

function isFile(part: ContentPart): boolean {
  return part.type === 'file' || part.type === 'input_file' || (part.type === 'document' && !isText(part));
}

/** A backend that does not say serves chat and messages, one of them translated; responses are served by whoever serves chat. */
export function servesKind({ kinds }: Pick<BackendConfig, 'kinds'>, kind: Kind): boolean {
  return kinds?.includes(kind === 'responses' ? 'chat' : kind) ?? kind !== 'embeddings';
}

/** Protocols whose backends are passed a request of kind messages as it came. */
const SPEAK_MESSAGES: ReadonlySet<string> = new Set(['anthropic']);

/** Whether a request of this kind reaches the backend as a chat completion that it was translated into. */
export function isTranslated({ protocol }: Pick<BackendConfig, 'protocol'>, kind: Kind): boolean {
  return kind === 'responses' || (kind === 'messages' && !SPEAK_MESSAGES.has(protocol));
}

/** Whether what reaches the backend is a chat completion, as it came or translated into one. */
export function isSentChat(backend: Pick<BackendConfig, 'protocol'>, kind: Kind): boolean {
  return kind === 'chat' || isTranslated(backend, kind);
}
