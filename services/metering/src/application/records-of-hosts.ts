import type { BackendConfig, UsageAttemptClosedV1 } from '@meritorder/contracts';

type UsageRecord = Pick<UsageAttemptClosedV1, 'attemptId' | 'backend'>;

/**
 * Why a record is of no attempt of the host whose worker published it, by the configuration; undefined: it may be. NATS lets a
 * worker publish on its host's own subject alone; those of the centre, without a host, are believed. A backend that has just left
 * the fleet is in no configuration any more, and what it did is still booked.
 */
export function foreignByBackend(
  { backend }: UsageRecord,
  host: string | undefined,
  configured: (id: string) => Pick<BackendConfig, 'host'> | undefined,
): string | undefined {
  const known = host === undefined ? undefined : configured(backend);
  if (!known || known.host === host) return undefined;
  return `host ${host} may not speak for ${backend}, which is ${known.host ? `of host ${known.host}` : 'of no host'}`;
}

/** The same by the books: routers open attempts, and a host closes none that is on record at another backend, or at none. */
export function foreignByBooks(
  { attemptId, backend }: UsageRecord,
  host: string | undefined,
  recordedBackends: ReadonlyMap<string, string>,
): string | undefined {
  const recorded = recordedBackends.get(attemptId);
  if (host === undefined || recorded === backend) return undefined;
  if (recorded === undefined) return `host ${host} may not close attempt ${attemptId}, which no router has opened`;
  return `host ${host} may not close attempt ${attemptId} of ${recorded} as one of ${backend}`;
}
