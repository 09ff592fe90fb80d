import type { BackendConfig } from '@meritorder/contracts';
import type { BatchAccount, CallEnd } from '../../application/batch/batch-ports.js';
import { UpstreamError } from '../../application/ports.js';
import { SENT_RETRYABLE } from '../transport.js';
import { urlAt } from '../url-at.js';
import { askJson, askText, beforehand, jsonLines } from './batch-http.js';

/** What OpenAI's batches, Azure's and Mistral's have in common: calls come in a file, and their ends go out in files. */

export type Json = Record<string, unknown>;

/** Under which a batch has its name. */
export const NAME = 'meritorder_batch';
export const AZURE: BackendConfig['protocol'] = 'azure';

const FILE_READY_WITHIN_MS = 60_000;
const FILE_ASKED_EVERY_MS = 1_000;
/** Azure's words for a file that it still looks at. */
const NOT_READY: ReadonlySet<unknown> = new Set(['pending', 'running', 'notRunning', 'uploaded']);

/** @returns its id @throws UpstreamError */
export function uploadFile(account: BatchAccount, name: string, lines: readonly string[]): Promise<string> {
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', new Blob([lines.join('\n')], { type: 'application/jsonl' }), `${name}.jsonl`);
  const upload = async (): Promise<string> =>
    idOf(await readied(account, await ask(account, '/files', { method: 'POST', body: form })));
  return beforehand(upload());
}

/**
 * Takes away the files that the calls of a batch came in, once it has ended: Azure takes no batch more where a resource has 500,
 * and nobody reads them again. No harm is done where one stays: it may be gone already, or the key may not delete.
 */
export async function deleteFiles(account: BatchAccount, files: readonly unknown[]): Promise<void> {
  const ids = files.filter(isId);
  await Promise.allSettled(ids.map((id) => ask(account, `/files/${encodeURIComponent(id)}`, { method: 'DELETE' })));
}

/** Some providers write an empty one where there is none. */
function isId(file: unknown): file is string {
  return typeof file === 'string' && file !== '';
}

async function readied(account: BatchAccount, file: Json): Promise<Json> {
  const until = Date.now() + FILE_READY_WITHIN_MS;
  let now = file;
  while (account.backend.protocol === AZURE && NOT_READY.has(now['status']) && Date.now() < until) {
    await new Promise((r) => setTimeout(r, FILE_ASKED_EVERY_MS));
    now = await ask(account, `/files/${encodeURIComponent(idOf(file))}`);
  }
  return now;
}

/** How the calls ended that are in these files; what is no id of one is passed over. @throws UpstreamError */
export async function endsIn(account: BatchAccount, files: readonly unknown[]): Promise<Map<string, CallEnd>> {
  const of = new Map<string, CallEnd>();
  for (const id of files.filter(isId)) {
    const url = urlOf(account, `/files/${encodeURIComponent(id)}/content`);
    for (const line of jsonLines(await askText(url, authorized(account))))
      of.set(String(line['custom_id']), endOf(line));
  }
  return of;
}

/** The one of a list that has a name. */
export function named(data: unknown, name: string): { providerId: string } | undefined {
  const found = (data as Json[]).find((b) => (b['metadata'] as Json | null)?.[NAME] === name);
  return found && { providerId: idOf(found) };
}

/** @throws UpstreamError */
export function ask(account: BatchAccount, path: string, init: RequestInit = {}): Promise<Json> {
  return askJson(urlOf(account, path), authorized(account, init));
}

export function posted(body: object): RequestInit {
  return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

export function idOf({ id }: Json): string {
  if (typeof id === 'string') return id;
  throw new UpstreamError('protocol', 'a batch without an id', SENT_RETRYABLE);
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
