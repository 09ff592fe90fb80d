import type { ResponseEvent } from './chunks-to-response.js';

type Any = Record<string, any>;

/**
 * The response that a client puts together from the events alone: items as they are added, grown by deltas, and said once more when they
 * are done. @throws Error where an event contradicts those before it, or the last event the whole of them.
 */
export function readResponse(events: readonly ResponseEvent[]): Any {
  const output: Any[] = [];
  for (const event of events as readonly Any[]) {
    const item: Any = output[event['output_index']] ?? {};
    const part = item['content']?.[event['content_index']];
    const same = (a: unknown, b: unknown): void => {
      if (JSON.stringify(a) !== JSON.stringify(b))
        throw new Error(`${event['type']}: ${JSON.stringify(a)} is not ${JSON.stringify(b)}`);
    };
    switch (event['type']) {
      case 'response.output_item.added':
        same(event['output_index'], output.length);
        output.push(structuredClone(event['item']));
        break;
      case 'response.content_part.added':
        same(event['content_index'], item['content'].length);
        item['content'].push(structuredClone(event['part']));
        break;
      case 'response.output_text.delta':
        part.text += event['delta'];
        part.logprobs.push(...event['logprobs']);
        break;
      case 'response.refusal.delta':
        part.refusal += event['delta'];
        break;
      case 'response.function_call_arguments.delta':
        item['arguments'] += event['delta'];
        break;
      case 'response.output_text.done':
        same(event['text'], part.text);
        break;
      case 'response.refusal.done':
        same(event['refusal'], part.refusal);
        break;
      case 'response.content_part.done':
        same(event['part'], part);
        break;
      case 'response.function_call_arguments.done':
        same(event['arguments'], item['arguments']);
        break;
      case 'response.output_item.done':
        item['status'] = event['item'].status;
        same(event['item'], item);
        break;
      case 'response.completed':
      case 'response.incomplete':
        same(event['response'].output, output);
        return event['response'];
    }
  }
  throw new Error('the stream has no end');
}
