import { parseJson } from '@meritorder/kernel';
import type { Refusal } from '@meritorder/contracts';
import type { IncomingCall } from './answer-call.js';
import type { ResponseStore } from './ports/responses.js';

type Json = Record<string, unknown>;

export interface ConversationPorts {
  /** Undefined: nothing is kept here. */
  responses: ResponseStore | undefined;
  /** Of a body. */
  mostBytes: number;
  onError(error: Error, requestId: string): void;
}

export interface ReadCall {
  /** With all that it refers to in place of the references. */
  body: Buffer;
  /** Keeps its response, and gives it as it is to be told. Undefined: it is not to be kept. */
  keep: ((response: Json) => Promise<Json>) | undefined;
}

/**
 * A request for a response may go on from an earlier one by its id, or have items by theirs: whoever answers it is told the items
 * themselves. What is no such request is passed on as it came: the router says what is wrong with it.
 */
export async function withConversation(ports: ConversationPorts, call: IncomingCall): Promise<ReadCall | Refusal> {
  const asIs = { body: call.body, keep: undefined };
  const { responses } = ports;
  const asked = responses && objectIn(call.body.toString('utf8'));
  if (!responses || !asked) return asIs;
  const previous = asked['previous_response_id'] ?? undefined;
  const items = itemsOf(asked['input']);
  if (!items || (previous !== undefined && typeof previous !== 'string')) return asIs;
  let input: readonly Json[] | Refusal;
  let earlier: readonly Json[] | Refusal;
  try {
    input = await resolved(responses, call.org, items);
    earlier = previous === undefined ? [] : await before(responses, call.org, previous);
  } catch (error) {
    ports.onError(error as Error, call.requestId);
    return {
      code: 'responses_unavailable',
      message: 'What the request refers to could not be read; it was not run.',
      retryAfterSeconds: 1,
    };
  }
  if (isRefusal(input)) return input;
  if (isRefusal(earlier)) return earlier;
  let { body } = call;
  if (previous !== undefined || input !== items) {
    const { previous_response_id: _previous, ...rest } = asked;
    const text = jsonOf({ ...rest, input: [...earlier, ...input] });
    if (text === undefined) return asIs;
    body = Buffer.from(text);
  }
  if (body.length > ports.mostBytes) {
    const message = `With all that it refers to the body has ${body.length} bytes; the limit is ${ports.mostBytes}.`;
    return { code: 'body_too_large', message };
  }
  const own = input;
  const keep = async (response: Json): Promise<Json> => {
    const kept = { ...response, store: true, previous_response_id: previous ?? null };
    try {
      const done = responses.keep({
        org: call.org,
        id: String(response['id']),
        previous,
        input: JSON.stringify(own),
        items: outputOf(response).map((item) => ({ id: String(item['id']), item: JSON.stringify(item) })),
        response: JSON.stringify(kept),
      });
      await within(KEPT_WITHIN_MS, done);
      return kept;
    } catch (error) {
      // The answer is paid for; it says that it is not kept.
      ports.onError(error as Error, call.requestId);
      return response;
    }
  };
  return { body, keep: asked['store'] === false ? undefined : keep };
}

/** The end of an answer waits no longer for its being kept. */
const KEPT_WITHIN_MS = 2_000;

async function within(ms: number, done: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`a response was not kept within ${ms} ms`)), ms);
  });
  await Promise.race([done, late]).finally(() => clearTimeout(timer));
}

/** @returns the same list where nothing is referred to */
async function resolved(store: ResponseStore, org: string, items: readonly Json[]): Promise<readonly Json[] | Refusal> {
  const ids = items.filter(isReference).map(({ id }) => id as string);
  if (ids.length === 0) return items;
  const found = await store.itemsById(org, ids.filter(isText));
  const missing = items.findIndex((item) => isReference(item) && !found.has(item['id'] as string));
  if (missing >= 0) return notKept(`input.${missing}`, `item ${String(items[missing]!['id']).slice(0, 100)}`);
  return items.map((item) => (isReference(item) ? (JSON.parse(found.get(item['id'] as string)!) as Json) : item));
}

async function before(store: ResponseStore, org: string, id: string): Promise<readonly Json[] | Refusal> {
  const turns = isText(id) ? await store.turnsUpTo(org, id) : undefined;
  if (!turns) return notKept('previous_response_id', `response ${id.slice(0, 100)}`);
  return turns.flatMap(({ input, response }) => [
    ...(JSON.parse(input) as Json[]),
    ...outputOf(JSON.parse(response) as Json),
  ]);
}

function notKept(param: string, what: string): Refusal {
  return {
    code: 'body_invalid',
    message: `${param}: the ${what} is not kept here, or not any more: send what it says`,
    param,
  };
}

const isRefusal = (value: readonly Json[] | Refusal): value is Refusal => 'code' in value;

/** Undefined: they are not what they should be. */
function itemsOf(input: unknown): readonly Json[] | undefined {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  return Array.isArray(input) && input.every(isObject) ? input : undefined;
}

function outputOf(response: Json): readonly Json[] {
  const { output } = response;
  return Array.isArray(output) ? output.filter(isObject) : [];
}

const isReference = ({ type, id }: Json): boolean => type === 'item_reference' && typeof id === 'string';

/** Postgres has no U+0000 in a text, so nothing is kept under it. */
const isText = (id: string): boolean => !id.includes('\u0000');

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Undefined: it is nested too deep to be written. */
function jsonOf(value: Json): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

function objectIn(text: string): Json | undefined {
  try {
    const value: unknown = parseJson(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
