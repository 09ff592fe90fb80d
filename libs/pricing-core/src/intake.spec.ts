import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { PriceConfig } from '@meritorder/contracts';
import {
  planIntake,
  priceInForce,
  proposalsFor,
  type BookEntry,
  type CatalogueEntry,
  type HoldReason,
  type PriceProposal,
} from './index.js';
import { backend, card } from './prices.for-tests.js';

const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const usdPerMillion = (picos: string): string => String(Number(picos) / 1e6);

interface Said {
  at: string;
  /** The catalogue's input price, by the day it starts; null: always. */
  catalogue?: Record<string, string>;
  /** The operator's input or output price, by the day it starts. */
  prices?: Record<string, PriceConfig['cash']>;
  discount?: { from: string; percent: string };
}

/** A book of one backend that is told what the configuration and the catalogue say, day after day. */
class Book {
  entries: BookEntry[] = [];
  held: HoldReason[] = [];
  judge: (input: string) => HoldReason[] = () => [];

  says({ at, catalogue = {}, prices = {}, discount }: Said): this {
    const listed: CatalogueEntry[] = Object.entries(catalogue).map(([from, input]) => ({
      from: from === 'always' ? null : instant(from),
      card: card({
        inputUsdPerMillionTokens: input,
        cacheReadUsdPerMillionTokens: '0.01',
        outputUsdPerMillionTokens: '8',
      }),
      source: 'catalogue',
    }));
    const overlays = Object.entries(prices).map(([from, cash]) => ({
      effectiveFrom: instant(from),
      cash,
      source: 'meritorder.yaml',
    }));
    const accounts = discount
      ? [{ provider: 'acme', adjustments: [{ effectiveFrom: instant(discount.from), percent: discount.percent }] }]
      : [];
    return this.takes(
      at,
      proposalsFor(backend({ prices: overlays }), { accounts, exchangeRates: [] }, () => listed),
      'config',
    );
  }

  takes(at: string, proposals: PriceProposal[], origin: string): this {
    const intake = planIntake({
      book: this.entries,
      proposals,
      origin,
      complete: origin === 'config',
      nowMs: Date.parse(instant(at)),
      judge: (_previous, { cash }) => this.judge(usdPerMillion(cash.inputPicosPerToken)),
      sha256Hex,
    });
    for (const entry of this.entries) {
      if (intake.withdraw.includes(entry.version.id)) entry.withdrawn = true;
      if (intake.restore.includes(entry.version.id)) entry.withdrawn = false;
    }
    this.entries.push(...intake.insert.map((i) => i.entry));
    this.held = intake.insert.flatMap((i) => i.reasons);
    return this;
  }

  confirm(): this {
    for (const entry of this.entries) if (entry.status === 'held' && !entry.withdrawn) entry.status = 'accepted';
    return this;
  }

  /** Input price in force on each of these days: USD per 1M tokens, as output where that was corrected. */
  on(...days: string[]): (string | undefined)[] {
    const usable = this.entries.filter((e) => e.status === 'accepted' && !e.withdrawn).map((e) => e.version);
    return days.map((day) => {
      const version = priceInForce(usable, Date.parse(instant(day)));
      if (!version) return undefined;
      const input = usdPerMillion(version.cash.inputPicosPerToken);
      return version.accountFactor ? `${input} x ${version.accountFactor}` : input;
    });
  }

  get size(): number {
    return this.entries.length;
  }
}

function instant(day: string): string {
  return new Date(`2026-${day}T00:00:00Z`).toISOString();
}
const input = (usd: string): PriceConfig['cash'] => ({ inputUsdPerMillionTokens: usd });
const whole = (usd: string): PriceConfig['cash'] => ({
  ...input(usd),
  cacheReadUsdPerMillionTokens: '0.01',
  cacheWrite5mUsdPerMillionTokens: usd,
  outputUsdPerMillionTokens: '8',
});

describe('a price of the catalogue', () => {
  it('that comes first holds for all times, its later ones from their dates', () => {
    const book = new Book().says({ at: '02-10', catalogue: { always: '2', '03-01': '1' } });
    expect(book.on('01-01', '02-28', '03-01')).toEqual(['2', '2', '1']);
  });

  it('that changes acts from then on, and never on what was rated before (pitfall 37)', () => {
    const book = new Book()
      .says({ at: '02-10', catalogue: { always: '2' } })
      .says({ at: '04-10', catalogue: { always: '1' } });
    expect(book.on('01-01', '04-09', '04-10')).toEqual(['2', '2', '1']);
  });

  it('that is said to have changed weeks ago acts from now on too', () => {
    const book = new Book()
      .says({ at: '02-10', catalogue: { always: '2' } })
      .says({ at: '04-10', catalogue: { always: '2', '03-01': '1' } });
    expect(book.on('03-15', '04-09', '04-10')).toEqual(['2', '2', '1']);
  });

  it('that was announced acts from its date, and not at all when it is taken back before', () => {
    const book = new Book().says({ at: '02-10', catalogue: { always: '2', '06-01': '1' } });
    expect(book.on('05-31', '06-01')).toEqual(['2', '1']);
    book.says({ at: '03-10', catalogue: { always: '2' } });
    expect(book.on('05-31', '06-01')).toEqual(['2', '2']);
  });

  it('that goes and comes back is three versions', () => {
    const book = new Book();
    for (const [at, usd] of [
      ['02-10', '2'],
      ['03-10', '1'],
      ['04-10', '2'],
    ] as const)
      book.says({ at, catalogue: { always: usd } });
    expect(book.on('02-20', '03-20', '04-20')).toEqual(['2', '1', '2']);
    expect(book.size).toBe(3);
  });
});

it('saying the same again changes nothing, on any later day', () => {
  const said = { catalogue: { always: '2', '06-01': '1' }, prices: { '03-01': input('1.5') } };
  const book = new Book().says({ at: '02-10', ...said });
  const { size } = book;
  const before = book.on('01-01', '03-01', '07-01');
  for (const at of ['02-10', '02-11', '04-01', '07-01']) book.says({ at, ...said });
  expect(book.size).toBe(size);
  expect(book.on('01-01', '03-01', '07-01')).toEqual(before);
});

describe("the operator's price", () => {
  it('acts from the instant that was written, also when that is past: a correction', () => {
    const book = new Book()
      .says({ at: '02-10', prices: { '01-01': whole('2') } })
      .says({ at: '04-10', prices: { '01-01': whole('2'), '03-01': whole('1') } });
    expect(book.on('02-28', '03-01', '04-10')).toEqual(['2', '1', '1']);
  });

  it('of a single rate over the catalogue does so too', () => {
    const book = new Book()
      .says({ at: '02-10', catalogue: { always: '2' } })
      .says({ at: '04-10', catalogue: { always: '2' }, prices: { '03-01': input('1') } });
    expect(book.on('02-28', '03-01', '04-10')).toEqual(['2', '1', '1']);
  });

  it('and the discount of an account', () => {
    const book = new Book()
      .says({ at: '02-10', catalogue: { always: '2' } })
      .says({ at: '04-10', catalogue: { always: '2' }, discount: { from: '03-01', percent: '-10' } });
    expect(book.on('02-28', '03-01', '04-10')).toEqual(['2', '2 x 0.9', '2 x 0.9']);
  });

  it('corrected, is another version, and what it replaces is withdrawn but stays in the book', () => {
    const book = new Book()
      .says({ at: '02-10', prices: { '01-01': whole('2') } })
      .says({ at: '02-11', prices: { '01-01': whole('3') } });
    expect(book.on('01-01')).toEqual(['3']);
    expect(book.entries.map((e) => e.withdrawn)).toEqual([true, false]);
  });

  it('put back, is the version that it was', () => {
    const book = new Book();
    for (const [at, usd] of [
      ['02-10', '2'],
      ['02-11', '3'],
      ['02-12', '2'],
    ] as const)
      book.says({ at, prices: { '01-01': whole(usd) } });
    expect(book.on('01-01')).toEqual(['2']);
    expect(book.size).toBe(2);
  });

  it("a change of the catalogue's under it acts from then on", () => {
    const said = { prices: { '01-01': { outputUsdPerMillionTokens: '6' } } };
    const book = new Book()
      .says({ at: '02-10', catalogue: { always: '2' }, ...said })
      .says({ at: '04-10', catalogue: { always: '1' }, ...said });
    expect(book.on('02-28', '04-09', '04-10')).toEqual(['2', '2', '1']);
  });

  it("corrected after that, holds from its own instant, over every change of the catalogue's since", () => {
    const book = new Book()
      .says({ at: '02-10', catalogue: { always: '2' }, prices: { '01-15': { outputUsdPerMillionTokens: '6' } } })
      .says({ at: '03-10', catalogue: { always: '1' }, prices: { '01-15': { outputUsdPerMillionTokens: '6' } } })
      .says({ at: '04-10', catalogue: { always: '1' }, prices: { '01-15': input('5') } });
    expect(book.on('01-14', '01-15', '03-10', '04-10')).toEqual(['2', '5', '5', '5']);
  });

  it('written otherwise (6.00 for 6) is no correction', () => {
    const book = new Book()
      .says({ at: '02-10', catalogue: { always: '2' }, prices: { '01-15': { outputUsdPerMillionTokens: '6' } } })
      .says({ at: '03-10', catalogue: { always: '1' }, prices: { '01-15': { outputUsdPerMillionTokens: '6.00' } } });
    expect(book.on('02-20', '03-10')).toEqual(['2', '1']);
  });

  it('that was handed over beside the configuration is not undone by a restart', () => {
    const said = { catalogue: { always: '2' } };
    const book = new Book().says({ at: '02-10', ...said });
    const [own] = proposalsFor(
      backend({ prices: [{ effectiveFrom: instant('02-01'), cash: whole('1'), source: 'cli' }] }),
      { accounts: [], exchangeRates: [] },
      () => [],
    );
    book.takes('03-10', [own!], 'operator');
    expect(book.on('01-31', '02-01', '03-10')).toEqual(['2', '1', '1']);
    book.says({ at: '03-11', ...said });
    expect(book.on('01-31', '02-01', '03-11')).toEqual(['2', '1', '1']);
  });
});

describe('what the judge objects to', () => {
  const absurd = (usd: string): HoldReason[] => (Number(usd) > 100 ? [{ code: 'absurd', message: `$${usd}` }] : []);

  it('is held with the reason, and the version in force stays', () => {
    const book = new Book().says({ at: '02-10', catalogue: { always: '2' } });
    book.judge = absurd;
    book.says({ at: '03-10', catalogue: { always: '2000' } });
    expect(book.held).toEqual([{ code: 'absurd', message: '$2000' }]);
    expect(book.on('03-10', '04-10')).toEqual(['2', '2']);
  });

  it('is asked about once, however often it is said', () => {
    const book = new Book().says({ at: '02-10', catalogue: { always: '2' } });
    book.judge = absurd;
    for (const at of ['03-10', '03-11', '03-12']) book.says({ at, catalogue: { always: '2000' } });
    expect(book.size).toBe(2);
    const operator = new Book();
    operator.judge = absurd;
    for (const at of ['03-10', '03-11']) operator.says({ at, prices: { '01-01': whole('2000') } });
    expect(operator.size).toBe(1);
  });

  it('acts from its own instant once a person confirmed it', () => {
    const book = new Book().says({ at: '02-10', prices: { '01-01': whole('2') } });
    book.judge = absurd;
    book.says({ at: '03-10', prices: { '01-01': whole('2'), '03-01': whole('200') } }).confirm();
    expect(book.on('02-28', '03-01')).toEqual(['2', '200']);
    book.says({ at: '03-11', prices: { '01-01': whole('2'), '03-01': whole('200') } });
    expect(book.on('02-28', '03-01')).toEqual(['2', '200']);
  });

  it('is withdrawn when the table is repaired, and its repair applies at once', () => {
    const book = new Book().says({ at: '02-10', catalogue: { always: '2' } });
    book.judge = absurd;
    book.says({ at: '03-10', catalogue: { always: '2000' } }).says({ at: '03-11', catalogue: { always: '1.8' } });
    expect(book.held).toEqual([]);
    expect(book.on('03-10', '03-11')).toEqual(['2', '1.8']);
    // Nobody can confirm it by mistake any more.
    expect(book.confirm().on('03-11')).toEqual(['1.8']);
  });
});

it('a price that nobody says any more is withdrawn; the catalogue takes over from then on', () => {
  const book = new Book()
    .says({ at: '02-10', catalogue: { always: '2' }, prices: { '01-15': whole('5') } })
    .says({ at: '04-10', catalogue: { always: '2' } });
  expect(book.on('04-10')).toEqual(['2']);
  expect(book.entries.find((e) => e.version.cash.inputPicosPerToken === '5000000')!.withdrawn).toBe(true);
});
