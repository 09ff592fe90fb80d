import type { BackendConfig, Kind } from '@meritorder/contracts';
import type { ProviderUpstream, Upstream } from './ports.js';

/** The wires of a worker: by protocol, and by the kind that goes over them as it came. */
export type Wires<U = Upstream> = Readonly<Partial<Record<string, Partial<Record<Kind, U>>>>>;
/** The same for whoever chooses the credential. */
export type ProviderWires = Wires<ProviderUpstream>;

/** How a request of a kind reaches a backend. */
export interface Wiring<U = Upstream> {
  upstream: U;
  /** It goes as a chat completion, and what comes back is told in the dialect of its kind. */
  translated: boolean;
}

/** Undefined: there is no way. */
export function upstreamFor<U>(
  wires: Wires<U>,
  backend: Pick<BackendConfig, 'protocol'>,
  kind: Kind,
): Wiring<U> | undefined {
  const wire = wires[backend.protocol];
  const own = wire?.[kind];
  if (own) return { upstream: own, translated: false };
  const isTranslated = kind === 'messages' || kind === 'responses';
  return isTranslated && wire?.chat ? { upstream: wire.chat, translated: true } : undefined;
}
