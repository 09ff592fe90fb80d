import type { ChatRequest, ResponsesItem, ResponsesPart, ResponsesRequest } from '@meritorder/contracts';
import { objectOf, stated, textOf, type Json } from '../json.js';
import type { CannotCarry } from './responses-to-chat.js';

type ChatMessage = ChatRequest['messages'][number];
type Part = { type: string; [more: string]: unknown };

const WORDS = new Map(
  Object.entries({
    item_reference: 'an item by its id, since none is kept: send the item, and `store: false` so that your SDK does',
    reasoning: 'what a model thought',
  }),
);

/** Is told of what a chat completion cannot say, and of where each part comes from. */
export interface ItemsTold {
  cannotCarry: CannotCarry;
  cameFrom(part: object, path: string): void;
}

/** The items of a request as the messages of a chat completion, its instructions first. */
export function chatMessagesOf({ instructions, input }: ResponsesRequest, told: ItemsTold): ChatMessage[] {
  const messages: ChatMessage[] = instructions ? [{ role: 'system', content: instructions }] : [];
  if (typeof input === 'string') messages.push({ role: 'user', content: input });
  else input.forEach((item, i) => add(messages, item, `input.${i}`, told));
  return messages;
}

function add(messages: ChatMessage[], item: ResponsesItem, path: string, told: ItemsTold): void {
  switch (item.type ?? 'message') {
    case 'message': {
      const { role, content } = item as unknown as { role: ChatMessage['role']; content: string | ResponsesPart[] };
      const said = contentOf(content, `${path}.content`, told);
      const last = messages.at(-1);
      // A model may speak after it called; the results have to follow the message that has the calls.
      if (role === 'assistant' && last?.role === 'assistant' && last['tool_calls'])
        last.content = joined(last.content, said);
      else messages.push({ role, content: said });
      return;
    }
    case 'function_call': {
      const call = {
        id: item['call_id'],
        type: 'function',
        function: { name: item['name'], arguments: item['arguments'] },
      };
      // What an assistant says and calls together is one message; a chat completion has no other way to call twice.
      const last = messages.at(-1);
      if (last?.role === 'assistant')
        last['tool_calls'] = [...((last['tool_calls'] as Json[] | undefined) ?? []), call];
      else messages.push({ role: 'assistant', content: null, tool_calls: [call] });
      return;
    }
    case 'function_call_output': {
      const output = item['output'] as string | ResponsesPart[];
      messages.push({
        role: 'tool',
        tool_call_id: item['call_id'],
        content: contentOf(output, `${path}.output`, told),
      });
      return;
    }
    default:
      told.cannotCarry(path, WORDS.get(item.type!) ?? `an item "${item.type}"`);
      // So that an estimate sees it.
      messages.push({ role: 'user', content: JSON.stringify(item) });
  }
}

/** One plain text is content as it is: not every server reads a list there. */
function contentOf(content: string | readonly ResponsesPart[], path: string, told: ItemsTold): string | Part[] {
  if (typeof content === 'string') return content;
  const parts = content.map((part, i) => {
    const made = partOf(part, `${path}.${i}`, told);
    told.cameFrom(made, `${path}.${i}`);
    return made;
  });
  const [only, ...others] = parts;
  if (only === undefined) return '';
  return only.type === 'text' && others.length === 0 ? (only['text'] as string) : parts;
}

function joined(before: ChatMessage['content'], said: string | Part[]): string | Part[] {
  if (before === null || before === undefined || before === '') return said;
  if (said === '') return before as string | Part[];
  if (typeof before === 'string' && typeof said === 'string') return `${before}\n\n${said}`;
  const partsOf = (content: string | Part[]): Part[] =>
    typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  return [...partsOf(before), ...partsOf(said)];
}

function partOf(part: ResponsesPart, path: string, told: ItemsTold): Part {
  switch (part.type) {
    case 'input_text':
    case 'output_text':
      return { type: 'text', text: part['text'] };
    case 'refusal':
      return { type: 'text', text: part['refusal'] };
    case 'input_image': {
      const url = textOf(part['image_url']);
      if (url !== undefined) return { type: 'image_url', image_url: stated({ url, detail: part['detail'] }) };
      break;
    }
    case 'input_file': {
      const { file_data, file_id, filename } = part;
      if (textOf(file_data) ?? textOf(file_id)) return { type: 'file', file: stated({ file_data, file_id, filename }) };
      break;
    }
    case 'input_audio': {
      const audio = objectOf(part['input_audio']);
      if (audio) return { type: 'input_audio', input_audio: audio };
      break;
    }
  }
  told.cannotCarry(path, `"${part.type}" as it is here`);
  return part;
}
