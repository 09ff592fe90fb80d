import { isSlug } from '@meritorder/kernel';
import type { FoundModel } from '../internal/fleet-join.v1.js';
import type { BackendConfig, MeritorderConfig } from './meritorder-config.js';

export interface JoinedBackend {
  backend: BackendConfig;
  routes: readonly string[];
}

const LONGEST_ID = 64;
const CONTEXT_UNKNOWN =
  'the engine does not say how many tokens it takes: set contextTokens in "joins"; of a model that is not loaded Ollama says it where the model has a num_ctx, else it takes OLLAMA_CONTEXT_LENGTH and cuts what is longer without a word';

/**
 * The id of what a host's worker found: of its host, its model and, from the second engine on, the engine's place in the worker's
 * list; so the same engine has the same id however often it and its worker are started, and whichever of them comes first.
 */
export function joinedBackendId({ host, model, engine }: Pick<FoundModel, 'host' | 'model' | 'engine'>): string {
  const suffix = engine > 1 ? `-e${engine}` : '';
  const name = model.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  return `${`${host}-${name}`.slice(0, LONGEST_ID - suffix.length).replace(/-+$/, '')}${suffix}`;
}

/**
 * What a found model becomes by the configuration's `joins`: the first of its host that names its model, else the first that names
 * none. Or why it becomes nothing, in words for the host's log.
 */
export function joinedBackend(
  config: Pick<MeritorderConfig, 'joins' | 'backends' | 'routes'>,
  found: FoundModel,
): JoinedBackend | { refused: string } {
  const joins = config.joins.filter((j) => j.host === found.host);
  const join = joins.find((j) => j.model === found.model) ?? joins.find((j) => j.model === undefined);
  if (!join) return { refused: `no entry of "joins" is for "${found.model}" on ${found.host}` };
  const contextTokens = Math.min(join.contextTokens ?? Infinity, found.contextTokens ?? Infinity);
  if (contextTokens === Infinity) return { refused: CONTEXT_UNKNOWN };
  const id = joinedBackendId(found);
  if (!isSlug(id)) return { refused: `"${id}" cannot be the id of a backend` };
  const other = config.backends.find((b) => b.id === id);
  if ((other && !isSameEngine(other, found)) || config.routes.some((r) => r.id === id))
    return { refused: `"${id}" is the id of something else` };
  const { host, model: _any, routes, ...settings } = join;
  const maxOutputTokens = Math.min(settings.maxOutputTokens, contextTokens);
  const { model, baseUrl } = found;
  return {
    backend: { ...settings, id, kind: 'local', host, model, baseUrl, contextTokens, maxOutputTokens },
    routes,
  };
}

/**
 * Takes a found model into a configuration in force, in place of what was known of it before.
 * @returns why not, if so; then it is no backend any more.
 */
export function joinFleet(config: MeritorderConfig, found: FoundModel): string | undefined {
  const joined = joinedBackend(config, found);
  if ('refused' in joined) {
    const id = joinedBackendId(found);
    const known = config.backends.find((b) => b.id === id);
    if (known && isSameEngine(known, found)) leaveFleet(config, id);
    return joined.refused;
  }
  const { backend, routes } = joined;
  const at = config.backends.findIndex((b) => b.id === backend.id);
  if (at === -1) config.backends.push(backend);
  else config.backends[at] = backend;
  for (const route of config.routes)
    if (routes.includes(route.id) && !route.backends.includes(backend.id)) route.backends.push(backend.id);
  return undefined;
}

/** Takes a joined backend out of a configuration in force, and out of its routes. */
export function leaveFleet(config: MeritorderConfig, id: string): void {
  config.backends = config.backends.filter((b) => b.id !== id);
  for (const route of config.routes) route.backends = route.backends.filter((b) => b !== id);
}

/** Its engine may have another address now. */
function isSameEngine(backend: BackendConfig, found: FoundModel): boolean {
  return backend.kind === 'local' && backend.host === found.host && backend.model === found.model;
}
