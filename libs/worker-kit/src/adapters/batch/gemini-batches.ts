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
import { askHeader, askJson, askText, beforehand, jsonLines } from './batch-http.js';

type Json = Record<string, unknown>;

const PAGE = 100;
/** Of the list, of which nobody says in what order it is. */
const MOST_PAGES = 20;
const TYPE = 'application/jsonl';
/** Of BATCH_STATE_..., which the guide calls JOB_STATE_... */
const ENDED = /_STATE_(SUCCEEDED|FAILED|CANCELLED|EXPIRED)$/;

/**
 * Gemini's: a file of calls by key, answered into a file by the same keys. Calls that are sent without a file come back without
 * what tells them apart, and in any order.
 */
export class GeminiBatches implements BatchApi {
  async submit(account: BatchAccount, name: string, calls: readonly BatchCall[]): Promise<string> {
    const fileName = await beforehand(upload(account, name, calls));
    const path = calls[0]!.path.replace(/:generateContent$/, ':batchGenerateContent');
    const batch = { displayName: name, inputConfig: { fileName } };
    return nameOf(await ask(account, path, { method: 'POST', body: JSON.stringify({ batch }) }), 'a batch');
  }

  async find(account: BatchAccount, { name }: SoughtBatch): Promise<FoundBatch | undefined> {
    let after = '';
    for (let page = 0; page < MOST_PAGES; page++) {
      const list = await ask(account, '/batches', {}, `?pageSize=${PAGE}${after}`);
      const found = ((list['operations'] ?? []) as Json[]).find(
        (batch) => objectIn(batch, 'metadata')['displayName'] === name,
      );
      if (found) return { providerId: nameOf(found, 'a batch') };
      const { nextPageToken: next } = list;
      if (typeof next !== 'string' || next === '') return undefined;
      after = `&pageToken=${encodeURIComponent(next)}`;
    }
    return undefined;
  }

  async ends(account: BatchAccount, providerId: string): Promise<BatchEnds | undefined> {
    const batch = await ask(account, pathOf(providerId));
    const about = objectIn(batch, 'metadata');
    const [, state] = ENDED.exec(String(about['state'])) ?? [];
    if (state === undefined) return undefined;
    const { requestCount, successfulRequestCount } = objectIn(about, 'batchStats');
    // Zeros are left out of counts.
    const counted = Number(successfulRequestCount ?? 0);
    const { responsesFile } = { ...objectIn(about, 'output'), ...objectIn(batch, 'response') };
    const hasFile = typeof responsesFile === 'string';
    // It may be said to have succeeded a moment before its file is there.
    if (state === 'SUCCEEDED' && !hasFile && counted > 0) return undefined;
    const of = hasFile ? await download(account, responsesFile) : new Map<string, CallEnd>();
    // What was answered is charged, and a batch that was cancelled or ran out of time may have answered some that it tells in no file.
    // So a line that is in none was not run only where all that were counted as answered are told.
    const answered = [...of.values()].filter((end) => 'reply' in end).length;
    if (requestCount === undefined || !(answered >= counted)) return { of, others: undefined };
    const error = JSON.stringify(batch['error'] ?? {});
    return { of, others: { notRun: `the batch ended as ${state.toLowerCase()}: ${error}` } };
  }

  async cancel(account: BatchAccount, providerId: string): Promise<void> {
    await ask(account, `${pathOf(providerId)}:cancel`, { method: 'POST' });
  }
}

/** Two calls: where it may go, and the file. @returns its name @throws UpstreamError */
async function upload(account: BatchAccount, name: string, calls: readonly BatchCall[]): Promise<string> {
  const bytes = Buffer.from(calls.map(({ id, body }) => JSON.stringify({ key: id, request: body })).join('\n'));
  const start = {
    method: 'POST',
    headers: {
      ...headersOf(account),
      'x-goog-upload-protocol': 'resumable',
      'x-goog-upload-command': 'start',
      'x-goog-upload-header-content-length': `${bytes.length}`,
      'x-goog-upload-header-content-type': TYPE,
    },
    body: JSON.stringify({ file: { displayName: name } }),
  };
  const url = await askHeader(besideVersion(account, 'upload', '/files'), start, 'x-goog-upload-url');
  // That address is the permission: nobody's key goes there.
  const answer = await askJson(url, {
    method: 'POST',
    headers: { 'content-type': TYPE, 'x-goog-upload-offset': '0', 'x-goog-upload-command': 'upload, finalize' },
    body: bytes,
  });
  return nameOf(objectIn(answer, 'file'), 'a file');
}

/** @throws UpstreamError */
async function download(account: BatchAccount, file: string): Promise<Map<string, CallEnd>> {
  const url = `${besideVersion(account, 'download', `${pathOf(file)}:download`)}?alt=media`;
  const text = await askText(url, { headers: headersOf(account) });
  return new Map(jsonLines(text).map((line) => [String(line['key']), endOf(line)]));
}

function endOf({ response, error }: Json): CallEnd {
  if (response !== undefined && response !== null) return { reply: { status: 200, body: JSON.stringify(response) } };
  const { code, message } = (error ?? {}) as Json;
  return { notRun: [code, message].filter((said) => said !== undefined).join(': ') };
}

function ask(account: BatchAccount, path: string, init: RequestInit = {}, query = ''): Promise<Json> {
  return askJson(urlAt(account.credential.baseUrl, path) + query, { ...init, headers: headersOf(account) });
}

function headersOf({ credential: { apiKey } }: BatchAccount): Record<string, string> {
  return { 'content-type': 'application/json', ...(apiKey === undefined ? {} : { 'x-goog-api-key': apiKey }) };
}

/** What is `/v1beta/...` for calls is `/upload/v1beta/...` for files that go there, and `/download/v1beta/...` for those that come. */
function besideVersion({ credential }: BatchAccount, what: string, path: string): string {
  const url = new URL(credential.baseUrl);
  url.pathname = url.pathname.replace(/\/([^/]+)\/*$/, `/${what}/$1${path}`);
  return url.href;
}

/** Of a resource's name, such as batches/123. */
function pathOf(name: string): string {
  return `/${name.split('/').map(encodeURIComponent).join('/')}`;
}

function objectIn(of: Json, name: string): Json {
  return (of[name] ?? {}) as Json;
}

/** @throws UpstreamError where it has none */
function nameOf({ name }: Json, what: string): string {
  if (typeof name === 'string') return name;
  throw new UpstreamError('protocol', `${what} without a name`, SENT_RETRYABLE);
}
