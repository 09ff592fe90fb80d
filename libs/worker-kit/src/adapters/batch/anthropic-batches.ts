import { z } from 'zod';
import type {
  BatchAccount,
  BatchApi,
  BatchCall,
  BatchEnds,
  CallEnd,
  FoundBatch,
  SoughtBatch,
} from '../../application/batch/batch-ports.js';
import { ANTHROPIC_VERSION } from '../anthropic-upstream.js';
import { urlAt } from '../url-at.js';
import { askFirstLine, askJson, askText, checked, jsonLines } from './batch-http.js';

const PAGE = 100;
/** Of the list; in one minute no account makes so many batches. */
const MOST_PAGES = 20;
/** By which its clock and ours may differ, and a batch may be made after its request was sent. */
const CREATED_BEFORE_MS = 60_000;
const CREATED_AFTER_MS = 180_000;

const Taken = z.object({ id: z.string().min(1) });
const Count = z.int().min(0);
const Listed = Taken.extend({
  created_at: z.iso.datetime({ offset: true }),
  processing_status: z.string(),
  // Those that add up to the size of a batch.
  request_counts: z.object({ processing: Count, succeeded: Count, errored: Count, canceled: Count, expired: Count }),
});
const Page = z
  .object({ data: z.array(Listed), has_more: z.boolean(), last_id: z.string().nullish() })
  .refine((page) => !page.has_more || page.last_id != null, {
    path: ['last_id'],
    message: 'there is more, and not after what',
  });
const Status = z.object({ processing_status: z.string() });
const Identified = z.object({ custom_id: z.string() });
const Failure = z.object({ error: z.object({ type: z.string().optional(), message: z.string().optional() }) });
const Result = Identified.extend({
  result: z
    .object({
      type: z.string(),
      message: z.record(z.string(), z.unknown()).optional(),
      // Words for people: what is not as expected of them is no reason to doubt the rest.
      error: Failure.optional().catch(undefined),
    })
    .refine(({ type, message }) => type !== 'succeeded' || message !== undefined, {
      path: ['message'],
      message: 'succeeded without one',
    }),
});

/**
 * Anthropic's message batches, in which only what succeeded is charged. A batch has no name there, and tells the ids of its calls
 * in its results alone: one that was perhaps taken is found again, when it has ended, among those of its time and size.
 */
export class AnthropicBatches implements BatchApi {
  async submit(account: BatchAccount, _name: string, calls: readonly BatchCall[]): Promise<string> {
    const answer = await askJson(at(account, ''), {
      method: 'POST',
      headers: headersOf(account),
      body: JSON.stringify({ requests: calls.map((call) => ({ custom_id: call.id, params: call.body })) }),
    });
    return checked(Taken, answer, 'a batch that was taken').id;
  }

  async find(account: BatchAccount, { sentAtMs, ids }: SoughtBatch): Promise<FoundBatch | undefined> {
    let notYet = false;
    for await (const batch of newestFirst(account)) {
      const createdAtMs = Date.parse(batch.created_at);
      if (createdAtMs < sentAtMs - CREATED_BEFORE_MS) break;
      const size = Object.values(batch.request_counts).reduce((sum, n) => sum + n, 0);
      if (createdAtMs > sentAtMs + CREATED_AFTER_MS || size !== ids.size) continue;
      const providerId = batch.id;
      if (batch.processing_status !== 'ended') notYet = true;
      else if (await startsWithOneOf(ids, account, providerId)) return { providerId };
    }
    return notYet ? { notYet } : undefined;
  }

  async ends(account: BatchAccount, providerId: string): Promise<BatchEnds | undefined> {
    const path = `/${encodeURIComponent(providerId)}`;
    const batch = checked(Status, await askJson(at(account, path), { headers: headersOf(account) }), 'a batch');
    if (batch.processing_status !== 'ended') return undefined;
    const text = await askText(at(account, `${path}/results`), { headers: headersOf(account) });
    const results = jsonLines(text).map((line, i) => checked(Result, line, `result ${i + 1} of a batch`));
    return { of: new Map(results.map((line) => [line.custom_id, endOf(line)])), others: undefined };
  }

  async cancel(account: BatchAccount, providerId: string): Promise<void> {
    const path = `/${encodeURIComponent(providerId)}/cancel`;
    await askJson(at(account, path), { method: 'POST', headers: headersOf(account) });
  }
}

async function* newestFirst(account: BatchAccount): AsyncIterable<z.infer<typeof Listed>> {
  let after = '';
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await askJson(`${at(account, '')}?limit=${PAGE}${after}`, { headers: headersOf(account) });
    const { data, has_more: hasMore, last_id: last } = checked(Page, answer, 'the list of batches');
    yield* data;
    if (!hasMore || last == null) return;
    after = `&after_id=${encodeURIComponent(last)}`;
  }
}

/** Ids are of one batch alone, so that one of them tells whose it is. */
async function startsWithOneOf(ids: ReadonlySet<string>, account: BatchAccount, providerId: string): Promise<boolean> {
  const path = `/${encodeURIComponent(providerId)}/results`;
  const [first] = jsonLines(await askFirstLine(at(account, path), { headers: headersOf(account) }));
  return first !== undefined && ids.has(checked(Identified, first, 'result 1 of a batch').custom_id);
}

function at({ credential }: BatchAccount, path: string): string {
  return urlAt(credential.baseUrl, `/messages/batches${path}`);
}

function headersOf({ backend, credential }: BatchAccount): Record<string, string> {
  return {
    'content-type': 'application/json',
    'anthropic-version': ANTHROPIC_VERSION,
    ...(backend.betas?.length ? { 'anthropic-beta': backend.betas.join(',') } : {}),
    ...(credential.apiKey === undefined ? {} : { 'x-api-key': credential.apiKey }),
  };
}

function endOf({ result }: z.infer<typeof Result>): CallEnd {
  if (result.type === 'succeeded') return { reply: { status: 200, body: JSON.stringify(result.message) } };
  const { type, message } = result.error?.error ?? {};
  return { notRun: [result.type, type, message].filter((said) => said !== undefined).join(': ') };
}
