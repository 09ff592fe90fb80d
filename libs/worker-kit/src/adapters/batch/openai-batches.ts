import type { BackendConfig } from '@meritorder/contracts';
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

/** How Azure differs: its calls are named without the version, it has another header, and its files take a while. */
const AZURE: BackendConfig['protocol'] = 'azure';
const FILE_READY_WITHIN_MS = 60_000;
const FILE_ASKED_EVERY_MS = 1_000;
/** Azure's word for a file that it still looks at. */
const NOT_READY: ReadonlySet<unknown> = new Set(['pending', 'running', 'notRunning', 'uploaded']);

/**
 * OpenAI's, and Azure's: a file of calls, answered within a day into a file of answers and one of errors, which are not charged.
 */
export class OpenAiBatches implements BatchApi {
  async submit(account: BatchAccount, name: string, calls: readonly BatchCall[]): Promise<string> {
    const { path } = calls[0]!;
    const endpoint = account.backend.protocol === AZURE ? path : `/v1${path}`;
    const lines = calls.map(({ id, body }) => JSON.stringify({ custom_id: id, method: 'POST', url: endpoint, body }));
    const form = new FormData();
    form.set('purpose', 'batch');
    form.set('file', new Blob([lines.join('\n')], { type: 'application/jsonl' }), `${name}.jsonl`);
    const file = await this.upload(account, form).catch((error: unknown) => {
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

  private async upload(account: BatchAccount, form: FormData): Promise<Json> {
    let file = await this.ask(account, '/files', { method: 'POST', body: form });
    if (account.backend.protocol !== AZURE) return file;
    const until = Date.now() + FILE_READY_WITHIN_MS;
    while (NOT_READY.has(file['status']) && Date.now() < until) {
      await new Promise((r) => setTimeout(r, FILE_ASKED_EVERY_MS));
      file = await this.ask(account, `/files/${encodeURIComponent(idOf(file))}`);
    }
    return file;
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
          const url = urlOf(account, `/files/${encodeURIComponent(id)}/content`);
          for (const line of jsonLines(await askText(url, authorized(account))))
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
    return askJson(urlOf(account, path), authorized(account, init));
  }
}

/** Files and batches are the resource's, of whatever deployment a base URL of Azure names. */
function urlOf({ credential }: BatchAccount, path: string): string {
  const [pathname, query] = path.split('?', 2);
  const url = new URL(urlAt(credential.baseUrl.replace(DEPLOYMENT, ''), pathname!));
  for (const [name, value] of new URLSearchParams(query)) url.searchParams.set(name, value);
  return url.href;
}
const DEPLOYMENT = /\/deployments\/[^/?]+/;

function authorized({ backend, credential: { apiKey } }: BatchAccount, init: RequestInit = {}): RequestInit {
  const key: Record<string, string> =
    apiKey === undefined
      ? {}
      : backend.protocol === AZURE
        ? { 'api-key': apiKey }
        : { authorization: `Bearer ${apiKey}` };
  return { ...init, headers: { ...(init.headers as Record<string, string>), ...key } };
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
