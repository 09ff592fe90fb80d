import type { LanguageModelV4ReasoningPart, SharedV4ProviderMetadata, SharedV4ProviderOptions } from '@ai-sdk/provider';
import { listOf, objectOf, textOf, type Json } from '../json.js';
import type { SdkProtocol } from './part-of-chat.js';

/**
 * What a model thought before it called a tool, sealed by its provider: with the results it wants these back as they were, to go
 * on. A chat completion has no place for them, so they go where other gateways have them and callers send them back from, with
 * the rest of the message: in `reasoning_details` of the message, as OpenRouter words it, and with Gemini, as Google words it, in
 * `extra_content` of a call.
 */
interface SealedThought {
  type: 'reasoning.text' | 'reasoning.encrypted';
  text?: string;
  signature?: string;
  data?: string;
  format: string;
  index: number;
}

/** Claude's seals are the same wherever it runs, as far as there is text; what is closed to the eye is in the words of the wire. */
const CLAUDE = 'anthropic-claude-v1';
const CLOSED = { anthropic: CLAUDE, bedrock: 'bedrock-converse-v1' } as const;
const CLOSED_FIELD = { anthropic: 'redactedData', bedrock: 'redactedContent' } as const;
type Sealing = keyof typeof CLOSED;
const SEALING = Object.keys(CLOSED) as Sealing[];

/** Gathers the sealed thoughts of one answer. */
export class SealedThoughts {
  private readonly blocks = new Map<string, { text: string; seal: Json; protocol: Sealing }>();
  private readonly texts = new Map<string, string>();

  /** A block, or a piece of one, by its id. */
  add(id: string, text: string, metadata: SharedV4ProviderMetadata | undefined): void {
    const whole = (this.texts.get(id) ?? '') + text;
    this.texts.set(id, whole);
    const block = this.blocks.get(id);
    if (block) block.text = whole;
    for (const protocol of SEALING) {
      const seal = objectOf(metadata?.[protocol]);
      if (seal) this.blocks.set(id, { text: whole, seal: { ...block?.seal, ...seal }, protocol });
    }
  }

  /** Undefined: none is sealed. */
  details(): SealedThought[] | undefined {
    const details = [...this.blocks.values()].flatMap(({ text, seal, protocol }, index): SealedThought[] => {
      const signature = textOf(seal['signature']);
      const data = textOf(seal[CLOSED_FIELD[protocol]]);
      if (signature !== undefined) return [{ type: 'reasoning.text', text, signature, format: CLAUDE, index }];
      return data === undefined ? [] : [{ type: 'reasoning.encrypted', data, format: CLOSED[protocol], index }];
    });
    return details.length > 0 ? details : undefined;
  }
}

/** Those of a message that was sent back, as the SDK of the provider takes them; others than its own mean nothing to it. */
export function sealedThoughtsOf(message: Json, protocol: SdkProtocol): LanguageModelV4ReasoningPart[] {
  if (protocol === 'gemini') return [];
  return listOf(message['reasoning_details']).flatMap((value): LanguageModelV4ReasoningPart[] => {
    const { type, text, signature, data, format } = objectOf(value) ?? {};
    if (type === 'reasoning.text' && format === CLAUDE && textOf(signature))
      return [
        {
          type: 'reasoning',
          text: textOf(text) ?? '',
          providerOptions: { [protocol]: { signature: signature as string } },
        },
      ];
    if (type === 'reasoning.encrypted' && format === CLOSED[protocol] && textOf(data))
      return [
        { type: 'reasoning', text: '', providerOptions: { [protocol]: { [CLOSED_FIELD[protocol]]: data as string } } },
      ];
    return [];
  });
}

/** Gemini's seal of a call, as a field of that; nothing where it has none. */
export function sealOfCall(metadata: SharedV4ProviderMetadata | undefined): { extra_content?: Json } {
  const signature = textOf(objectOf(metadata?.['google'])?.['thoughtSignature']);
  return signature === undefined ? {} : { extra_content: { google: { thought_signature: signature } } };
}

/** The same of a call that was sent back. */
export function sealedCall(call: Json, protocol: SdkProtocol): { providerOptions?: SharedV4ProviderOptions } {
  const signature = textOf(objectOf(objectOf(call['extra_content'])?.['google'])?.['thought_signature']);
  if (protocol !== 'gemini' || signature === undefined) return {};
  return { providerOptions: { google: { thoughtSignature: signature } } };
}
