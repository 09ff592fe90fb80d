import type { BackendConfig, Kind, Protocol } from '@meritorder/contracts';
import { CredentialedUpstream, type CredentialPools } from '../application/credentialed-upstream.js';
import type { ProviderUpstream } from '../application/ports.js';
import { upstreamFor, type ProviderWires, type Wires } from '../application/upstream-for.js';
import { AnthropicUpstream } from './anthropic-upstream.js';
import { OPENAI_EMBEDDINGS, OpenAiUpstream } from './openai-upstream.js';
import { SdkUpstream } from './sdk-upstream/sdk-upstream.js';

type ByKind = Partial<Record<Kind, ProviderUpstream>>;

/** Every way to every provider: by protocol, and by the kind that goes over it as it came. */
function upstreams(): Partial<Record<Protocol, ByKind>> {
  const openai = (): ByKind => ({ chat: new OpenAiUpstream(), embeddings: new OpenAiUpstream(OPENAI_EMBEDDINGS) });
  return {
    openai: openai(),
    azure: openai(),
    anthropic: { messages: new AnthropicUpstream(), chat: new SdkUpstream('anthropic') },
    gemini: { chat: new SdkUpstream('gemini') },
    bedrock: { chat: new SdkUpstream('bedrock') },
  };
}

/** Of a backend that does not say. */
const DEFAULT_KINDS: Kind[] = ['chat', 'messages'];

/** @throws Error naming a backend of a kind that its protocol has no way for. */
export function providerWires(
  backends: readonly BackendConfig[],
  pools: CredentialPools,
): { wires: Wires; uncredentialed: ProviderWires; close(): Promise<void> } {
  const uncredentialed = upstreams();
  const made = Object.entries(uncredentialed);
  const wires: Wires = Object.fromEntries(
    made.map(([protocol, byKind]) => [
      protocol,
      Object.fromEntries(Object.entries(byKind).map(([kind, wire]) => [kind, new CredentialedUpstream(wire, pools)])),
    ]),
  );
  for (const { id, protocol, kinds = DEFAULT_KINDS } of backends) {
    const without = kinds.filter((kind) => !upstreamFor(wires, { protocol }, kind));
    if (without.length > 0)
      throw new Error(
        `the backend ${id} cannot be asked for ${without.join(' and ')} over the protocol ${protocol}: say what it serves in its \`kinds\``,
      );
  }
  const close = async (): Promise<void> => {
    await Promise.all(made.flatMap(([, byKind]) => Object.values(byKind).map((wire) => wire.close())));
  };
  return { wires, uncredentialed, close };
}
