import type { ChatRequest } from '@meritorder/contracts';
import { callOfChat, type SdkProtocol } from '@meritorder/dialect-core';
import type { Requirements } from '@meritorder/routing-core';

const SDK_PROTOCOLS: readonly string[] = ['gemini', 'bedrock', 'anthropic'] satisfies SdkProtocol[];

/** What of a chat completion each protocol has no words for; worked out where a backend of it is a candidate. */
export function uncarriedBy(body: ChatRequest): NonNullable<Requirements['uncarriedBy']> {
  const known = new Map<string, string | undefined>();
  return (protocol) => {
    if (!SDK_PROTOCOLS.includes(protocol)) return undefined;
    if (!known.has(protocol)) known.set(protocol, wordsOf(protocol as SdkProtocol, body));
    return known.get(protocol);
  };
}

function wordsOf(protocol: SdkProtocol, body: ChatRequest): string | undefined {
  const { uncarried } = callOfChat(protocol, body);
  return uncarried.map(({ path, what }) => `${what} (${path})`).join(', ') || undefined;
}
