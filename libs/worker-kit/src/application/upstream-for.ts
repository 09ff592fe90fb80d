import type { BackendConfig, Kind } from '@meritorder/contracts';
import type { Upstream } from './ports.js';

/** The wires of a worker: by protocol, and by the kind that goes over them as it came. */
export type Wires = Readonly<Partial<Record<string, Partial<Record<Kind, Upstream>>>>>;

/** How a request of a kind reaches a backend. */
export interface Wiring {
  upstream: Upstream;
  /** It goes as a chat completion, and what comes back is told in the dialect of its kind. */
  translated: boolean;
}

/** Undefined: there is no way. */
export function upstreamFor(wires: Wires, backend: Pick<BackendConfig, 'protocol'>, kind: Kind): Wiring | undefined {
  const wire = wires[backend.protocol];
  const own = wire?.[kind];
  if (own) return { upstream: own, translated: false };
  return kind === 'messages' && wire?.chat ? { upstream: wire.chat, translated: true } : undefined;
}
