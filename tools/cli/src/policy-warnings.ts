import type { MeritorderConfig } from '@meritorder/contracts';

type Backend = MeritorderConfig['backends'][number];
type Settings = Pick<MeritorderConfig['routes'][number], 'minQuality' | 'targetLatencyMs' | 'maxLatencyMs' | 'hedging'>;

/** As it is taken to be before anything is known of it. */
const UNKNOWN_QUALITY = 0.75;

/** Settings of routes and tiers under which requests find nobody, or that change nothing: a line for each. */
export function policyWarnings({ routes, tiers, backends, joins }: MeritorderConfig): string[] {
  const byId = new Map(backends.map((backend) => [backend.id, backend]));
  return routes.flatMap((route) => {
    // Who joins later is not known.
    if (joins.some((join) => join.routes.includes(route.id))) return [];
    const own = route.backends.flatMap((id) => byId.get(id) ?? []);
    const ofRoute = of(`route ${route.id}`, route, own);
    const ofTiers = tiers.flatMap((tier) => {
      const name = `tier ${tier.id} at route ${route.id}`;
      const served = own.filter(({ id }) => tier.backends?.includes(id) ?? true);
      if (served.length === 0) return [`${name} finds nobody: they have no backend in common`];
      const said = { ...route, ...Object.fromEntries(Object.entries(tier).filter(([, value]) => value !== undefined)) };
      return of(name, said, served).filter((line) => !ofRoute.includes(line.replace(name, `route ${route.id}`)));
    });
    return [...ofRoute, ...ofTiers];
  });
}

function of(
  name: string,
  { minQuality = 0, targetLatencyMs = 0, maxLatencyMs, hedging }: Settings,
  backends: readonly Backend[],
): string[] {
  const best = Math.max(...backends.map(({ quality }) => quality?.prior ?? UNKNOWN_QUALITY));
  return [
    ...(minQuality > best
      ? [
          `${name} finds nobody: its floor of quality is ${minQuality} and the best of its backends begins at ${best}, which nothing can raise while nobody is asked`,
        ]
      : []),
    ...(maxLatencyMs !== undefined && targetLatencyMs >= maxLatencyMs
      ? [`${name} has a targetLatencyMs that changes nothing: who is that slow is above its maxLatencyMs`]
      : []),
    ...(hedging && backends.length < 2 ? [`${name} has hedging and no second backend to ask`] : []),
  ];
}
