import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { BackendConfig, PriceVersion, RateCard, Usage } from '@meritorder/contracts';
import {
  judgeVersion,
  parseUsdPerToken,
  planIntake,
  priceInForce,
  proposalsFor,
  rate,
  type BookEntry,
  type PricePeer,
  type PriceProposal,
} from '@meritorder/pricing-core';
import { bookUsage } from './book-usage.js';
import { BooksInMemory, closedAttempt } from './books.for-tests.js';
import { correctPrices } from './correct-prices.js';

/*
 * A year of a real price table as it comes, with its errors: taken into the book day by day, judged by the guard, used by traffic
 * of every week, corrected late, and its months closed.
 */
const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');
const tables = data ? readdirSync(join(data, 'prices')).filter((name) => /price-events.*\.csv$/.test(name)) : [];

const DAY_MS = 86_400_000;
const usage: Usage = {
  inputTokens: 1_000,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 500,
  requests: 1,
};
/** 1,000 tokens in and 500 out at $1,000 per 1M, which nothing ever cost. */
const ABSURD_NANOS = 1_500_000_000n;

interface Line {
  date: string;
  model: string;
  /** USD per token; undefined: the line does not say. */
  input: string | undefined;
  output: string | undefined;
  /** What stood there before, for models that are older than the file. */
  old: Partial<Record<'input' | 'output', string>>;
}

function linesOf(path: string): Line[] {
  const [, ...lines] = readFileSync(path, 'utf8').trimEnd().split(/\r?\n/);
  return lines.flatMap((text): Line[] => {
    const [date = '', model = '', field = '', old = '', next = '', last = ''] = text.split(',');
    if (field === 'added') return [{ date, model, input: next, output: last, old: {} }];
    if (field === 'input_cost_per_token') return [{ date, model, input: next, output: undefined, old: { input: old } }];
    if (field === 'output_cost_per_token')
      return [{ date, model, input: undefined, output: next, old: { output: old } }];
    return [];
  });
}

function cardOf({ input, output }: { input?: string; output?: string }): RateCard {
  const picos = parseUsdPerToken(input || '0').toString();
  return {
    inputPicosPerToken: picos,
    cacheReadPicosPerToken: picos,
    cacheWrite5mPicosPerToken: picos,
    cacheWrite1hPicosPerToken: picos,
    outputPicosPerToken: parseUsdPerToken(output || '0').toString(),
    requestPicos: '0',
    ...(input && output ? {} : { notPriced: [...(input ? [] : ['input']), ...(output ? [] : ['output'])] }),
  };
}

/** A deployment with a backend for each model of a table, that buys from each of them once a week. */
class Deployment {
  readonly ledger = new BooksInMemory();
  readonly books = new Map<string, BookEntry[]>();
  private readonly said = new Map<string, { input?: string; output?: string }>();
  private readonly peers = new Map<string, PricePeer>();
  private attempts = 0;
  dearestAtFirst = 0n;

  reads(lines: readonly Line[], now: string): void {
    for (const line of lines) {
      if (!this.said.has(line.model) && Object.keys(line.old).length > 0) {
        this.said.set(line.model, line.old);
        this.takes(line.model, this.fromTable(line.model), 'config', new Date(Date.parse(now) - DAY_MS).toISOString());
      }
      this.said.set(line.model, {
        ...this.said.get(line.model),
        ...(line.input === undefined ? {} : { input: line.input }),
        ...(line.output === undefined ? {} : { output: line.output }),
      });
    }
    for (const model of new Set(lines.map((l) => l.model))) this.takes(model, this.fromTable(model), 'config', now);
  }

  private fromTable(model: string): PriceProposal[] {
    const listed = { from: null, card: cardOf(this.said.get(model)!), source: 'table' };
    return proposalsFor(backendOf(model), { accounts: [], exchangeRates: [] }, () => [listed]);
  }

  takes(model: string, proposals: readonly PriceProposal[], origin: 'config' | 'operator', now: string): void {
    const book = this.books.get(model) ?? [];
    this.books.set(model, book);
    const intake = planIntake({
      book,
      proposals,
      origin,
      complete: origin === 'config',
      nowMs: Date.parse(now),
      judge: (previous, proposed, derived) =>
        judgeVersion({
          previous,
          proposed,
          zeroIsExplicit: !derived,
          backend: backendOf(model),
          peers: [...this.peers.values()],
        }),
      sha256Hex: (text) => createHash('sha256').update(text).digest('hex'),
    });
    for (const entry of book) if (intake.withdraw.includes(entry.version.id)) entry.withdrawn = true;
    for (const { entry } of intake.insert) {
      book.push(entry);
      if (entry.status === 'accepted') this.publish(entry);
    }
  }

  private publish({ version }: BookEntry): void {
    this.ledger.versions.push(version);
    this.peers.set(version.backend, {
      model: version.backend,
      provider: providerOf(version.backend),
      price: version,
    });
  }

  async buysFromAll(reservedAt: string): Promise<void> {
    this.ledger.now = reservedAt;
    const closed = [...this.books].flatMap(([model, book]) => {
      const price = priceInForce(usable(book), Date.parse(reservedAt));
      if (!price) return [];
      const attemptId = `a${++this.attempts}`;
      const { cashNanos } = rate(price, usage, { atMs: Date.parse(reservedAt) });
      if (cashNanos > this.dearestAtFirst) this.dearestAtFirst = cashNanos;
      const event = closedAttempt({
        attemptId,
        backend: model,
        model,
        servedModel: model,
        usage,
        priceVersion: price.id,
        reservedAt,
        closedAt: reservedAt,
      });
      return [{ event, traceparent: undefined }];
    });
    await bookUsage(this.ledger, closed);
  }

  /** A person looks at what is held, and lets in what a price can be. @returns how many were confirmed. */
  async confirmsWhatIsPlausible(now: string): Promise<number> {
    const held = [...this.books.values()].flat().filter((e) => e.status === 'held' && !e.withdrawn);
    const right = held.filter(({ version }) => rate(version, usage, { atMs: 0 }).cashNanos < ABSURD_NANOS / 10n);
    for (const entry of right) {
      entry.status = 'accepted';
      this.publish(entry);
      await this.corrects(entry.version, now);
    }
    return right.length;
  }

  async corrects({ id: priceVersion, backend, effectiveFrom }: PriceVersion, now: string): Promise<number> {
    this.ledger.now = now;
    const since = new Date(effectiveFrom);
    return correctPrices(this.ledger, { priceVersion, backend, model: undefined, since }, now);
  }
}

function usable(book: readonly BookEntry[]): PriceVersion[] {
  return book.filter((e) => e.status === 'accepted' && !e.withdrawn).map((e) => e.version);
}

function providerOf(model: string): string {
  return model.includes('/') ? model.split('/')[0]! : '';
}

function backendOf(model: string): BackendConfig {
  return {
    id: model,
    kind: 'cloud',
    provider: providerOf(model),
    model,
    prices: [],
    otherModels: [],
    modelAliases: [],
  } as unknown as BackendConfig;
}

if (!data) it.skip('a year of a real price table (MERITORDER_TEST_DATA is not set)');
else it('there are real tables of price changes to live through', () => expect(tables.length).toBeGreaterThan(0));

it.each(tables)(
  '%s: no absurd price ever rates traffic, what is confirmed and corrected late adjusts the open month, closed months never move (pitfall 37)',
  async (name) => {
    const lines = linesOf(join(data!, 'prices', name));
    const deployment = new Deployment();
    const { ledger } = deployment;
    const closedMonths = new Map<string, bigint>();
    let confirmed = 0;
    let corrected = 0;
    const first = Date.parse(lines[0]!.date) - 7 * DAY_MS;
    const last = Date.parse(lines.at(-1)!.date) + 40 * DAY_MS;
    for (let day = first, line = 0; day <= last; day += DAY_MS) {
      const date = new Date(day).toISOString().slice(0, 10);
      if (date.endsWith('-01')) {
        const month = new Date(day - DAY_MS).toISOString().slice(0, 7);
        closedMonths.set(month, ledger.totalOf(month));
      }
      const today: Line[] = [];
      while (line < lines.length && lines[line]!.date <= date) today.push(lines[line++]!);
      deployment.reads(today, `${date}T08:00:00.000Z`);
      if (((day - first) / DAY_MS) % 7 === 0) await deployment.buysFromAll(`${date}T12:00:00.000Z`);
      if (!date.endsWith('-05')) continue;
      const now = `${date}T15:00:00.000Z`;
      confirmed += await deployment.confirmsWhatIsPlausible(now);
      corrected += await backdate(deployment, day, now);
    }

    expect(deployment.dearestAtFirst).toBeLessThan(ABSURD_NANOS);
    expect(confirmed).toBeGreaterThan(0);
    expect(corrected).toBeGreaterThan(0);
    for (const [month, total] of closedMonths) expect([month, ledger.totalOf(month)]).toEqual([month, total]);

    // What the books say in the end is what every attempt costs at the price that the price book has for its time; what that has
    // no rate for is not confirmed.
    let truth = 0n;
    const otherwise: string[] = [];
    for (const { booking, charge } of ledger.attempts.values()) {
      const { backend, reservedAt } = booking.terms;
      const price = priceInForce(usable(deployment.books.get(backend)!), Date.parse(reservedAt))!;
      const { cashNanos, unpriced } = rate(price, usage, { atMs: Date.parse(reservedAt) });
      if (charge.state === 'unconfirmed' ? unpriced.length === 0 : charge.cashNanos !== cashNanos)
        otherwise.push(`${backend} ${reservedAt}: ${charge.cashNanos}, not ${cashNanos}`);
      truth += charge.cashNanos;
    }
    expect(otherwise).toEqual([]);
    const months = new Set(ledger.entries.map((e) => e.recordedAt.slice(0, 7)));
    expect([...months].reduce((sum, month) => sum + ledger.totalOf(month), 0n)).toBe(truth);
    if (process.env['MERITORDER_PRINT'] === '1')
      console.log({ attempts: ledger.attempts.size, confirmed, corrected, months: closedMonths.size });
  },
  60_000,
);

/** The operator learns that last month's changes had begun twenty days before they stood in the table. */
async function backdate(deployment: Deployment, day: number, now: string): Promise<number> {
  let adjusted = 0;
  for (const [model, book] of deployment.books) {
    const change = book.findLast((e) => e.derived && e.status === 'accepted' && !e.withdrawn);
    const changedMs = change ? Date.parse(change.version.effectiveFrom) : 0;
    if (!change || changedMs < day - 35 * DAY_MS || usable(book).length < 2) continue;
    const { id: _id, ...content } = change.version;
    const effectiveFrom = new Date(changedMs - 20 * DAY_MS).toISOString();
    deployment.takes(model, [{ ...content, effectiveFrom, derived: false, word: 'mail' }], 'operator', now);
    const late = book.at(-1)!;
    if (late.origin === 'operator' && late.status === 'accepted')
      adjusted += await deployment.corrects(late.version, now);
  }
  return adjusted;
}
