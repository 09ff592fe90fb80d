import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type {
  BackendConfig,
  MeritorderConfig,
  PriceBookRow,
  PricesRequest,
  PriceVersion,
  TriedPrice,
} from '@meritorder/contracts';
import {
  attemptsChargedSince,
  bookOf,
  corrections,
  decideHeldPrice,
  importedCatalogue,
  keepCatalogue,
  priceBook,
  publishedPrices,
  storedFits,
  takeIntoBook,
  type PriceVersionEntity,
} from '@meritorder/ledger-store';
import { bundledCatalogue, bundledPeers, readCatalogue, type Catalogue } from '@meritorder/price-catalogue';
import { judgeVersion, priceInForce, type HoldReason, type Intake, type PricePeer } from '@meritorder/pricing-core';
import type { DataSource } from 'typeorm';
import { fitOf, hardwareProposals } from '../application/hardware-prices.js';
import {
  takeConfiguredPrices,
  takeProposedPrices,
  type PriceBookPorts,
  type Taken,
} from '../application/take-prices.js';
import { priceToTry, tryPrice } from '../application/try-prices.js';

/** A verb that cannot be carried out; the message says why. */
export class PriceBookError extends Error {
  override readonly name = 'PriceBookError';
}

export interface PriceBookAnswer {
  rows: PriceBookRow[];
  notes: string[];
  tried?: TriedPrice;
}

/** The price book in Postgres: takes prices in, holds what is implausible, and carries out what an operator says. */
export class PostgresPriceBook {
  private catalogue: Catalogue;
  private readonly bundled: Catalogue;
  private catalogued: PricePeer[] | undefined;

  constructor(
    private readonly database: DataSource,
    private readonly config: MeritorderConfig,
    private readonly log: { warn(message: string): void; log(message: string): void },
  ) {
    this.bundled = bundledCatalogue(bundledVersion());
    this.catalogue = this.bundled;
  }

  /** Takes in what the configuration and the catalogue say. What cannot be used leaves the last good version in force. */
  async start(): Promise<void> {
    const imported = await importedCatalogue(this.database, this.bundled.id);
    if (imported) this.catalogue = readCatalogue(imported.content, imported.name);
    for (const { version, reasons } of await this.rows({ held: true })) this.log.warn(heldLine(version, reasons));
    await this.retake();
  }

  /** Takes in again what the configuration stands for, after what derived prices rest on has changed. */
  async retake(): Promise<void> {
    for (const line of this.report(await this.takeConfigured())) this.log.warn(line);
  }

  private async takeConfigured(): Promise<Taken[]> {
    return takeConfiguredPrices(await this.ports(), this.config);
  }

  /** @throws PriceBookError, PriceDecisionError, PriceConfigError or CatalogueError, each with one line for people. */
  async carryOut(request: PricesRequest): Promise<PriceBookAnswer> {
    switch (request.verb) {
      case 'list':
        return { rows: await this.rows(request), notes: [] };
      case 'confirm':
      case 'reject': {
        const decision = request.verb === 'confirm' ? 'accepted' : 'rejected';
        const version = await decideHeldPrice(this.database, request.id, decision, request.by);
        return { rows: await this.rows({ id: version.id }), notes: [] };
      }
      case 'propose': {
        const backend = this.config.backends.find((b) => b.id === request.backend);
        if (!backend) throw new PriceBookError(`there is no backend "${request.backend}"`);
        const proposed = { ...backend, prices: request.prices, otherModels: [] };
        if (request.dryRun) return this.tryProposed(proposed);
        const taken = await takeProposedPrices(await this.ports(), this.config, proposed);
        const ids = taken.intake.insert.map((i) => i.entry.version.id);
        return {
          rows: (await this.rows({ backend: backend.id })).filter((r) => ids.includes(r.version.id)),
          notes: this.report([taken]),
        };
      }
      case 'import': {
        const catalogue = readCatalogue(request.catalogue, request.name);
        const { name, catalogue: content, by } = request;
        await keepCatalogue(this.database, { name, content, by, bundled: this.bundled.id });
        this.catalogue = catalogue;
        const taken = await this.takeConfigured();
        const ids = new Set(taken.flatMap((t) => t.intake.insert.map((i) => i.entry.version.id)));
        return { rows: (await this.rows({})).filter((r) => ids.has(r.version.id)), notes: this.report(taken) };
      }
    }
  }

  /** What proposing would come to. Nothing is taken in. */
  private async tryProposed(backend: BackendConfig): Promise<PriceBookAnswer> {
    const nowMs = Date.now();
    const ports: PriceBookPorts = {
      ...(await this.ports()),
      takeIntoBook: async (id, plan) => plan(await bookOf(this.database, id)),
    };
    const { intake } = await takeProposedPrices(ports, this.config, backend);
    const rows = intake.insert.map(({ entry, reasons }): PriceBookRow => ({
      version: entry.version,
      status: entry.status,
      withdrawn: false,
      inForce: false,
      origin: entry.origin,
      reasons: [...reasons],
      decidedBy: null,
      recordedAt: new Date(nowMs).toISOString(),
    }));
    const price = priceToTry(intake, nowMs);
    if (!price) {
      const again = intake.restore.map((id) => `${id} would act again`);
      return { rows, notes: again.length > 0 ? again : [`nothing would be taken in: ${backend.id} has these prices`] };
    }
    const books = {
      chargedSince: (id: string, since: Date, limit: number) =>
        attemptsChargedSince(this.database, { backend: id, since }, limit),
    };
    return { rows, notes: [], tried: await tryPrice(books, price, backend, nowMs) };
  }

  private async ports(): Promise<PriceBookPorts> {
    const peers = await this.peers();
    const fits = await storedFits(this.database);
    return {
      nowMs: () => Date.now(),
      sha256Hex: (text) => createHash('sha256').update(text).digest('hex'),
      catalogue: this.catalogue,
      hardware: (backend) =>
        hardwareProposals(backend, this.config.hosts, Date.now(), fitOf(fits.get(backend.id)?.priced)),
      judge: (previous, proposed, derived) =>
        judgeVersion({
          previous,
          proposed,
          zeroIsExplicit: !derived,
          backend: this.config.backends.find((b) => b.id === proposed.backend)!,
          peers,
        }),
      takeIntoBook: (backend, plan) => takeIntoBook(this.database, backend, plan),
    };
  }

  /** What new prices are compared with: the catalogue of this release, and what the other backends cost now. */
  private async peers(): Promise<PricePeer[]> {
    this.catalogued ??= await bundledPeers(this.bundled.id);
    const published = await publishedPrices(this.database);
    const now = Date.now();
    const configured = this.config.backends.flatMap(({ id, model, provider }): PricePeer[] => {
      const price = priceInForce(published.get(id) ?? [], now);
      return price ? [{ model, provider, price }] : [];
    });
    return [...this.catalogued, ...configured];
  }

  private report(taken: readonly Taken[]): string[] {
    return taken.flatMap(({ backend, intake, error, missing }) => [
      ...(error === undefined ? [] : [`${error}; what was in force for ${backend} stays`]),
      ...(missing === undefined ? [] : [missing]),
      ...heldLines(intake),
    ]);
  }

  private async rows(of: {
    backend?: string | undefined;
    held?: boolean | undefined;
    id?: string;
  }): Promise<PriceBookRow[]> {
    const entities = await priceBook(this.database, of.backend);
    const corrected = new Map((await corrections(this.database)).map((c) => [c.priceVersion, c]));
    const usable = entities.filter((e) => e.status === 'accepted' && !e.withdrawn);
    const inForce = (e: PriceVersionEntity): boolean =>
      priceInForce(
        usable.filter((u) => u.backend === e.backend).map((u) => u.definition),
        Date.now(),
        e.model ?? undefined,
      )?.id === e.id;
    return entities
      .filter((e) => (of.held ? e.status === 'held' && !e.withdrawn : true) && (of.id === undefined || e.id === of.id))
      .map((e) => {
        const correction = corrected.get(e.id);
        return {
          version: e.definition,
          status: e.status,
          withdrawn: e.withdrawn,
          inForce: inForce(e),
          origin: e.origin,
          reasons: e.reasons,
          decidedBy: e.decidedBy,
          recordedAt: e.recordedAt.toISOString(),
          ...(correction && correction.adjusted > 0
            ? { correction: { adjusted: correction.adjusted, differenceNanos: correction.differenceNanos } }
            : {}),
        };
      });
  }
}

function heldLines(intake: Intake): string[] {
  return intake.insert
    .filter((i) => i.reasons.length > 0)
    .map(({ entry, reasons }) => heldLine(entry.version, reasons));
}

function heldLine({ id, backend }: PriceVersion, reasons: readonly HoldReason[]): string {
  return (
    `the price ${id} of ${backend} is held: ${reasons.map((r) => r.message).join('; ')}. ` +
    `Confirm it with: meritorder prices confirm ${id}`
  );
}

function bundledVersion(): string {
  const main = createRequire(import.meta.url).resolve('@pydantic/genai-prices');
  const manifest = JSON.parse(readFileSync(new URL('../package.json', `file://${main}`), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}
