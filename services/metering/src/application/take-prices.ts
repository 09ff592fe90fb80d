import type { BackendConfig, MeritorderConfig, PriceVersion } from '@meritorder/contracts';
import { InvariantError } from '@meritorder/kernel';
import {
  lackingPriceOf,
  planIntake,
  proposalsFor,
  type BookEntry,
  type CatalogueEntry,
  type HoldReason,
  type Intake,
  type PriceProposal,
} from '@meritorder/pricing-core';

export interface PriceBookPorts {
  nowMs(): number;
  sha256Hex(text: string): string;
  catalogue: { entriesOf(name: string): readonly CatalogueEntry[] };
  /** What own hardware costs per token, for a local backend without prices of its own. */
  hardware(backend: BackendConfig): PriceProposal[];
  judge(previous: PriceVersion | undefined, proposed: PriceVersion, derived: boolean): HoldReason[];
  takeIntoBook(backend: string, plan: (book: BookEntry[]) => Intake): Promise<Intake>;
}

export interface Taken {
  backend: string;
  intake: Intake;
  /** Why this backend's prices could not be read; what is in the book stays in force. */
  error?: string;
  /** Nobody names a price, or one that it is charged by: the line to add. It gets no traffic until then. */
  missing?: string;
}

/** Everything that the configuration stands for, into the book. One backend's mistake does not keep the others from theirs. */
export async function takeConfiguredPrices(
  ports: PriceBookPorts,
  config: Pick<MeritorderConfig, 'backends' | 'accounts' | 'exchangeRates'>,
): Promise<Taken[]> {
  const taken: Taken[] = [];
  for (const backend of config.backends) {
    const proposals = read(ports, config, backend);
    if (typeof proposals === 'string') {
      taken.push({ backend: backend.id, intake: NOTHING_TAKEN, error: proposals });
      continue;
    }
    const outcome = await take(ports, backend.id, proposals, 'config', true);
    const missing = lackingPriceOf(backend, proposals);
    taken.push(missing === undefined ? outcome : { ...outcome, missing });
  }
  return taken;
}

/** The proposals, or why there are none to be had. */
function read(
  ports: PriceBookPorts,
  config: Pick<MeritorderConfig, 'accounts' | 'exchangeRates'>,
  backend: BackendConfig,
): PriceProposal[] | string {
  try {
    if (backend.prices.length === 0 && backend.throughput) return ports.hardware(backend);
    return proposalsFor(backend, config, (name) => ports.catalogue.entriesOf(name));
  } catch (error) {
    if (error instanceof InvariantError) throw error;
    return (error as Error).message;
  }
}

/** Prices that an operator hands over beside the configuration. @throws PriceConfigError */
export async function takeProposedPrices(
  ports: PriceBookPorts,
  config: Pick<MeritorderConfig, 'accounts' | 'exchangeRates'>,
  backend: BackendConfig,
): Promise<Taken> {
  // What the catalogue said before the first of these prices is not what was handed over.
  const from = backend.prices.map((p) => new Date(p.effectiveFrom).toISOString()).sort()[0]!;
  const proposals = proposalsFor(backend, config, (name) => ports.catalogue.entriesOf(name))
    .filter((p) => p.effectiveFrom !== null && p.effectiveFrom >= from)
    .map((p) => ({ ...p, derived: false }));
  return take(ports, backend.id, proposals, 'operator', false);
}

async function take(
  ports: PriceBookPorts,
  backend: string,
  proposals: PriceProposal[],
  origin: string,
  complete: boolean,
): Promise<Taken> {
  const intake = await ports.takeIntoBook(backend, (book) =>
    planIntake({
      book,
      proposals,
      origin,
      complete,
      nowMs: ports.nowMs(),
      judge: (previous, proposed, derived) => ports.judge(previous, proposed, derived),
      sha256Hex: (text) => ports.sha256Hex(text),
    }),
  );
  return { backend, intake };
}

const NOTHING_TAKEN: Intake = { insert: [], withdraw: [], restore: [] };
