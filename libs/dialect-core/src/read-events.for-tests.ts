import type { MessageEvent } from './index.js';

type Any = Record<string, any>;

/** The message that a stream tells, read as Anthropic documents it. @throws Error where the stream breaks its order. */
export function readEvents(events: readonly MessageEvent[]): Any {
  const [start, ...rest] = events as readonly Any[];
  if (start?.['type'] !== 'message_start') throw new Error('the first event is not message_start');
  const message: Any = { ...start['message'], content: [] };
  const json: string[] = [];
  let open = -1;
  let ended = false;
  for (const event of rest) {
    if (ended) throw new Error(`${event['type']} after message_delta`);
    if (event['type'] === 'message_delta') {
      if (open !== -1) throw new Error('a block is open at the end');
      Object.assign(message, event['delta'], { usage: event['usage'] });
      ended = true;
      continue;
    }
    const { index } = event;
    if (event['type'] === 'content_block_start') {
      if (open !== -1 || index !== message['content'].length) throw new Error(`block ${index} begins out of order`);
      message['content'].push({ ...event['content_block'] });
      open = index;
      continue;
    }
    if (index !== open) throw new Error(`${event['type']} of block ${index} while ${open} is open`);
    const block = message['content'][index];
    if (event['type'] === 'content_block_stop') {
      if (block.type === 'tool_use') block.input = JSON.parse(json[index] || '{}');
      open = -1;
    } else if (event['delta'].type === 'text_delta') block.text += event['delta'].text;
    else if (event['delta'].type === 'input_json_delta')
      json[index] = (json[index] ?? '') + event['delta'].partial_json;
    else throw new Error(`a delta of ${event['delta'].type}`);
  }
  if (!ended) throw new Error('no message_delta');
  return message;
}

/** What of a message does not depend on how its answer was cut: all its text, and its calls by their ids. */
export function said(message: Any): Any {
  const { content, ...rest } = message;
  return {
    ...rest,
    text: content
      .filter((b: Any) => b['type'] === 'text')
      .map((b: Any) => b['text'])
      .join(''),
    calls: content.filter((b: Any) => b['type'] === 'tool_use').sort((a: Any, b: Any) => (a['id'] < b['id'] ? -1 : 1)),
  };
}
