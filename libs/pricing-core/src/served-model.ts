import type { BackendConfig, PriceVersion } from '@meritorder/contracts';

/** What may stand behind a model's name without making it another model: dates, revisions, release words. */
const RELEASE = /^(?:[-@:.](?:20\d{2}-?\d{2}-?\d{2}|\d{2}-\d{2}(?:\d{2})?|\d{3,4}|latest|v\d+(?:\.\d+)?(?::\d+)?))+$/;

/**
 * Whether `served` is a name of `asked`: the same but for case, a path before it ("models/", "accounts/x/models/"), or a date or
 * revision after it ("gpt-4.1-2025-04-14", "claude-sonnet-4-5@20250929", "llama3.2:latest"). "gpt-4o-mini" is not "gpt-4o", and
 * "gpt-5.1" not "gpt-5".
 */
export function isModel(asked: string, served: string): boolean {
  const a = lastSegment(asked);
  const s = lastSegment(served);
  if (a === s) return true;
  const [shorter, longer] = a.length < s.length ? [a, s] : [s, a];
  return longer.startsWith(shorter) && RELEASE.test(longer.slice(shorter.length));
}

function lastSegment(model: string): string {
  return model.toLowerCase().trim().split('/').at(-1)!;
}

/**
 * The price of the model that answered: the backend's own, unless the answer names another one that has prices here. One that
 * is neither is priced as the backend's own and said to be unknown, since nobody knows better.
 */
export function priceOfServed(
  backend: Pick<BackendConfig, 'model'> & Partial<Pick<BackendConfig, 'modelAliases' | 'kind'>>,
  servedModel: string | undefined,
  own: PriceVersion,
  others: readonly PriceVersion[],
): { price: PriceVersion; unknown: boolean } {
  if (!servedModel) return { price: own, unknown: false };
  const named = (is: (asked: string, served: string) => boolean): PriceVersion | undefined =>
    [backend.model, ...(backend.modelAliases ?? [])].some((name) => is(name, servedModel))
      ? own
      : others.find((v) => v.model !== undefined && is(v.model, servedModel));
  // A dated version may have a price of its own beside the undated one's.
  const price = named((asked, served) => lastSegment(asked) === lastSegment(served)) ?? named(isModel);
  return { price: price ?? own, unknown: price === undefined && backend.kind !== 'local' };
}

/**
 * Whether a usage that was only counted here is booked. Own hardware sends no invoice, so what is counted here is all there will
 * ever be; a provider's invoice tells, and until then the bound stands.
 */
export function booksEstimates({ kind, withoutUsage }: Pick<BackendConfig, 'kind' | 'withoutUsage'>): boolean {
  return (withoutUsage ?? (kind === 'local' ? 'estimate' : 'bound')) === 'estimate';
}

/** Whether what the provider says that a call was charged is booked, in place of what its tokens cost by the prices. */
export function booksStatedCharges({
  provider,
  statedCharge,
}: Pick<BackendConfig, 'provider' | 'statedCharge'>): boolean {
  return statedCharge ?? provider === 'openrouter';
}
