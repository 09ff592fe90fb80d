import { backendsByModel, type MeritorderConfig } from '@meritorder/contracts';

export interface Model {
  id: string;
  name: string;
  owner: string;
}

type Named = Pick<MeritorderConfig, 'orgs' | 'routes' | 'backends'>;

/** The routes, with their further names, and the backends that an org may name as `model`, routes first. */
export function modelsOf(config: Named, orgId: string): Model[] {
  const may = allowed(config, orgId);
  return [
    ...config.routes
      .filter((r) => may(r.id))
      .flatMap((r) => [r.id, ...r.aliases].map((id) => ({ id, name: id, owner: 'meritorder' }))),
    ...config.backends.filter((b) => may(b.id)).map((b) => ({ id: b.id, name: b.name ?? b.id, owner: b.provider })),
  ];
}

/** What an org may name as `id`: one of these, or a model as one provider calls it. */
export function modelNamed(config: Named, orgId: string, id: string): Model | undefined {
  const listed = modelsOf(config, orgId).find((m) => m.id === id);
  if (listed) return listed;
  const named = backendsByModel(config.backends).get(id) ?? [];
  const served = named === 'ambiguous' ? undefined : named.find((b) => allowed(config, orgId)(b.id));
  return served && { id, name: served.name ?? served.id, owner: served.provider };
}

function allowed({ orgs }: Named, orgId: string): (id: string) => boolean {
  const routes = orgs.find((o) => o.id === orgId)?.routes;
  return (id) => routes === undefined || routes.includes(id);
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
