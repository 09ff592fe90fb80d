import { describe, expect, it } from 'vitest';
import { sha256Hex } from '@meritorder/kernel';
import { callIdsOfChat, otherCallIds, withCallIdsOfAnthropic, type CallIdRule } from './index.js';

const OF_KIMI = 'functions.weather:0';
const OF_OPENAI = 'call_RzfkBpJgzeR0S242qfvjadNe';
const other = (id: string, rule: CallIdRule): string | undefined => otherCallIds([id], rule).get(id);

describe('the ids of calls in a conversation', () => {
  it.each<[CallIdRule, string, boolean]>([
    ['mistral', 'D681PevKs', true],
    ['mistral', OF_OPENAI, false],
    ['mistral', 'D681PevK', false],
    ['openai', OF_KIMI, true],
    ['openai', 'x'.repeat(41), false],
    ['anthropic', OF_OPENAI, true],
    ['anthropic', OF_KIMI, false],
    ['anthropic', 'x'.repeat(300), true],
    ['bedrock', 'x'.repeat(64), true],
    ['bedrock', 'x'.repeat(65), false],
  ])('of %s: %s stays what it is: %s', (rule, id, fits) => {
    const told = other(id, rule);
    if (fits) expect(told).toBeUndefined();
    else expect(other(told!, rule)).toBeUndefined();
  });

  it('never become the same one, also where what would be said is there already', () => {
    const said = sha256Hex(OF_KIMI, 9);
    const others = otherCallIds([OF_KIMI, said, OF_OPENAI, OF_KIMI], 'mistral');
    expect([...others.keys()]).toEqual([OF_KIMI, OF_OPENAI]);
    expect(new Set([said, ...others.values()]).size).toBe(3);
  });

  it('are those of the calls and of the results, whatever else a message is', () => {
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', tool_calls: [{ id: 'a' }, null, { id: '' }, {}] },
      { role: 'tool', tool_call_id: 'b' },
      null,
    ];
    expect([...callIdsOfChat(messages)]).toEqual(['a', 'b']);
    expect([...callIdsOfChat(undefined)]).toEqual([]);
  });

  it("of Anthropic's messages are told alike in a call and its result, and in no block of the provider's own", () => {
    const conversation = (id: string) => [
      { role: 'user', content: 'x' },
      {
        role: 'assistant',
        content: [
          { type: 'server_tool_use', id: OF_KIMI },
          { type: 'tool_use', id, name: 'weather', input: {} },
        ],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: 'sunny' }] },
    ];
    expect(withCallIdsOfAnthropic(conversation(OF_KIMI))).toEqual(conversation(other(OF_KIMI, 'anthropic')!));
    const fitting = conversation(OF_OPENAI);
    expect(withCallIdsOfAnthropic(fitting)).toBe(fitting);
  });
});
