import { readFileSync } from 'node:fs';
import type { RateTable } from '@meritorder/pricing-core';
import { z } from 'zod';

/** As a decimal text, or as a number, whose shortest decimal form is the one that was written. */
const Rate = z
  .union([z.string(), z.number().transform(String)])
  .refine((text) => /^\d{1,9}(\.\d{1,9})?$/.test(text), 'must be USD per 1K tokens such as "0.01"');

const Rates = z.record(z.string(), z.looseObject({ provider: z.string(), inputUsdPer1k: Rate, outputUsdPer1k: Rate }));

/** Reads a table of rates per 1K tokens. @throws Error with one line that names the file and what is wrong in it. */
export function readRates(file: string): RateTable {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} cannot be read as JSON: ${(error as Error).message}`);
  }
  const parsed = Rates.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new Error(`${file} is not a table of rates: ${path.join('.') || 'the file'}: ${message}`);
}
