import { parseDecimal, usdPerMillionToPicos, usdToNanos } from '@meritorder/kernel';
import { z } from 'zod';

/** A decimal that is kept as text, so that no digit is lost; not negative. */
function exact(parse: (text: string) => bigint, hint: string) {
  return z.union([z.string(), z.number()]).transform((value, ctx) => {
    const text = String(value);
    try {
      if (parse(text) < 0n) throw new RangeError('must not be negative');
      return text;
    } catch (error) {
      ctx.addIssue({ code: 'custom', message: `${(error as Error).message}; ${hint}` });
      return z.NEVER;
    }
  });
}

export const UsdPerMillion = exact(usdPerMillionToPicos, 'write USD per 1M tokens, for example "2.50"');
export const UsdPerThousand = exact((t) => parseDecimal(t, 9), 'write USD per 1,000, for example "10"');
export const Usd = exact(usdToNanos, 'write USD, for example "250" or "0.05"');
export const UsdPerUnit = exact(
  (t) => parseDecimal(t, 12),
  'write USD for one unit of the currency, for example "1.0842"',
);

/** Percent with a sign, at most six digits after the point: "-12.5" is a discount, "5.5" a markup. */
export const Percent = z.union([z.string(), z.number()]).transform((value, ctx) => {
  const text = String(value).replace(/^\+/, '');
  try {
    if (parseDecimal(text, 6) <= -100_000_000n) throw new RangeError('must be above -100');
    return text;
  } catch (error) {
    ctx.addIssue({ code: 'custom', message: `${(error as Error).message}; write percent, for example "-12.5"` });
    return z.NEVER;
  }
});

export const TimeZone = z.string().refine(isTimeZone, 'must be an IANA time zone such as Europe/Berlin');

function isTimeZone(text: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
