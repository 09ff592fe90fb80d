import type { MeritorderConfig } from '@meritorder/contracts';

export interface Model {
  id: string;
  name: string;
  owner: string;
}

/** The routes and backends that an org may name as `model`, routes first. */
export function modelsOf(config: Pick<MeritorderConfig, 'orgs' | 'routes' | 'backends'>, orgId: string): Model[] {
  const org = config.orgs.find((o) => o.id === orgId);
  const may = (id: string): boolean => org?.routes === undefined || org.routes.includes(id);
  return [
    ...config.routes.filter((r) => may(r.id)).map((r) => ({ id: r.id, name: r.id, owner: 'meritorder' })),
    ...config.backends.filter((b) => may(b.id)).map((b) => ({ id: b.id, name: b.name ?? b.id, owner: b.provider })),
  ];
}

/** What an org may name as `id`: a route, a backend, or a model as its provider calls it where one backend serves that. */
export function modelNamed(
  config: Pick<MeritorderConfig, 'orgs' | 'routes' | 'backends'>,
  orgId: string,
  id: string,
): Model | undefined {
  const models = modelsOf(config, orgId);
  const listed = models.find((m) => m.id === id);
  if (listed) return listed;
  const [only, ...others] = config.backends.filter((b) => b.model === id || `${b.provider}/${b.model}` === id);
  const served = others.length === 0 && models.find((m) => m.id === only?.id);
  return served ? { ...served, id } : undefined;
}

/** When a model came out is not known here: both dialects take the epoch for that. */
const UNKNOWN_TIME = new Date(0);

export function openAiModel({ id, owner }: Model): object {
  return { id, object: 'model', created: UNKNOWN_TIME.getTime() / 1_000, owned_by: owner };
}

export function anthropicModel({ id, name }: Model): object {
  return { type: 'model', id, display_name: name, created_at: UNKNOWN_TIME.toISOString() };
}

export function openAiModels(models: Model[]): object {
  return { object: 'list', data: models.map(openAiModel) };
}

export function anthropicModels(models: Model[]): object {
  return {
    data: models.map(anthropicModel),
    has_more: false,
    first_id: models[0]?.id ?? null,
    last_id: models.at(-1)?.id ?? null,
  };
}
