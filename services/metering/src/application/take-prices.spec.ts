import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MeritorderConfig, type BackendConfig } from '@meritorder/contracts';
import {
  cardFromConfig,
  priceInForce,
  type BookEntry,
  type CatalogueEntry,
  type HoldReason,
} from '@meritorder/pricing-core';
import { takeConfiguredPrices, takeProposedPrices, type PriceBookPorts } from './take-prices.js';

const listed = (from: string | null, input: string): CatalogueEntry => ({
  from,
  card: cardFromConfig({ inputUsdPerMillionTokens: input, outputUsdPerMillionTokens: '8' }, undefined, 'catalogue'),
  source: 'catalogue: acme/m',
});

function configOf(...backends: object[]): MeritorderConfig {
  return MeritorderConfig.parse({
    version: 1,
    orgs: [{ id: 'acme' }],
    backends: backends.map((more) => ({
      id: 'b',
      kind: 'cloud',
      provider: 'acme',
      model: 'm',
      baseUrl: 'http://127.0.0.1:1/v1',
      contextTokens: 1_000,
      maxOutputTokens: 100,
      ...more,
    })),
  });
}

/** A book in memory; `catalogue` may be made to fail. */
class Ports implements PriceBookPorts {
  readonly books = new Map<string, BookEntry[]>();
  now = '2026-02-01T00:00:00.000Z';
  listed: CatalogueEntry[] = [listed(null, '2')];
  objections: HoldReason[] = [];

  readonly catalogue = {
    entriesOf: (name: string): CatalogueEntry[] => (name === 'acme/m' ? this.listed : []),
  };
  nowMs(): number {
    return Date.parse(this.now);
  }
  sha256Hex(text: string): string {
    return createHash('sha256').update(text).digest('hex');
  }
  hardware(): never[] {
    return [];
  }
  judge(): HoldReason[] {
    return this.objections;
  }
  takeIntoBook: PriceBookPorts['takeIntoBook'] = async (backend, plan) => {
    const book = this.books.get(backend) ?? [];
    const intake = plan(book);
    for (const entry of book) if (intake.withdraw.includes(entry.version.id)) entry.withdrawn = true;
    this.books.set(backend, [...book, ...intake.insert.map((i) => i.entry)]);
    return intake;
  };

  /** Input price in force, pico-USD per token. */
  on(day: string, backend = 'b'): string | undefined {
    const usable = (this.books.get(backend) ?? []).filter((e) => e.status === 'accepted' && !e.withdrawn);
    return priceInForce(
      usable.map((e) => e.version),
      Date.parse(day),
    )?.cash.inputPicosPerToken;
  }
}

const price = (effectiveFrom: string, inputUsdPerMillionTokens: string): BackendConfig['prices'][number] => ({
  effectiveFrom,
  cash: { inputUsdPerMillionTokens },
  source: 'cli',
});

describe('what the configuration stands for', () => {
  it("is the catalogue's price where nothing is written", async () => {
    const ports = new Ports();
    await takeConfiguredPrices(ports, configOf({}));
    expect(ports.on('2026-02-01')).toBe('2000000');
  });

  it('a model that nobody knows has no price, and the line to add is said (pitfall 22)', async () => {
    const ports = new Ports();
    const [taken] = await takeConfiguredPrices(ports, configOf({ id: 'mine', model: 'own-finetune' }));
    expect(taken!.intake.insert).toEqual([]);
    expect(taken!.missing).toMatch(
      /^backend mine gets no budgeted traffic: the catalogue does not know acme\/own-finetune.*add to it prices: \[\{ effectiveFrom: /,
    );
    expect(ports.on('2026-02-01', 'mine')).toBeUndefined();
  });

  it('half a price of a model that nobody knows is an error that says what is missing', async () => {
    const ports = new Ports();
    const config = configOf({ model: 'own-finetune', prices: [price('2026-01-01T00:00:00Z', '1')] });
    const [taken] = await takeConfiguredPrices(ports, config);
    expect(taken!.error).toContain('backend b, prices from 2026-01-01T00:00:00Z: cash: output have no price');
    expect(taken!.error).toContain('add outputUsdPerMillionTokens: "..."');
  });

  it("one backend's mistake leaves its last good version in force and does not keep the others from theirs (pitfall 21)", async () => {
    const ports = new Ports();
    await takeConfiguredPrices(ports, configOf({ id: 'a', model: 'x', catalogue: 'acme/m' }, { id: 'b' }));
    ports.now = '2026-03-01T00:00:00.000Z';
    ports.listed = [listed(null, '1')];
    const broken = { currency: 'EUR', effectiveFrom: '2026-02-15T00:00:00Z', cash: { inputUsdPerMillionTokens: '9' } };
    const taken = await takeConfiguredPrices(ports, {
      ...configOf({ id: 'b' }),
      backends: [
        {
          ...configOf({ id: 'a', model: 'x', catalogue: 'acme/m' }).backends[0]!,
          prices: [{ ...broken, source: 'x' }],
        },
        configOf({ id: 'b' }).backends[0]!,
      ],
    });
    expect(taken.map((t) => t.error)).toEqual([expect.stringContaining('output have no price'), undefined]);
    expect([ports.on('2026-03-01', 'a'), ports.on('2026-03-01', 'b')]).toEqual(['2000000', '1000000']);
  });

  it('a price that is held leaves the one in force', async () => {
    const ports = new Ports();
    await takeConfiguredPrices(ports, configOf({}));
    ports.now = '2026-03-01T00:00:00.000Z';
    ports.listed = [listed(null, '2000')];
    ports.objections = [{ code: 'jump', message: 'input is 1,000x dearer' }];
    const [taken] = await takeConfiguredPrices(ports, configOf({}));
    expect(taken!.intake.insert).toMatchObject([
      { entry: { status: 'held' }, reasons: [{ message: 'input is 1,000x dearer' }] },
    ]);
    expect(ports.on('2026-03-01')).toBe('2000000');
  });

  it('a book that cannot be written is an error of all, not of one backend', async () => {
    const ports = new Ports();
    ports.takeIntoBook = async () => {
      throw new Error('connection lost');
    };
    await expect(takeConfiguredPrices(ports, configOf({}))).rejects.toThrow('connection lost');
  });
});

describe('prices that an operator hands over', () => {
  it('act from the instant that they say, over what the catalogue gives, and leave the time before alone', async () => {
    const ports = new Ports();
    ports.listed = [listed(null, '3'), listed('2026-01-10T00:00:00.000Z', '2')];
    await takeConfiguredPrices(ports, configOf({}));
    ports.now = '2026-04-01T00:00:00.000Z';
    const [backend] = configOf({}).backends;
    const taken = await takeProposedPrices(ports, configOf({}), {
      ...backend!,
      prices: [price('2026-02-15T00:00:00Z', '1')],
    });
    expect(taken.intake.insert.map((i) => i.entry)).toMatchObject([
      { origin: 'operator', derived: false, version: { effectiveFrom: '2026-02-15T00:00:00.000Z' } },
    ]);
    expect(['2026-01-09', '2026-01-10', '2026-02-15', '2026-04-01'].map((day) => ports.on(day))).toEqual([
      '3000000',
      '2000000',
      '1000000',
      '1000000',
    ]);
  });

  it('stay when the configuration is read again, until it says something else', async () => {
    const ports = new Ports();
    await takeConfiguredPrices(ports, configOf({}));
    const [backend] = configOf({}).backends;
    ports.now = '2026-03-01T00:00:00.000Z';
    await takeProposedPrices(ports, configOf({}), { ...backend!, prices: [price('2026-02-15T00:00:00Z', '1')] });
    await takeConfiguredPrices(ports, configOf({}));
    expect(ports.on('2026-03-01')).toBe('1000000');
    ports.now = '2026-04-01T00:00:00.000Z';
    ports.listed = [listed(null, '5')];
    await takeConfiguredPrices(ports, configOf({}));
    expect(['2026-03-31', '2026-04-01'].map((day) => ports.on(day))).toEqual(['1000000', '5000000']);
  });
});
