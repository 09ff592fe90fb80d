import { usdPerMillionToPicos } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { familyOf, judgePrice, parseUsdPerToken, traitsOf, type GuardedPrice, type GuardVerdict } from './index.js';

/** A price from USD per 1M tokens. */
function price(model: string, usdPerMillion: Record<string, string>): GuardedPrice {
  const rates = Object.entries(usdPerMillion).map(([rate, usd]) => [rate, usdPerMillionToPicos(usd)] as const);
  return { model, rates: Object.fromEntries(rates) };
}

const found = (verdict: GuardVerdict): string[] =>
  verdict.reasons.map((r) => (r.rate ? `${r.code} ${r.rate}` : r.code));
const messages = (verdict: GuardVerdict): string => verdict.reasons.map((r) => r.message).join('\n');
const USD = 1_000_000_000_000n;

describe('an absurd price is held with a hint at the unit that was mixed up', () => {
  it.each([
    ['USD per 1M in a field for USD per token', '2500000', '10000000', 'USD per 1M tokens typed as USD per token?'],
    ['USD per 1M in a field for USD per 1K', '2500', '10000', 'USD per 1M tokens typed as USD per 1K?'],
    ['USD per token in a field for USD per 1M', '0.000003', '0.00001', 'USD per token typed as USD per 1M?'],
    ['USD per 1K in a field for USD per 1M', '0.0025', '0.0035', 'USD per 1K tokens typed as USD per 1M?'],
  ])('%s', (_, input, output, hint) => {
    const verdict = judgePrice(undefined, price('acme/one', { input, output }), []);
    expect(verdict.verdict).toBe('hold');
    expect(found(verdict)).toEqual(['absurd input', 'absurd output']);
    expect(messages(verdict)).toContain(hint);
  });

  it('a factor of 1,000,000 against the price in force is rejected with a hint', () => {
    const before = price('acme/one', { input: '2.5', output: '10' });
    const verdict = judgePrice(before, price('acme/one', { input: '2500000', output: '10' }), []);
    expect(found(verdict)).toEqual(['jump input']);
    expect(messages(verdict)).toContain('1,000,000x: USD per 1M tokens typed as USD per token?');
  });

  it('the message says what, where, how far off, and the likely slip', () => {
    const before = price('acme/one', { input: '2.5' });
    const verdict = judgePrice(before, price('acme/one', { input: '2500' }), []);
    expect(messages(verdict)).toBe(
      'input from $2.5 per 1M tokens to $2,500 per 1M tokens is 1,000x dearer than the price in force, more than 10x ' +
        '(1,000x: USD per 1M tokens typed as USD per 1K?)',
    );
  });

  it('the known price of the family tells 100,000x from its neighbours', () => {
    const peers = [price('other/one', { input: '0.05', output: '0.2' })];
    const verdict = judgePrice(undefined, price('acme/one', { input: '5000', output: '20000' }), peers);
    expect(messages(verdict)).toContain('100,000x: cents per 1K tokens typed as USD per token?');
  });
});

describe('what is possible but hardly ever true is held unless a relative vouches for it', () => {
  it.each([
    [
      'a small edition at $150',
      price('acme/x-flash-001', { input: '150', output: '600' }),
      ['unusual input', 'unusual output'],
    ],
    [
      'a model of 8 billion parameters at $20',
      price('acme/x-8b', { input: '20', output: '20' }),
      ['unusual input', 'unusual output'],
    ],
    ['an embedding at $100', price('acme/x-embed-v3', { input: '100', output: '0' }), ['unusual input']],
    ['any model at $150', price('acme/x', { input: '150', output: '600' }), ['unusual input', 'unusual output']],
  ])('%s', (_, proposed, reasons) => {
    expect(found(judgePrice(undefined, proposed, []))).toEqual(reasons);
  });

  it('a dearer edition of a family at $15 applies at $150, and the edition under a date after it', () => {
    const base = price('acme/x1-2024-12-17', { input: '15', output: '60' });
    const edition = price('acme/x1-pro', { input: '150', output: '600' });
    const dated = price('acme/x1-pro-2025-03-19', { input: '150', output: '600' });
    expect(judgePrice(undefined, edition, [base]).verdict).toBe('apply');
    expect(judgePrice(undefined, dated, [edition]).verdict).toBe('apply');
  });

  it('a search at $10 each is the price of a thousand; at $0.01 it applies', () => {
    const search = (picos: bigint): GuardVerdict => {
      const plain = price('acme/one', { input: '1', output: '4' });
      return judgePrice(plain, { ...plain, rates: { ...plain.rates, webSearches: picos } }, []);
    };
    expect(messages(search(10n * USD))).toContain('the price of 1,000 typed as the price of one?');
    expect(search(USD / 100n).verdict).toBe('apply');
  });
});

describe('zero has a rule of its own', () => {
  const free = price('acme/one', { input: '0', output: '0' });
  const paid = price('acme/one', { input: '1', output: '4' });

  it('a price that falls to zero is held, also where zero is meant', () => {
    expect(found(judgePrice(paid, free, []))).toEqual(['zero-from-price input', 'zero-from-price output']);
    expect(judgePrice(paid, free, [], { zeroIsExplicit: true }).verdict).toBe('hold');
  });

  it('a model added at zero is held', () => {
    expect(found(judgePrice(undefined, free, []))).toEqual(['zero-added input', 'zero-added output']);
  });

  it('a model added at zero applies when somebody wrote it as zero', () => {
    expect(judgePrice(undefined, free, [], { zeroIsExplicit: true }).verdict).toBe('apply');
    expect(judgePrice(undefined, price('acme/one:free', { input: '0', output: '0' }), []).verdict).toBe('apply');
  });

  it.each(['x-embedding-3', 'voyage/x-lite', 'x-rerank-2', 'baai/bge-base', 'whisper-x', 'x-transcribe'])(
    '%s costs nothing for output and applies; free input is held',
    (model) => {
      expect(judgePrice(undefined, price(model, { input: '0.1', output: '0' }), []).verdict).toBe('apply');
      expect(found(judgePrice(undefined, price(model, { input: '0', output: '0' }), []))).toEqual(['zero-added input']);
    },
  );

  it('from zero to a plausible price applies, to an absurd one is held', () => {
    expect(judgePrice(free, paid, []).verdict).toBe('apply');
    expect(found(judgePrice(free, price('acme/one', { input: '0.08', output: '320' }), []))).toEqual([
      'unusual output',
    ]);
  });

  it('a zero that stays zero is no news', () => {
    expect(judgePrice(free, free, []).verdict).toBe('apply');
  });

  it('absent is not zero: no rate, no input rate, a rate that is gone', () => {
    expect(found(judgePrice(undefined, price('acme/one', {}), []))).toEqual(['no-price']);
    expect(found(judgePrice(undefined, price('acme/one', { output: '4' }), []))).toEqual(['rate-missing input']);
    expect(found(judgePrice(paid, price('acme/one', { input: '1' }), []))).toEqual(['rate-dropped output']);
  });
});

describe('a change against the price in force', () => {
  const before = price('acme/one', { input: '10', output: '40', cacheRead: '2.5' });

  it('an ordinary cut of 80 % applies at once', () => {
    const cut = price('acme/one', { input: '2', output: '8', cacheRead: '0.5' });
    expect(judgePrice(before, cut, [])).toEqual({ verdict: 'apply', reasons: [] });
  });

  it('a cut applies also when the family has not followed yet', () => {
    const peers = [price('other/one', { input: '30', output: '120', cacheRead: '7.5' })];
    expect(judgePrice(before, price('acme/one', { input: '2', output: '8', cacheRead: '0.5' }), peers).verdict).toBe(
      'apply',
    );
  });

  it.each([
    ['100', '400', 'apply'],
    ['100.000001', '400', 'hold'],
    ['1', '4', 'apply'],
    ['0.999999', '4', 'hold'],
  ])('$10 to $%s: 10x applies, a hair more is held', (input, output, expected) => {
    expect(
      judgePrice(price('acme/one', { input: '10', output: '40' }), price('acme/one', { input, output }), []).verdict,
    ).toBe(expected);
  });

  it('the factor can be set', () => {
    const cut = price('acme/one', { input: '4', output: '16', cacheRead: '1' });
    expect(found(judgePrice(before, cut, [], { maxFactor: 2 }))).toEqual([
      'jump input',
      'jump output',
      'jump cacheRead',
    ]);
    expect(() => judgePrice(before, cut, [], { maxFactor: 0.5 })).toThrow(RangeError);
  });

  it('a new price of the same amount applies whatever it is, for a person let it in', () => {
    const odd = price('acme/one', { input: '0.05', output: '2000' });
    expect(judgePrice(odd, odd, []).verdict).toBe('apply');
  });
});

describe('the repair of a wrong price', () => {
  const wrong = price('acme/one', { input: '2500', output: '10000' });
  const right = price('acme/one', { input: '2.5', output: '10' });

  it('applies at once after the wrong one was held', () => {
    expect(judgePrice(undefined, wrong, []).verdict).toBe('hold');
    expect(judgePrice(undefined, right, []).verdict).toBe('apply');
  });

  it('applies at once where the good price before stayed in force', () => {
    expect(judgePrice(right, wrong, []).verdict).toBe('hold');
    expect(judgePrice(right, right, []).verdict).toBe('apply');
  });

  it('is held, and says that it looks like one, after a person confirmed the wrong one', () => {
    const verdict = judgePrice(wrong, right, []);
    expect(found(verdict)).toEqual(['repair input', 'repair output']);
    expect(messages(verdict)).toContain('looks like its correction');
    // Confirmed, it is in force, and ordinary moves go on from there.
    expect(judgePrice(right, price('acme/one', { input: '2', output: '8' }), []).verdict).toBe('apply');
  });
});

describe('the rates of one price fit together', () => {
  it.each([
    ['output 71x input', { input: '2.5', output: '178.57' }, ['ratio output']],
    ['output 1/20 of input', { input: '3', output: '0.15' }, ['ratio output']],
    ['output 1/4 of input', { input: '1.4', output: '0.35' }, []],
    ['output 23x input', { input: '0.15', output: '3.5' }, []],
    ['a cache hit dearer than no hit', { input: '1', output: '4', cacheRead: '1.25' }, ['cache-ratio cacheRead']],
    ['a cache hit at full price', { input: '1', output: '4', cacheRead: '1' }, []],
    ['a cache hit 1,000x cheaper', { input: '3', output: '15', cacheRead: '0.003' }, ['cache-ratio cacheRead']],
    ['a cache write at 6x input', { input: '3', output: '15', cacheWrite5m: '18' }, ['cache-ratio cacheWrite5m']],
    ['a cache write at 2x input', { input: '3', output: '15', cacheWrite1h: '6' }, []],
    ['long context at 2x', { input: '3', output: '15', inputAbove200k: '6' }, []],
    ['long context at 20x', { input: '3', output: '15', inputAbove200k: '60' }, ['tier-ratio inputAbove200k']],
  ])('%s', (_, rates: Record<string, string>, reasons) => {
    expect(found(judgePrice(undefined, price('acme/one', rates), []))).toEqual(reasons);
  });

  it('tokens of images and sound cost up to 200x a text input', () => {
    expect(judgePrice(undefined, price('acme/x-image', { input: '0.3', output: '30' }), []).verdict).toBe('apply');
  });

  it('a relation that the price in force has as well is not asked about twice', () => {
    const odd = price('acme/one', { input: '2.5', output: '178.57' });
    expect(judgePrice(odd, price('acme/one', { input: '2', output: '150' }), []).verdict).toBe('apply');
  });
});

describe('a new model is compared with its relatives', () => {
  const family = [
    price('acme/x-mini-2024-07-18', { input: '0.15', output: '0.6' }),
    price('azure/eu/x-mini', { input: '0.165', output: '0.66' }),
  ];

  it('100x dearer than its family is held with a hint, 2x applies', () => {
    const verdict = judgePrice(undefined, price('other/x-mini-latest', { input: '15', output: '40' }), family);
    expect(found(verdict)).toEqual(['family input', 'family output']);
    expect(messages(verdict)).toContain('100x: cents typed as USD?');
    expect(judgePrice(undefined, price('other/x-mini-latest', { input: '0.3', output: '1.2' }), family).verdict).toBe(
      'apply',
    );
  });

  it('20x dearer than its family applies: sellers of one open model differ by that', () => {
    const verdict = judgePrice(undefined, price('other/x-mini-latest', { input: '3', output: '12' }), family);
    expect(verdict.verdict).toBe('apply');
  });

  it('a dearer edition that is 100x cheaper than what it is the edition of is held with a hint', () => {
    const peers = [price('acme/x9', { input: '20', output: '80' })];
    const verdict = judgePrice(undefined, price('acme/x9-pro', { input: '0.2', output: '0.8' }), peers);
    expect(found(verdict)).toEqual(['edition input', 'edition output']);
    expect(messages(verdict)).toContain('100x: USD typed as cents?');
    expect(judgePrice(undefined, price('acme/x9-pro', { input: '15', output: '60' }), peers).verdict).toBe('apply');
  });

  it('another generation vouches within 100x, and tells a slip of 1,000 whatever the order of its words', () => {
    const peers = [price('acme/muse-3-opus-20240229', { input: '15', output: '75' })];
    const next = (input: string, output: string): GuardVerdict =>
      judgePrice(undefined, price('other/muse-opus-4-1', { input, output }), peers);
    expect(found(next('0.015', '0.075'))).toEqual(['line input', 'line output']);
    expect(messages(next('0.015', '0.075'))).toContain('1,000x: USD per 1K tokens typed as USD per 1M?');
    expect(next('0.5', '2.5').verdict).toBe('apply');
    // Another size is another model.
    const sizes = [price('acme/y-405b', { input: '5', output: '15' })];
    expect(judgePrice(undefined, price('acme/y-3-1b', { input: '0.01', output: '0.01' }), sizes).verdict).toBe('apply');
  });

  it('free offers of the family do not count', () => {
    const peers = [price('other/x-mini:free', { input: '0', output: '0' })];
    expect(judgePrice(undefined, price('acme/x-mini', { input: '0.15', output: '0.6' }), peers).verdict).toBe('apply');
  });

  it('without a family, far above everything that the seller has is held', () => {
    const peers = ['a', 'b', 'c', 'd', 'e'].map((name) => price(`acme/${name}`, { input: '0.2', output: '0.8' }));
    expect(found(judgePrice(undefined, price('acme/new', { input: '20', output: '80' }), peers))).toEqual([
      'provider input',
      'provider output',
    ]);
    expect(judgePrice(undefined, price('acme/new', { input: '2', output: '8' }), peers).verdict).toBe('apply');
  });

  it.each([
    ['gpt-4o-mini-2024-07-18', 'gpt-4o-mini'],
    ['gemini/gemini-2.0-flash-001', 'gemini-2-0-flash'],
    ['gemini-2.5-pro-preview-03-25', 'gemini-2-5-pro'],
    ['us.anthropic.claude-sonnet-4-5-20250929-v1:0', 'claude-sonnet-4-5'],
    ['vertex_ai/claude-sonnet-4-5@20250929', 'claude-sonnet-4-5'],
    ['openrouter/x-ai/grok-4-fast:free', 'grok-4-fast'],
    ['sambanova/Meta-Llama-3.2-1B-Instruct', 'llama-3-2-1b'],
    ['lambda_ai/llama3.2-1b-instruct', 'llama-3-2-1b'],
  ])('%s is of the family %s', (model, family) => {
    expect(familyOf(model)).toBe(family);
  });

  it('reads the size from the name', () => {
    expect(traitsOf(price('a/x-8x22b-instruct', {})).billions).toBe(176);
    expect(traitsOf(price('a/x-0.6b', {})).billions).toBe(0.6);
    expect(traitsOf(price('a/x-235b-a22b', {})).billions).toBe(235);
    expect(traitsOf(price('a/x', {})).billions).toBeUndefined();
  });
});

describe('a corrupt price is an error, not something to confirm', () => {
  it.each(['NaN', 'Infinity', '', ' ', '1e', '0x10', '1,5', '--1', '-1e-06', 'null'])('"%s" is no price', (text) => {
    expect(() => parseUsdPerToken(text)).toThrow(RangeError);
  });

  it('a negative rate throws', () => {
    expect(() => judgePrice(undefined, { model: 'acme/one', rates: { input: -1n } }, [])).toThrow(/input is negative/);
  });
});

describe('USD per token is read exactly', () => {
  it.each([
    ['1e-05', 10_000_000n],
    ['0.00015', 150_000_000n],
    ['2.5E-6', 2_500_000n],
    ['0', 0n],
    ['0.0', 0n],
    ['-0', 0n],
    ['1.', 1_000_000_000_000n],
    ['3e+1', 30_000_000_000_000n],
    ['2.9999900000000002e-06', 2_999_990n],
    ['3.0001999999999996e-07', 300_020n],
    ['0.5e-12', 0n],
    ['1.5e-12', 2n],
    ['2.5e-12', 2n],
    ['2.50000000001e-12', 3n],
  ])('%s is %d pico-USD, half to even below that', (text, picos) => {
    expect(parseUsdPerToken(text)).toBe(picos);
  });
});
