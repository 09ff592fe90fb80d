import type { Usage } from '@meritorder/contracts';
import { pieceOf } from './call-places.js';
import { callId, spokenText, stopOf, usageBlock, type AskedFor } from './chat-to-message.js';
import { listOf, objectOf, textOf, type Json } from './json.js';
import { OpenCalls, type OpenCall } from './open-calls.js';
import { TranslationError } from './translation-error.js';

/** One event of Anthropic's stream. */
export type MessageEvent = { type: string; [more: string]: unknown };

/** What a stream is called when its backend gives it no name. */
export interface AnswerNames {
  id: string;
  model: string;
}

/**
 * OpenAI's chunks as the events of Anthropic's stream, each as soon as it can be told. Of the first choice; `end` follows the last
 * chunk. OpenAI may send pieces of several calls, and of the text, in turn; Anthropic's blocks follow one another: so pieces wait
 * until the call that is being told is complete. Nothing else of the answer is kept.
 */
export class EventsOfChunks {
  private started = false;
  private answerId: string | undefined;
  private blocks = 0;
  private open: 'text' | OpenCall | undefined;
  private readonly calls = new OpenCalls();
  private waitingText = '';
  /** The choice as it ended; undefined: it has begun, and not ended. A stream of nothing is an answer of nothing. */
  private last: Json | undefined = { finish_reason: 'stop' };
  private begun = false;
  private refused = false;

  constructor(
    private readonly names: AnswerNames,
    private readonly asked: AskedFor,
  ) {}

  /** @throws TranslationError where a tool is called with arguments that are no JSON object. */
  feed(chunk: Json): MessageEvent[] {
    const events = this.start(chunk);
    const choice = listOf(chunk['choices'])
      .map(objectOf)
      .find((one) => (one?.['index'] ?? 0) === 0);
    if (!choice) return events;
    const delta = objectOf(choice['delta']) ?? {};
    this.refused ||= textOf(delta['refusal']) !== undefined;
    this.waitingText += spokenText(delta);
    for (const call of listOf(delta['tool_calls'])) this.note(objectOf(call) ?? {});
    if (!this.begun) this.last = undefined;
    this.begun = true;
    if (textOf(choice['finish_reason']) !== undefined) this.last = choice;
    this.tell(events, false);
    return events;
  }

  /**
   * What is left to tell, but for `message_stop`.
   * @param usage as the books have it; undefined: the backend said nothing, and nobody counted.
   * @throws TranslationError where the answer broke off.
   */
  end(usage: Usage | undefined): MessageEvent[] {
    const { calls, refused } = this;
    const events = this.start({});
    this.tell(events, true);
    this.close(events);
    const delta = stopOf(this.last ?? {}, this.asked, { calls: calls.any, refused });
    return [...events, { type: 'message_delta', delta, usage: usageBlock(usage) }];
  }

  private start({ id, model }: Json): MessageEvent[] {
    if (this.started) return [];
    this.started = true;
    this.answerId = textOf(id) ?? this.names.id;
    const message = {
      id: this.answerId,
      type: 'message',
      role: 'assistant',
      model: textOf(model) ?? this.names.model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      // OpenAI counts at the end: `message_delta` has the counts.
      usage: usageBlock(undefined),
    };
    return [{ type: 'message_start', message }];
  }

  private note(call: Json): void {
    const args = objectOf(call['function'])?.['arguments'];
    this.calls.add({ ...pieceOf(call), args: objectOf(args) ? JSON.stringify(args) : (textOf(args) ?? '') });
  }

  /** @param all the answer has ended, so nothing is waited for any more. */
  private tell(events: MessageEvent[], all: boolean): void {
    for (;;) {
      if (typeof this.open === 'object') {
        const args = this.open.take();
        if (args !== '') events.push(this.delta({ type: 'input_json_delta', partial_json: args }));
        if (!this.open.ended && !all) return;
      }
      if (this.waitingText !== '') this.tellText(events);
      const next = this.calls.next();
      if (!next) return;
      const [index, call] = next;
      if (call.name === '') {
        if (all) throw new TranslationError('a tool is called that has no name');
        return;
      }
      call.told = true;
      const id = callId(call.id, this.answerId, index);
      this.begin(events, { type: 'tool_use', id, name: call.name, input: {} }, call);
    }
  }

  private tellText(events: MessageEvent[]): void {
    if (this.open !== 'text') this.begin(events, { type: 'text', text: '' }, 'text');
    events.push(this.delta({ type: 'text_delta', text: this.waitingText }));
    this.waitingText = '';
  }

  private begin(events: MessageEvent[], content_block: Json, open: 'text' | OpenCall): void {
    this.close(events);
    this.open = open;
    events.push({ type: 'content_block_start', index: this.blocks++, content_block });
  }

  private delta(delta: Json): MessageEvent {
    return { type: 'content_block_delta', index: this.blocks - 1, delta };
  }

  private close(events: MessageEvent[]): void {
    if (this.open) events.push({ type: 'content_block_stop', index: this.blocks - 1 });
    this.open = undefined;
  }
}
