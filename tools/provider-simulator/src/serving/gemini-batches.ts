import type { IncomingMessage, ServerResponse } from 'node:http';
import { invalid } from '../engine/refusal.js';
import { asObject, asText } from '../wire/fields.js';
import { geminiGenerate } from '../wire/gemini-generate.js';
import { sendJson, sendText } from './answering.js';
import { cancel, sendTaken } from './batch-routes.js';
import type { Batch, Batches, BatchLine, LineEnd } from './batches.js';
import { readBytes, readJson } from './body.js';
import type { Site } from './routes.js';

const UPLOAD = '/upload/v1beta/files';
const LIST = '/v1beta/batches';
const CREATE = /^\/v1beta\/models\/([^/:]+):batchGenerateContent$/;
const BATCH = /^\/v1beta\/(batches\/[^/:]+)(:cancel)?$/;
const DOWNLOAD = /^\/download\/v1beta\/files\/([^/:]+):download$/;

/** Gemini's batches by file. @returns false: it is none of their paths */
export async function routeGeminiBatches(
  site: Site,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<boolean> {
  const { batches, config, calls } = site;
  const [, model] = CREATE.exec(path) ?? [];
  const [, id, asked] = BATCH.exec(path) ?? [];
  const [, file] = DOWNLOAD.exec(path) ?? [];
  const query = new URLSearchParams(request.url?.split('?', 2)[1]);
  const post = request.method === 'POST';
  const told = (batch: Batch): unknown => operationOf(site, batch);
  if (post && path === UPLOAD && query.has('upload_id')) {
    if (request.headers['x-goog-upload-command'] !== 'upload, finalize') throw invalid('The file must come at once.');
    // Whoever was told the address may use it.
    const text = (await readBytes(request, config.maxBodyBytes)).toString('utf8');
    sendJson(response, { file: { name: `files/${batches.addFile(text)}`, state: 'ACTIVE' } });
    return true;
  }
  if (path !== UPLOAD && path !== LIST && (model ?? id ?? file) === undefined) return false;
  calls.authorise(request);
  if (post && path === UPLOAD) {
    if (request.headers['x-goog-upload-command'] !== 'start') throw invalid('An upload begins with its start.');
    const url = `http://${request.headers.host}${UPLOAD}?upload_id=${batches.newId('')}`;
    sendText(response, 200, '{}', { 'x-goog-upload-url': url });
  } else if (post && model !== undefined)
    sendTaken(
      response,
      createBatch(batches, decodeURIComponent(model), await readJson(request, config.maxBodyBytes)),
      told,
    );
  else if (request.method === 'GET' && path === LIST) sendJson(response, listBatches(batches, query, told));
  else if (request.method === 'GET' && id !== undefined && !asked) sendJson(response, told(batches.batch(id)));
  else if (post && id !== undefined && asked) {
    cancel(batches, id);
    sendJson(response, {});
  } else if (request.method === 'GET' && file !== undefined) sendText(response, 200, batches.file(file));
  else return false;
  return true;
}

function createBatch(batches: Batches, model: string, value: unknown): Batch {
  const batch = asObject(asObject(value)['batch'], 'batch');
  const displayName = asText(batch['displayName'], 'batch.displayName');
  const fileName = asText(
    asObject(batch['inputConfig'], 'batch.inputConfig')['fileName'],
    'batch.inputConfig.fileName',
  );
  const wire = geminiGenerate(model, false);
  const lines = batches
    .file(fileName.replace(/^files\//, ''))
    .split('\n')
    .filter((text) => text !== '')
    .map((text): BatchLine => {
      const { key, request } = asObject(JSON.parse(text));
      return { customId: asText(key, 'key'), wire, body: request };
    });
  return batches.create('batches/', lines, { dialect: 'gemini', metadata: displayName, inputFileId: fileName, model });
}

/** The newest first; the token of a page is how many come before it. */
function listBatches(batches: Batches, query: URLSearchParams, told: (batch: Batch) => unknown): unknown {
  const all = batches.all().filter((b) => b.dialect === 'gemini');
  const from = Number(query.get('pageToken') ?? 0);
  const to = from + Number(query.get('pageSize') ?? 100);
  return { operations: all.slice(from, to).map(told), ...(to < all.length ? { nextPageToken: `${to}` } : {}) };
}

function operationOf({ batches }: Site, batch: Batch): unknown {
  const { ends } = batch;
  const state = stateOf(batch);
  const count = (...kinds: LineEnd['kind'][]): number => ends?.filter((e) => kinds.includes(e.kind)).length ?? 0;
  const counts = {
    requestCount: batch.total,
    successfulRequestCount: count('answered'),
    failedRequestCount: count('refused'),
    pendingRequestCount: ends ? 0 : batch.total,
  };
  // Of one that was cancelled, or came too late, there is nothing to fetch.
  const output = state === SUCCEEDED ? { responsesFile: `files/${fileOf(batches, batch, ends!)}` } : undefined;
  return {
    name: batch.id,
    metadata: {
      '@type': 'type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch',
      name: batch.id,
      model: `models/${batch.model}`,
      displayName: batch.metadata,
      inputConfig: { fileName: batch.inputFileId },
      createTime: new Date(batch.createdAtMs).toISOString(),
      // As numbers of 64 bits are written, and zeros are not.
      batchStats: Object.fromEntries(Object.entries(counts).flatMap(([name, n]) => (n === 0 ? [] : [[name, `${n}`]]))),
      state,
      ...(output ? { output } : {}),
    },
    ...(ends ? { done: true } : {}),
    ...(output ? { response: output } : {}),
  };
}

const SUCCEEDED = 'BATCH_STATE_SUCCEEDED';

function stateOf({ ends, isCancelled }: Batch): string {
  if (!ends) return 'BATCH_STATE_RUNNING';
  if (isCancelled) return 'BATCH_STATE_CANCELLED';
  return ends.some((e) => e.kind === 'expired') ? 'BATCH_STATE_EXPIRED' : SUCCEEDED;
}

const made = new WeakMap<Batch, string>();

function fileOf(batches: Batches, batch: Batch, ends: readonly LineEnd[]): string {
  const before = made.get(batch);
  if (before !== undefined) return before;
  const id = batches.addFile(ends.map((end) => `${JSON.stringify(lineOf(end))}\n`).join(''));
  made.set(batch, id);
  return id;
}

function lineOf(end: LineEnd): unknown {
  if (end.kind === 'answered') return { key: end.customId, response: end.body };
  return { key: end.customId, ...(end.kind === 'refused' ? (end.error as object) : {}) };
}
