import {
  joinedBackend,
  joinedBackendId,
  type BackendConfig,
  type FleetJoinReply,
  type FleetJoinRequest,
  type FoundModel,
  type MeritorderConfig,
} from '@meritorder/contracts';

/** What a host's worker is answered, and what of the fleet's record changes by that. */
export interface JoinedHost {
  reply: FleetJoinReply;
  join: { id: string; found: FoundModel }[];
  /** Served by an engine that answered, once; no more. */
  leave: string[];
}

/** The id is in use by something that did not join. */
const TAKEN = 'its id is that of a configured backend';

/**
 * Decides what joins and what leaves. Pure.
 * @param known what has joined before, by id
 * @returns undefined where the configuration lets no worker of this host join.
 */
export function joinHost(
  config: Pick<MeritorderConfig, 'joins' | 'hosts' | 'backends' | 'routes' | 'limits'>,
  known: ReadonlyMap<string, FoundModel>,
  hostId: string,
  { found, answered }: FleetJoinRequest,
): JoinedHost | undefined {
  const host = config.hosts.find((h) => h.id === hostId);
  if (!host || !config.joins.some((j) => j.host === hostId)) return undefined;
  const backends: BackendConfig[] = [];
  const join: JoinedHost['join'] = [];
  const refused: FleetJoinReply['refused'] = [];
  for (const one of found) {
    const model: FoundModel = { ...one, host: hostId };
    const id = joinedBackendId(model);
    const joined = joinedBackend(config, model);
    const taken = !known.has(id) && config.backends.some((b) => b.id === id);
    const twice = join.some((j) => j.id === id);
    if ('refused' in joined || taken || twice) {
      const why = 'refused' in joined ? joined.refused : taken ? TAKEN : `"${id}" is the id of another of its models`;
      refused.push({ model: model.model, why });
      continue;
    }
    backends.push(joined.backend);
    join.push({ id, found: model });
  }
  const leave = [...known].flatMap(([id, was]) =>
    was.host === hostId && answered.includes(was.engine) && !join.some((j) => j.id === id) ? [id] : [],
  );
  const meters = host.power?.meters ?? [];
  return {
    reply: { backends, limits: config.limits, host: { id: host.id, gpus: host.gpus, meters }, refused },
    join,
    leave,
  };
}
