import type { BackendConfig, PriceVersion, Rates, RatesConfig } from '@meritorder/contracts';
import { canonicalJson, parseDecimal, usdPerMillionToPicos } from '@meritorder/kernel';

/** Converts configured USD per 1M tokens to integer pico-USD per token, exactly. */
export function ratesFromConfig(config: RatesConfig): Rates {
  const input = usdPerMillionToPicos(config.inputUsdPerMillionTokens);
  const orInput = (text: string | undefined): bigint => (text === undefined ? input : usdPerMillionToPicos(text));
  const write5m = orInput(config.cacheWrite5mUsdPerMillionTokens);
  const write1h = config.cacheWrite1hUsdPerMillionTokens;
  return {
    inputPicosPerToken: input.toString(),
    cacheReadPicosPerToken: orInput(config.cacheReadUsdPerMillionTokens).toString(),
    cacheWrite5mPicosPerToken: write5m.toString(),
    cacheWrite1hPicosPerToken: (write1h === undefined ? write5m : usdPerMillionToPicos(write1h)).toString(),
    outputPicosPerToken: usdPerMillionToPicos(config.outputUsdPerMillionTokens).toString(),
    requestPicos: parseDecimal(config.requestUsd ?? '0', 12).toString(),
  };
}

/**
 * The price versions that a backend's configuration writes down. The id is a digest of the content, so the same prices have
 * the same id in every process, and other prices never have it.
 * @param sha256Hex a hex SHA-256; cores have no I/O and no crypto of their own.
 */
export function priceVersionsFromConfig(backend: BackendConfig, sha256Hex: (text: string) => string): PriceVersion[] {
  return backend.prices.map((price) => {
    const content = {
      backend: backend.id,
      effectiveFrom: new Date(price.effectiveFrom).toISOString(),
      cash: ratesFromConfig(price.cash),
      full: ratesFromConfig(price.full ?? price.cash),
    };
    return { id: `pv-${sha256Hex(canonicalJson(content)).slice(0, 24)}`, ...content, source: price.source };
  });
}

/** The version in force at an instant: the latest that is effective by then. Undefined is "no price", never zero. */
export function priceInForce(versions: readonly PriceVersion[], atMs: number): PriceVersion | undefined {
  let best: PriceVersion | undefined;
  for (const version of versions) {
    const from = Date.parse(version.effectiveFrom);
    if (from <= atMs && (!best || from > Date.parse(best.effectiveFrom))) best = version;
  }
  return best;
}
