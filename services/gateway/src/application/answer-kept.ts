import type { Refusal } from '@meritorder/contracts';
import type { StoredAnswer } from './ports/idempotency.js';
import type { ResponseStore } from './ports/responses.js';

/** A response that is kept, read (`GET`) or forgotten (`DELETE`) by its id. @throws when Postgres cannot be asked */
export async function answerKept(
  responses: ResponseStore | undefined,
  method: string,
  org: string,
  id: string,
): Promise<StoredAnswer | Refusal> {
  const found = method === 'DELETE' ? await forgotten(responses, org, id) : await responses?.responseById(org, id);
  if (found === undefined)
    return { code: 'response_unknown', message: 'No response is kept under this id, or not any more.' };
  return { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from(found) };
}

async function forgotten(responses: ResponseStore | undefined, org: string, id: string): Promise<string | undefined> {
  const was = await responses?.forget(org, id);
  return was ? JSON.stringify({ id, object: 'response', deleted: true }) : undefined;
}
