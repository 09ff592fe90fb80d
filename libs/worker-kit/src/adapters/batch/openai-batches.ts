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
import { SENT_RETRYABLE } from '../transport.js';
import { urlAt } from '../url-at.js';
import { askJson, askText, jsonLines } from './batch-http.js';

/** Under which a batch has its name. */
const NAME = 'meritorder_batch';
/** The newest so many are looked through for a name. */
const PAGE = 100;

type Json = Record<string, unknown>;

/** OpenAI's: a file of calls, answered within a day into a file of answers and one of errors, which are not charged. */
export class OpenAiBatches implements BatchApi {
  async submit(account: BatchAccount, name: string, calls: readonly BatchCall[]): Promise<string> {
    const endpoint = `/v1${calls[0]!.path}`;
    const lines = calls.map(({ id, body }) => JSON.stringify({ custom_id: id, method: 'POST', url: endpoint, body }));
    const form = new FormData();
    form.set('purpose', 'batch');
    form.set('file', new Blob([lines.join('\n')], { type: 'application/jsonl' }), `${name}.jsonl`);
    const file = await this.ask(account, '/files', { method: 'POST', body: form }).catch((error: unknown) => {
      // A file alone is no batch, whatever became of it.
      if (!(error instanceof UpstreamError)) throw error;
      throw new UpstreamError(error.code, error.message, { ...error.details, refusedUpstream: true });
    });
    const batch = await this.ask(account, '/batches', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        input_file_id: file['id'],
        endpoint,
        completion_window: '24h',
        metadata: { [NAME]: name },
      }),
    });
    return idOf(batch);
  }

  async find(account: BatchAccount, { name }: SoughtBatch): Promise<FoundBatch | undefined> {
    const { data } = await this.ask(account, `/batches?limit=${PAGE}`);
    const found = (data as Json[]).find((b) => (b['metadata'] as Json | null)?.[NAME] === name);
    return found && { providerId: idOf(found) };
  }

  async ends(account: BatchAccount, providerId: string): Promise<BatchEnds | undefined> {
    const batch = await this.ask(account, `/batches/${encodeURIComponent(providerId)}`);
    switch (batch['status']) {
      case 'failed':
        return { of: new Map(), others: { notRun: `the batch was refused: ${JSON.stringify(batch['errors'])}` } };
      case 'completed':
      case 'expired':
      case 'cancelled': {
        const files = [batch['output_file_id'], batch['error_file_id']].filter((id) => typeof id === 'string');
        const of = new Map<string, CallEnd>();
        for (const id of files) {
          const path = `/files/${encodeURIComponent(id)}/content`;
          for (const line of jsonLines(await askText(urlAt(account.credential.baseUrl, path), authorized(account))))
            of.set(String(line['custom_id']), endOf(line));
        }
        // What was run before a batch was cancelled is in its output, and alone charged for.
        const others = batch['status'] === 'cancelled' ? { notRun: 'the batch was cancelled' } : undefined;
        return { of, others };
      }
    }
    return undefined;
  }

  async cancel(account: BatchAccount, providerId: string): Promise<void> {
    await this.ask(account, `/batches/${encodeURIComponent(providerId)}/cancel`, { method: 'POST' });
  }

  private ask(account: BatchAccount, path: string, init: RequestInit = {}): Promise<Json> {
    const [pathname, query] = path.split('?', 2);
    const url = urlAt(account.credential.baseUrl, pathname!) + (query === undefined ? '' : `?${query}`);
    return askJson(url, authorized(account, init));
  }
}

function authorized({ credential: { apiKey } }: BatchAccount, init: RequestInit = {}): RequestInit {
  return {
    ...init,
    headers: { ...(init.headers as Record<string, string>), ...(apiKey ? { authorization: `Bearer ${apiKey}` } : {}) },
  };
}

function endOf(line: Json): CallEnd {
  const response = line['response'] as { status_code: number; body: unknown } | null;
  if (response) return { reply: { status: response.status_code, body: JSON.stringify(response.body) } };
  const { code, message } = (line['error'] ?? {}) as Json;
  return { notRun: [code, message].filter((said) => typeof said === 'string').join(': ') };
}

function idOf({ id }: Json): string {
  if (typeof id === 'string') return id;
  throw new UpstreamError('protocol', 'a batch without an id', SENT_RETRYABLE);
}
