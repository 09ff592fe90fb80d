import type { BatchAccount, BatchApi, BatchCall, BatchEnds, CallEnd } from '../../application/batch/batch-ports.js';
import { UpstreamError } from '../../application/ports.js';
import { ANTHROPIC_VERSION } from '../anthropic-upstream.js';
import { SENT_RETRYABLE } from '../transport.js';
import { urlAt } from '../url-at.js';
import { askJson, askText, jsonLines } from './batch-http.js';

type Json = Record<string, unknown>;

/** Anthropic's message batches, in which only what succeeded is charged. A batch has no name there, so one is not found again. */
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

  async find(): Promise<undefined> {
    return undefined;
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
