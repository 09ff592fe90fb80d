import type { ResponsesRequest, Usage } from '@meritorder/contracts';
import { CallPlaces, pieceOf } from '../call-places.js';
import { HeldNull } from '../held-null.js';
import { listOf, objectOf, textOf, type Json } from '../json.js';
import { TranslationError } from '../translation-error.js';
import {
  argumentsIn,
  callItem,
  itemStatus,
  messageItem,
  refusalPart,
  responseObject,
  responseUsage,
  statusOf,
  textIn,
  textPart,
  type ResponseNames,
  type ResponseState,
} from './chat-to-response.js';

/** One event of OpenAI's stream of a response. */
export type ResponseEvent = { type: string; sequence_number: number; [more: string]: unknown };

/** Of one answer: more than any model writes at once, and so little that the last event fits a message. */
const MOST_CHARACTERS = 1_000_000;

/**
 * OpenAI's chunks as the events of a response, each as soon as it can be told. Of the first choice. Its items may grow in turn, so
 * nothing waits; all of the answer is kept, for its items are told once more when they end, and with the last event.
 */
export class EventsOfResponse {
  private sequence = 0;
  private names: ResponseNames;
  private started = false;
  private message: SaidMessage | undefined;
  private readonly places = new CallPlaces();
  private readonly calls = new Map<number, MadeCall>();
  private items = 0;
  /** Undefined: the choice has begun, and not ended. A stream of nothing is an answer of nothing. */
  private finishReason: unknown = 'stop';
  private begun = false;
  private serviceTier: string | undefined;
  private usage: Usage | undefined;
  private characters = 0;

  constructor(
    names: ResponseNames,
    private readonly asked: ResponsesRequest,
  ) {
    this.names = names;
  }

  /** @throws TranslationError where a tool is called that has no name, more than MOST_CALLS are, or the answer is too long. */
  feed(chunk: Json): ResponseEvent[] {
    const events = this.start(chunk);
    this.serviceTier = textOf(chunk['service_tier']) ?? this.serviceTier;
    const choice = listOf(chunk['choices'])
      .map(objectOf)
      .find((one) => (one?.['index'] ?? 0) === 0);
    if (!choice) return events;
    const delta = objectOf(choice['delta']) ?? {};
    const logprobs = listOf(objectOf(choice['logprobs'])?.['content']);
    this.say(events, 'output_text', textIn(delta['content']), logprobs);
    this.say(events, 'refusal', textOf(delta['refusal']) ?? '', []);
    for (const call of listOf(delta['tool_calls'])) this.call(events, objectOf(call) ?? {});
    if (!this.begun) this.finishReason = undefined;
    this.begun = true;
    if (textOf(choice['finish_reason']) !== undefined) this.finishReason = choice['finish_reason'];
    return events;
  }

  /**
   * What is left to tell, but for the last event.
   * @param usage as the books have it; undefined: the backend said nothing, and nobody counted.
   * @throws TranslationError where the answer broke off.
   */
  end(usage: Usage | undefined): ResponseEvent[] {
    const events = this.start({});
    this.usage = usage;
    const { message } = this;
    const ended = itemStatus(statusOf(this.finishReason).status);
    if (message) {
      if (message.open) this.closePart(events, message, message.open);
      const item = messageItem(this.names.id, message.parts.map(partOf), ended);
      events.push(this.event('response.output_item.done', { output_index: message.place, item }));
    }
    for (const call of this.calls.values()) {
      this.grow(events, call, call.held.end());
      const { id, place, name, args } = call;
      const at = { item_id: id, output_index: place };
      events.push(
        this.event('response.function_call_arguments.done', { ...at, name, arguments: args }),
        this.event('response.output_item.done', { output_index: place, item: this.itemOf(call, ended) }),
      );
    }
    return events;
  }

  /** The last event, with the whole response. @param cancelled whether it was ended from outside */
  last(cancelled: boolean): ResponseEvent {
    const { status, reason } = cancelled ? { status: 'cancelled' as const } : statusOf(this.finishReason);
    const state: ResponseState = { status, reason, output: this.output(itemStatus(status)) };
    const response = this.response({ ...state, serviceTier: this.serviceTier, usage: responseUsage(this.usage) });
    return this.event(status === 'completed' ? 'response.completed' : 'response.incomplete', { response });
  }

  private start({ model, created }: Json): ResponseEvent[] {
    if (this.started) return [];
    this.started = true;
    this.names = {
      id: this.names.id,
      model: textOf(model) ?? this.names.model,
      createdSeconds: typeof created === 'number' && created > 0 ? created : this.names.createdSeconds,
    };
    const response = this.response({ status: 'in_progress', output: [] });
    return [this.event('response.created', { response }), this.event('response.in_progress', { response })];
  }

  private say(events: ResponseEvent[], type: SaidPart['type'], text: string, logprobs: readonly unknown[]): void {
    if (text === '') return;
    this.count(text);
    const message = (this.message ??= this.begin(events));
    if (message.open?.type !== type) {
      if (message.open) this.closePart(events, message, message.open);
      message.open = { type, text: '', logprobs: [], index: message.parts.length };
      message.parts.push(message.open);
      const part = type === 'refusal' ? refusalPart('') : textPart('');
      events.push(this.event('response.content_part.added', { ...this.at(message, message.open), part }));
    }
    message.open.text += text;
    message.open.logprobs.push(...logprobs);
    events.push(
      this.event(`response.${type}.delta`, {
        ...this.at(message, message.open),
        delta: text,
        ...(type === 'output_text' ? { logprobs } : {}),
      }),
    );
  }

  private begin(events: ResponseEvent[]): SaidMessage {
    const place = this.items++;
    const item = messageItem(this.names.id, [], 'in_progress');
    events.push(this.event('response.output_item.added', { output_index: place, item }));
    return { place, parts: [], open: undefined };
  }

  private closePart(events: ResponseEvent[], message: SaidMessage, part: SaidPart): void {
    const at = this.at(message, part);
    const { type, text, logprobs } = part;
    events.push(
      this.event(`response.${type}.done`, { ...at, ...(type === 'refusal' ? { refusal: text } : { text, logprobs }) }),
      this.event('response.content_part.done', { ...at, part: partOf(part) }),
    );
    message.open = undefined;
  }

  private at(message: SaidMessage, part: SaidPart): Json {
    return { item_id: `msg_${this.names.id}`, output_index: message.place, content_index: part.index };
  }

  private call(events: ResponseEvent[], piece: Json): void {
    const known = pieceOf(piece);
    const index = this.places.of(known);
    let call = this.calls.get(index);
    if (!call) {
      if (known.name === '') throw new TranslationError('a tool is called that has no name');
      const id = `fc_${this.names.id}_${index}`;
      call = { id, index, place: this.items++, callId: known.id, name: known.name, args: '', held: new HeldNull() };
      this.calls.set(index, call);
      const item = this.itemOf(call, 'in_progress');
      events.push(this.event('response.output_item.added', { output_index: call.place, item }));
    }
    const args = argumentsIn(objectOf(piece['function'])?.['arguments']);
    this.count(args);
    this.grow(events, call, call.held.add(args));
  }

  private grow(events: ResponseEvent[], call: MadeCall, delta: string): void {
    if (delta === '') return;
    call.args += delta;
    const at = { item_id: call.id, output_index: call.place };
    events.push(this.event('response.function_call_arguments.delta', { ...at, delta }));
  }

  private count({ length }: string): void {
    this.characters += length;
    if (this.characters > MOST_CHARACTERS)
      throw new TranslationError(`a response has at most ${MOST_CHARACTERS} characters: ask for a chat completion`);
  }

  private itemOf({ index, callId, name, args }: MadeCall, status: string): Json {
    return callItem(this.names.id, index, callId, name, args, status);
  }

  private output(status: string): Json[] {
    const { message } = this;
    const items: [place: number, item: Json][] = [...this.calls.values()].map((c) => [c.place, this.itemOf(c, status)]);
    if (message) items.push([message.place, messageItem(this.names.id, message.parts.map(partOf), status)]);
    return items.toSorted(([a], [b]) => a - b).map(([, item]) => item);
  }

  private response(state: ResponseState): Json {
    return responseObject(this.asked, this.names, state);
  }

  private event(type: string, more: Json): ResponseEvent {
    return { type, sequence_number: this.sequence++, ...more };
  }
}

interface SaidPart {
  type: 'output_text' | 'refusal';
  text: string;
  logprobs: unknown[];
  index: number;
}

interface SaidMessage {
  place: number;
  parts: SaidPart[];
  open: SaidPart | undefined;
}

interface MadeCall {
  id: string;
  index: number;
  place: number;
  callId: string | undefined;
  name: string;
  args: string;
  held: HeldNull;
}

function partOf({ type, text, logprobs }: SaidPart): Json {
  return type === 'refusal' ? refusalPart(text) : textPart(text, logprobs);
}
