import type { LanguageModelV4CallOptions } from '@ai-sdk/provider';
import { objectOf, type Json } from '../json.js';
import type { SdkProtocol } from './part-of-chat.js';

/** Where each protocol has a setting, by dots. Undefined: nowhere. */
const PLACES = {
  gemini: {
    maxOutputTokens: 'generationConfig.maxOutputTokens',
    temperature: 'generationConfig.temperature',
    topP: 'generationConfig.topP',
    stopSequences: 'generationConfig.stopSequences',
    seed: 'generationConfig.seed',
    presencePenalty: 'generationConfig.presencePenalty',
    frequencyPenalty: 'generationConfig.frequencyPenalty',
  },
  bedrock: {
    maxOutputTokens: 'inferenceConfig.maxTokens',
    temperature: 'inferenceConfig.temperature',
    topP: 'inferenceConfig.topP',
    stopSequences: 'inferenceConfig.stopSequences',
  },
  anthropic: {
    maxOutputTokens: 'max_tokens',
    temperature: 'temperature',
    topP: 'top_p',
    stopSequences: 'stop_sequences',
  },
} as const satisfies Record<SdkProtocol, Partial<Record<keyof LanguageModelV4CallOptions, string>>>;

const SETTINGS = [
  'temperature',
  'topP',
  'stopSequences',
  'seed',
  'presencePenalty',
  'frequencyPenalty',
] as const satisfies (keyof LanguageModelV4CallOptions)[];

/**
 * What was asked and is not in the body that an SDK is about to send. SDKs know their models, and leave out, or change, what one
 * of them refuses: nobody knows that before, so it is looked for here, while nothing has been sent.
 * @returns the first in words; undefined: all is there, and no more output is allowed than was asked for
 */
export function unsaidOnWire(protocol: SdkProtocol, asked: LanguageModelV4CallOptions, body: Json): string | undefined {
  const places: Readonly<Record<string, string>> = PLACES[protocol];
  const limit = at(body, places['maxOutputTokens']!);
  if (asked.maxOutputTokens !== undefined && !(typeof limit === 'number' && limit <= asked.maxOutputTokens))
    return `its limit of ${asked.maxOutputTokens} output tokens`;
  const changed = SETTINGS.find((name) => {
    if (asked[name] === undefined) return false;
    return JSON.stringify(at(body, places[name] ?? '')) !== JSON.stringify(asked[name]);
  });
  if (changed !== undefined) return `"${changed}"`;
  if (asked.reasoning !== undefined && !thinksAsAsked(protocol, asked.reasoning, body)) return '"reasoning_effort"';
  if (isForcedToThink(body)) return '"reasoning_effort" beside this format';
  const tools = asked.toolChoice?.type === 'none' ? [] : (asked.tools ?? []);
  const told = JSON.stringify(body['tools'] ?? objectOf(body['toolConfig'])?.['tools'] ?? []);
  const missing = tools.find(({ name }) => !told.includes(`"name":${JSON.stringify(name)}`));
  if (missing) return `the tool ${missing.name}`;
  if (asked.toolChoice?.type === 'required' || asked.toolChoice?.type === 'tool') {
    if (protocol === 'bedrock' && !objectOf(body['toolConfig'])?.['toolChoice']) return 'the choice of tools';
    if (protocol === 'anthropic' && objectOf(body['tool_choice'])?.['type'] === 'auto') return 'the choice of tools';
  }
  return undefined;
}

/** Where the SDKs put it differs by model; where it is nowhere, they left it out. */
function thinksAsAsked(protocol: SdkProtocol, asked: string, body: Json): boolean {
  const more = objectOf(body['additionalModelRequestFields']) ?? {};
  const { type } = objectOf(protocol === 'bedrock' ? more['thinking'] : body['thinking']) ?? {};
  switch (protocol) {
    case 'gemini':
      return at(body, 'generationConfig.thinkingConfig') !== undefined;
    case 'anthropic':
      // A model that always thinks is told to think little instead.
      return asked === 'none' ? type === 'disabled' : type !== undefined && type !== 'disabled';
    case 'bedrock':
      if (asked === 'none') return type === undefined || type === 'disabled';
      return [type, more['reasoning_effort'], more['reasoning'], more['reasoningConfig']].some((v) => v !== undefined);
  }
}

/** Claude refuses it: the SDKs ask for JSON of a schema by a tool that has to be called, where a model knows no other way. */
function isForcedToThink(body: Json): boolean {
  const more = objectOf(body['additionalModelRequestFields']);
  const thinking = objectOf(body['thinking'] ?? more?.['thinking'])?.['type'];
  const { type, any, tool } = objectOf(body['tool_choice'] ?? objectOf(body['toolConfig'])?.['toolChoice']) ?? {};
  return thinking === 'enabled' && (type === 'tool' || type === 'any' || any !== undefined || tool !== undefined);
}

function at(body: Json, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => objectOf(value)?.[name], body);
}
