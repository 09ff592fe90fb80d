import type { RateCard, Rates, RateTable } from '@meritorder/contracts';
import type { Picos } from '@meritorder/kernel';
import type { RateName } from './guarded-price.js';

/**
 * Every rate of a card under a name that says what it is a variant of: `input`, `inputAbove200000`, `inputFlex`,
 * `inputFlexAbove200000`, `inputFrom1630`. Rates that the card's source does not give are absent. In the card's own money.
 */
export function guardedRatesOf(card: RateCard): Record<RateName, Picos> {
  const rates: Record<RateName, Picos> = {};
  addTable(rates, card, '', card.notPriced ?? []);
  for (const band of card.timeBands ?? [])
    addTable(rates, band.rates, `From${band.fromUtc.replace(':', '')}`, card.notPriced ?? []);
  for (const [tier, table] of Object.entries(card.serviceTiers ?? {}))
    addTable(rates, table, `${tier[0]!.toUpperCase()}${tier.slice(1)}`, card.notPriced ?? []);
  return rates;
}

function addTable(
  into: Record<RateName, Picos>,
  table: RateTable,
  variant: string,
  notPriced: readonly string[],
): void {
  addRates(into, table, variant, notPriced);
  for (const { overInputTokens, rates } of table.contextTiers ?? [])
    addRates(into, rates, `${variant}Above${overInputTokens}`, notPriced);
}

function addRates(into: Record<RateName, Picos>, rates: Rates, variant: string, notPriced: readonly string[]): void {
  const named: Record<RateName, string | undefined> = {
    input: rates.inputPicosPerToken,
    cacheRead: rates.cacheReadPicosPerToken,
    cacheWrite5m: rates.cacheWrite5mPicosPerToken,
    cacheWrite1h: rates.cacheWrite1hPicosPerToken,
    output: rates.outputPicosPerToken,
    reasoning: rates.reasoningPicosPerToken,
    // No fee is not a free price.
    request: rates.requestPicos === '0' ? undefined : rates.requestPicos,
  };
  for (const [unit, picos] of Object.entries(rates.unitPicos ?? {}))
    // The rate is per hour, whatever the usage is counted in.
    named[unit === 'audioMilliseconds' ? 'audioHours' : unit] = picos;
  // A cache that costs what input costs is no price of its own: most of these are defaults.
  const isPlain = (name: string, picos: string): boolean =>
    name.startsWith('cache') && picos === rates.inputPicosPerToken;
  for (const [name, picos] of Object.entries(named))
    if (picos !== undefined && !notPriced.includes(name) && !isPlain(name, picos))
      into[`${name}${variant}`] = BigInt(picos);
}
