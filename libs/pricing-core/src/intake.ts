import type { PriceVersion } from '@meritorder/contracts';
import { priceInForce, proposalDigest, versionOf, type PriceProposal } from './price-book.js';

/** Why a price waits for a person. */
export interface HoldReason {
  code: string;
  rate?: string;
  message: string;
}

/** A version as the book has it. */
export interface BookEntry {
  version: PriceVersion;
  digest: string;
  derived: boolean;
  /** Digest of the operator's word in it; undefined: there is none. */
  word?: string | undefined;
  /** `config`: named by the configuration; others were submitted by an operator. */
  origin: string;
  status: 'accepted' | 'held' | 'rejected';
  withdrawn: boolean;
}

export interface Intake {
  /** New versions, accepted or held with reasons. */
  insert: { entry: BookEntry; reasons: HoldReason[] }[];
  withdraw: string[];
  restore: string[];
}

export interface IntakeRequest {
  /** All entries of one backend, oldest first. */
  book: readonly BookEntry[];
  proposals: readonly PriceProposal[];
  origin: string;
  /** The proposals are all that this origin says: what it said before and says no longer is withdrawn. */
  complete: boolean;
  nowMs: number;
  judge(previous: PriceVersion | undefined, proposed: PriceVersion, derived: boolean): HoldReason[];
  sha256Hex(text: string): string;
}

/** Where a catalogue's price without a date starts when it is the first one: before any attempt. */
const ALWAYS = '2020-01-01T00:00:00.000Z';

/**
 * How proposals change the book. What the operator says acts from the instant that was written, also in the past (a correction);
 * what rests on the catalogue or on a host's costs acts from now on when those change (a new version), so that nothing that was
 * rated moves because a table elsewhere was edited (pitfall 37). What the judge objects to is held, and the version in force
 * stays.
 */
export function planIntake(request: IntakeRequest): Intake {
  const intake: Intake = { insert: [], withdraw: [], restore: [] };
  const models = new Set(
    [...request.proposals.map((p) => p.model), ...request.book.map((e) => e.version.model)].values(),
  );
  for (const model of models) {
    planSeries(
      request,
      request.book.filter((e) => e.version.model === model),
      request.proposals.filter((p) => p.model === model),
      intake,
    );
  }
  return intake;
}

function planSeries(request: IntakeRequest, book: BookEntry[], proposals: PriceProposal[], intake: Intake): void {
  const { nowMs, origin, sha256Hex } = request;
  const now = new Date(nowMs).toISOString();
  const named = new Set<string>();
  const current = proposals.findLast((p) => p.effectiveFrom === null || p.effectiveFrom <= now);
  const wordOf = ({ word }: PriceProposal): string | undefined => (word === undefined ? undefined : sha256Hex(word));
  const accepted = (): PriceVersion[] =>
    [...book, ...intake.insert.map((i) => i.entry)]
      .filter((e) => e.status === 'accepted' && !e.withdrawn && !intake.withdraw.includes(e.version.id))
      .map((e) => e.version);
  const add = (proposal: PriceProposal, effectiveFrom: string): void => {
    const version = versionOf(proposal, effectiveFrom, sha256Hex);
    named.add(version.id);
    const known = book.find((e) => e.version.id === version.id);
    if (known) {
      if (known.withdrawn) intake.restore.push(version.id);
      return;
    }
    const previous = priceInForce(
      accepted().filter((v) => v.backend === version.backend),
      Date.parse(effectiveFrom),
      version.model,
    );
    const reasons = request.judge(previous, version, proposal.derived);
    intake.insert.push({
      entry: {
        version,
        digest: sha256Hex(proposalDigest(proposal)),
        derived: proposal.derived,
        word: wordOf(proposal),
        origin,
        status: reasons.length > 0 ? 'held' : 'accepted',
        withdrawn: false,
      },
      reasons,
    });
  };

  // What this origin said last: a price that an operator put over it is not to be undone by saying the same again.
  const said = book.filter((e) => e.origin === origin && e.status === 'accepted' && !e.withdrawn);
  for (const proposal of proposals) {
    const digest = sha256Hex(proposalDigest(proposal));
    const from = proposal.effectiveFrom ?? (proposal.derived ? ALWAYS : now);
    const word = wordOf(proposal);
    const isNewWord = word !== undefined && !said.some((e) => e.word === word);
    const waiting = book.find((e) => e.digest === digest && e.derived && e.status !== 'accepted' && !e.withdrawn);
    if (proposal.derived && waiting) named.add(waiting.version.id);
    else if (!proposal.derived || book.length === 0 || from > now || isNewWord) add(proposal, from);
    else if (proposal === current) {
      const inForce = priceInForce(
        said.map((e) => e.version),
        nowMs,
        proposal.model,
      );
      const entry = said.find((e) => e.version.id === inForce?.id);
      if (entry?.digest === digest) named.add(entry.version.id);
      else add(proposal, now);
    }
  }
  if (!request.complete) return;
  for (const entry of book) {
    if (entry.origin !== origin || entry.withdrawn || named.has(entry.version.id)) continue;
    // A catalogue's earlier versions are history, but for times of which the operator now says something else. What was to
    // come and is not said any more never was.
    const governing = proposals.findLast(
      (p) => p.effectiveFrom === null || p.effectiveFrom <= entry.version.effectiveFrom,
    );
    const isPast = entry.derived && entry.status === 'accepted' && entry.version.effectiveFrom <= now;
    if (isPast && governing?.derived && entry.word === wordOf(governing)) continue;
    intake.withdraw.push(entry.version.id);
  }
}
