import type { DataSource } from 'typeorm';

export interface KeptResponse {
  org: string;
  id: string;
  previous: string | undefined;
  /** JSON of a list of items: what was new in its request. */
  input: string;
  /** Its items that have an id, as JSON. */
  items: readonly { id: string; item: string }[];
  /** JSON. */
  response: string;
}

/** Responses that a conversation may have. */
export const MOST_TURNS = 1_000;

/** Once: what is kept under an id stays what it was. */
export async function keepResponse(source: DataSource, kept: KeptResponse, keptMs: number): Promise<void> {
  await source.query(
    `with response as (
       insert into kept_responses (org, id, previous, input, response, expires_at)
       values ($1, $2, $3, $4, $5, now() + $6 * interval '1 ms')
       on conflict do nothing returning org, id)
     insert into kept_response_items (org, id, response_id, item)
     select r.org, i.id, r.id, i.item from response r, unnest($7::text[], $8::text[]) as i (id, item)
     on conflict do nothing`,
    [
      kept.org,
      kept.id,
      kept.previous ?? null,
      kept.input,
      kept.response,
      keptMs,
      kept.items.map(({ id }) => id),
      kept.items.map(({ item }) => item),
    ],
  );
}

/**
 * What was asked and answered up to a response, the first turn first; JSON. Undefined: it, or one that it goes on from, is not kept,
 * or there are more than MOST_TURNS.
 */
export async function turnsUpTo(
  source: DataSource,
  org: string,
  id: string,
): Promise<{ input: string; response: string }[] | undefined> {
  const turns: { input: string; response: string; previous: string | null }[] = await source.query(
    `with recursive turn as (
       select 1 as depth, r.* from kept_responses r where r.org = $1 and r.id = $2 and r.expires_at > now()
       union all
       select t.depth + 1, r.* from turn t join kept_responses r on r.org = t.org and r.id = t.previous
       where r.expires_at > now() and t.depth < $3)
     select input, response, previous from turn order by depth desc`,
    [org, id, MOST_TURNS],
  );
  return turns[0]?.previous === null ? turns : undefined;
}

/** Those of these items that are kept, by id; JSON. */
export async function itemsById(source: DataSource, org: string, ids: readonly string[]): Promise<Map<string, string>> {
  const rows: { id: string; item: string }[] = await source.query(
    `select i.id, i.item from kept_response_items i join kept_responses r on r.org = i.org and r.id = i.response_id
     where i.org = $1 and i.id = any($2) and r.expires_at > now()`,
    [org, ids],
  );
  return new Map(rows.map(({ id, item }) => [id, item]));
}

/** JSON; undefined: it is not kept. */
export async function responseById(source: DataSource, org: string, id: string): Promise<string | undefined> {
  const [row]: { response: string }[] = await source.query(
    `select response from kept_responses where org = $1 and id = $2 and expires_at > now()`,
    [org, id],
  );
  return row?.response;
}

/** @returns whether there was one */
export async function forgetResponse(source: DataSource, org: string, id: string): Promise<boolean> {
  const [, deleted]: [unknown, number] = await source.query(`delete from kept_responses where org = $1 and id = $2`, [
    org,
    id,
  ]);
  return deleted > 0;
}

/** Forgets what has ended, some of it at a time. @returns how many. */
export async function forgetEndedResponses(source: DataSource, limit: number): Promise<number> {
  const [, deleted]: [unknown, number] = await source.query(
    `delete from kept_responses where (org, id) in (
       select org, id from kept_responses where expires_at <= now() limit $1 for update skip locked)`,
    [limit],
  );
  return deleted;
}
