import type {
  BatchAccount,
  BatchApi,
  BatchCall,
  BatchEnds,
  CallEnd,
  FoundBatch,
  SoughtBatch,
} from '../../application/batch/batch-ports.js';
import { UpstreamError } from '../../application/ports.js';
import { ANTHROPIC_VERSION } from '../anthropic-upstream.js';
import { SENT_RETRYABLE } from '../transport.js';
import { urlAt } from '../url-at.js';
import { askFirstLine, askJson, askText, jsonLines } from './batch-http.js';

type Json = Record<string, unknown>;

const PAGE = 100;
/** Of the list; in one minute no account makes so many batches. */
const MOST_PAGES = 20;
/** By which its clock and ours may differ, and a batch may be made after its request was sent. */
const CREATED_BEFORE_MS = 60_000;
const CREATED_AFTER_MS = 180_000;

/**
 * Anthropic's message batches, in which only what succeeded is charged. A batch has no name there, and tells the ids of its calls
 * in its results alone: one that was perhaps taken is found again, when it has ended, among those of its time and size.
 */
export class AnthropicBatches implements BatchApi {
  async submit(account: BatchAccount, _name: string, calls: readonly BatchCall[]): Promise<string> {
    const { id } = await askJson(at(account, ''), {
      method: 'POST',
      headers: headersOf(account),
      body: JSON.stringify({ requests: calls.map((call) => ({ custom_id: call.id, params: call.body })) }),
    });
    if (typeof id === 'string') return id;
    throw new UpstreamError('protocol', 'a batch without an id', SENT_RETRYABLE);
  }

  async find(account: BatchAccount, { sentAtMs, ids }: SoughtBatch): Promise<FoundBatch | undefined> {
    let notYet = false;
    for await (const batch of newestFirst(account)) {
      const createdAtMs = Date.parse(String(batch['created_at']));
      if (createdAtMs < sentAtMs - CREATED_BEFORE_MS) break;
      const size = Object.values(batch['request_counts'] as Record<string, number>).reduce((sum, n) => sum + n, 0);
      if (createdAtMs > sentAtMs + CREATED_AFTER_MS || size !== ids.size) continue;
      const providerId = String(batch['id']);
      if (batch['processing_status'] !== 'ended') notYet = true;
      else if (ids.has(await firstIdOf(account, providerId))) return { providerId };
    }
    return notYet ? { notYet } : undefined;
  }

  async ends(account: BatchAccount, providerId: string): Promise<BatchEnds | undefined> {
    const path = `/${encodeURIComponent(providerId)}`;
    const { processing_status: status } = await askJson(at(account, path), { headers: headersOf(account) });
    if (status !== 'ended') return undefined;
    const text = await askText(at(account, `${path}/results`), { headers: headersOf(account) });
    const of = jsonLines(text).map((line) => [String(line['custom_id']), endOf(line['result'] as Json)] as const);
    return { of: new Map(of), others: undefined };
  }

  async cancel(account: BatchAccount, providerId: string): Promise<void> {
    const path = `/${encodeURIComponent(providerId)}/cancel`;
    await askJson(at(account, path), { method: 'POST', headers: headersOf(account) });
  }
}

async function* newestFirst(account: BatchAccount): AsyncIterable<Json> {
  let after = '';
  for (let page = 0; page < MOST_PAGES; page++) {
    const list = await askJson(`${at(account, '')}?limit=${PAGE}${after}`, { headers: headersOf(account) });
    yield* list['data'] as Json[];
    if (list['has_more'] !== true) return;
    after = `&after_id=${encodeURIComponent(String(list['last_id']))}`;
  }
}

/** Ids are of one batch alone, so that one of them tells whose it is. */
async function firstIdOf(account: BatchAccount, providerId: string): Promise<string> {
  const path = `/${encodeURIComponent(providerId)}/results`;
  const [first] = jsonLines(await askFirstLine(at(account, path), { headers: headersOf(account) }));
  return String(first?.['custom_id']);
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

function endOf(result: Json): CallEnd {
  if (result['type'] === 'succeeded') return { reply: { status: 200, body: JSON.stringify(result['message']) } };
  const { error } = (result['error'] ?? {}) as { error?: Json };
  return {
    notRun: [result['type'], error?.['type'], error?.['message']].filter((s) => typeof s === 'string').join(': '),
  };
}
