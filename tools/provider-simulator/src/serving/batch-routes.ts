import type { IncomingMessage, ServerResponse } from 'node:http';
import { invalid } from '../engine/refusal.js';
import { anthropicMessages } from '../wire/anthropic-messages.js';
import { asArray, asObject, asText } from '../wire/fields.js';
import { openAiChat } from '../wire/openai-chat.js';
import { openAiEmbeddings } from '../wire/openai-embeddings.js';
import type { Wire } from '../wire/wire.js';
import { sendJson, sendText } from './answering.js';
import type { Batch, BatchLine, LineEnd } from './batches.js';
import { readBytes, readJson } from './body.js';
import type { Site } from './routes.js';

const OPENAI: Readonly<Record<string, Wire>> = {
  '/v1/chat/completions': openAiChat,
  '/v1/embeddings': openAiEmbeddings,
  // As Azure names what it takes in batches.
  '/chat/completions': openAiChat,
};
const FILE_STATUS = /^\/v1\/files\/([^/]+)$/;
const FILE = /^\/v1\/files\/([^/]+)\/content$/;
const BATCH = /^\/v1\/batches\/([^/]+?)(\/cancel)?$/;
const MESSAGES_BATCH = /^\/v1\/messages\/batches\/([^/]+?)(\/results|\/cancel)?$/;
const JOB = /^\/v1\/batch\/jobs\/([^/]+?)(\/cancel)?$/;
const DAY_MS = 86_400_000;
/** Files of Azure's clients, which are ready once they were asked for. */
const unread = new Set<string>();

/** The batch APIs of OpenAI (files, batches), Mistral (files, jobs) and Anthropic (message batches). @returns false: it is none of their paths */
export async function routeBatches(
  site: Site,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<boolean> {
  const { batches, config, calls } = site;
  if (!/^\/v1\/(files|batches|batch\/jobs|messages\/batches)(\/|$)/.test(path)) return false;
  calls.authorise(request);
  const [, file] = FILE.exec(path) ?? [];
  const [, fileAsked] = FILE_STATUS.exec(path) ?? [];
  const [, batch, cancelled] = BATCH.exec(path) ?? [];
  const [, job, jobCancelled] = JOB.exec(path) ?? [];
  const [, messages, asked] = MESSAGES_BATCH.exec(path) ?? [];
  const [, query] = (request.url ?? '').split('?', 2);
  const get = request.method === 'GET';
  const post = request.method === 'POST';
  if (post && path === '/v1/files') {
    const text = await uploaded(request, config.maxBodyBytes);
    const id = batches.addFile(text);
    const status = request.headers['api-key'] === undefined ? 'processed' : 'pending';
    if (status === 'pending') unread.add(id);
    sendJson(response, { id, object: 'file', bytes: Buffer.byteLength(text), purpose: 'batch', status });
  } else if (get && fileAsked !== undefined) {
    unread.delete(fileAsked);
    const bytes = Buffer.byteLength(batches.file(fileAsked));
    sendJson(response, { id: fileAsked, object: 'file', bytes, purpose: 'batch', status: 'processed' });
  } else if (request.method === 'DELETE' && fileAsked !== undefined) {
    batches.deleteFile(fileAsked);
    sendJson(response, { id: fileAsked, object: 'file', deleted: true });
  } else if (get && file !== undefined)
    sendText(response, 200, batches.file(file), { 'content-type': 'application/octet-stream' });
  else if (post && path === '/v1/batches')
    sendTaken(response, createOpenAi(site, await readJson(request, config.maxBodyBytes)), (b) => openAiBatch(site, b));
  else if (get && path === '/v1/batches')
    sendJson(response, {
      object: 'list',
      data: batches
        .all()
        .filter((b) => b.dialect === 'openai')
        .slice(0, 100)
        .map((b) => openAiBatch(site, b)),
      has_more: false,
    });
  else if (get && batch !== undefined && !cancelled) sendJson(response, openAiBatch(site, batches.batch(batch)));
  else if (post && batch !== undefined && cancelled) sendJson(response, openAiBatch(site, cancel(batches, batch)));
  else if (post && path === '/v1/batch/jobs')
    sendTaken(response, createMistral(site, await readJson(request, config.maxBodyBytes)), (b) => mistralJob(site, b));
  else if (get && path === '/v1/batch/jobs') {
    const data = batches.all().filter((b) => b.dialect === 'mistral');
    sendJson(response, {
      object: 'list',
      total: data.length,
      data: data.slice(0, 100).map((b) => mistralJob(site, b)),
    });
  } else if (get && job !== undefined && !jobCancelled) sendJson(response, mistralJob(site, batches.batch(job)));
  else if (post && job !== undefined && jobCancelled) sendJson(response, mistralJob(site, cancel(batches, job)));
  else if (post && path === '/v1/messages/batches')
    sendTaken(response, createMessages(site, await readJson(request, config.maxBodyBytes)), messageBatch);
  else if (get && path === '/v1/messages/batches') sendJson(response, listMessages(site, new URLSearchParams(query)));
  else if (post && messages !== undefined && asked === '/cancel')
    sendJson(response, messageBatch(cancel(batches, messages)));
  else if (get && messages !== undefined && asked === undefined)
    sendJson(response, messageBatch(batches.batch(messages)));
  else if (get && messages !== undefined && asked === '/results')
    sendText(response, 200, messageResults(batches.batch(messages)));
  else return false;
  return true;
}

export function sendTaken(response: ServerResponse, batch: Batch, told: (batch: Batch) => unknown): void {
  if (batch.isCut) response.destroy();
  else sendJson(response, told(batch));
}

/** @throws Refusal where there is no such batch, or it has ended */
export function cancel(batches: Site['batches'], id: string): Batch {
  const batch = batches.batch(id);
  if (batch.ends) throw invalid('A batch that has ended cannot be cancelled.', 'id');
  batches.cancel(batch);
  return batch;
}

async function uploaded(request: IncomingMessage, maxBytes: number): Promise<string> {
  const bytes = await readBytes(request, maxBytes);
  const form = await new Response(new Uint8Array(bytes), {
    headers: { 'content-type': request.headers['content-type'] ?? '' },
  })
    .formData()
    .catch(() => {
      throw invalid('The file must come as multipart/form-data.', 'file');
    });
  const file = form.get('file');
  if (form.get('purpose') !== 'batch') throw invalid("'purpose' must be batch.", 'purpose');
  if (file === null || typeof file === 'string') throw invalid("'file' is required.", 'file');
  return file.text();
}

function createOpenAi({ batches }: Site, value: unknown): Batch {
  const body = asObject(value);
  const endpoint = asText(body['endpoint'], 'endpoint');
  const wire = OPENAI[endpoint];
  if (!wire) throw invalid(`'${endpoint}' cannot be asked in batches.`, 'endpoint');
  if (body['completion_window'] !== '24h') throw invalid("'completion_window' must be 24h.", 'completion_window');
  const inputFileId = asText(body['input_file_id'], 'input_file_id');
  if (unread.has(inputFileId)) throw invalid('The file is not processed yet.', 'input_file_id');
  const lines = batches
    .file(inputFileId)
    .split('\n')
    .filter((text) => text !== '')
    .map((text): BatchLine => {
      const line = asObject(JSON.parse(text));
      if (line['method'] !== 'POST' || line['url'] !== endpoint)
        throw invalid(`Every line must be a POST to ${endpoint}.`, 'url');
      return { customId: asText(line['custom_id'], 'custom_id'), wire, body: line['body'] };
    });
  return batches.create('batch_', lines, {
    dialect: 'openai',
    metadata: body['metadata'] ?? null,
    inputFileId,
    endpoint,
  });
}

/** Its lines name neither method nor path nor model: the job does. */
function createMistral({ batches }: Site, value: unknown): Batch {
  const body = asObject(value);
  const endpoint = asText(body['endpoint'], 'endpoint');
  const wire = OPENAI[endpoint];
  if (!wire) throw invalid(`'${endpoint}' cannot be asked in batches.`, 'endpoint');
  const model = asText(body['model'], 'model');
  const inputFiles = asArray(body['input_files'], 'input_files').map((file) => asText(file, 'input_files'));
  const lines = inputFiles.flatMap((file) =>
    batches
      .file(file)
      .split('\n')
      .filter((text) => text !== '')
      .map((text): BatchLine => {
        const line = asObject(JSON.parse(text));
        const asked = asObject(line['body'], 'body');
        if ('model' in asked) throw invalid('The job names the model.', 'body.model');
        return { customId: asText(line['custom_id'], 'custom_id'), wire, body: { ...asked, model } };
      }),
  );
  return batches.create('job-', lines, {
    dialect: 'mistral',
    metadata: body['metadata'] ?? null,
    inputFileId: inputFiles[0]!,
    endpoint,
  });
}

function mistralJob(site: Site, batch: Batch): unknown {
  const { output, errors } = filesOf(site, batch) ?? { output: null, errors: null };
  const count = (isIt: (end: LineEnd) => boolean): number => batch.ends?.filter(isIt).length ?? 0;
  const expired = count((e) => e.kind === 'expired') > 0;
  return {
    id: batch.id,
    object: 'batch',
    input_files: [batch.inputFileId],
    endpoint: batch.endpoint,
    metadata: batch.metadata,
    status: batch.isCancelled
      ? batch.ends
        ? 'CANCELLED'
        : 'CANCELLATION_REQUESTED'
      : !batch.ends
        ? 'RUNNING'
        : expired
          ? 'TIMEOUT_EXCEEDED'
          : 'SUCCESS',
    output_file: output,
    error_file: errors,
    errors: [],
    created_at: Math.floor(batch.createdAtMs / 1_000),
    total_requests: batch.total,
    succeeded_requests: count((e) => e.kind === 'answered'),
    failed_requests: count((e) => e.kind === 'refused'),
  };
}

/** Of what was not run nothing is said. */
type TellableEnd = Exclude<LineEnd, { kind: 'cancelled' }>;

const outputs = new WeakMap<Batch, { output: string | null; errors: string | null }>();

/** Undefined: it has not ended. */
function filesOf({ batches }: Site, batch: Batch): { output: string | null; errors: string | null } | undefined {
  const { ends } = batch;
  let files = outputs.get(batch);
  if (ends && !files) {
    const fileOf = (some: TellableEnd[]): string | null =>
      some.length === 0 ? null : batches.addFile(some.map((e) => `${JSON.stringify(openAiLine(e))}\n`).join(''));
    files = {
      output: fileOf(ends.filter((e) => e.kind === 'answered')),
      errors: fileOf(ends.filter((e) => e.kind === 'refused' || e.kind === 'expired')),
    };
    outputs.set(batch, files);
  }
  return files;
}

function openAiBatch(site: Site, batch: Batch): unknown {
  const { ends } = batch;
  const files = filesOf(site, batch);
  const expired = ends?.some((e) => e.kind === 'expired') ?? false;
  return {
    id: batch.id,
    object: 'batch',
    endpoint: batch.endpoint,
    input_file_id: batch.inputFileId,
    completion_window: '24h',
    status: batch.isCancelled
      ? ends
        ? 'cancelled'
        : 'cancelling'
      : !ends
        ? 'in_progress'
        : expired
          ? 'expired'
          : 'completed',
    output_file_id: files?.output ?? null,
    error_file_id: files?.errors ?? null,
    errors: null,
    created_at: Math.floor(batch.createdAtMs / 1_000),
    metadata: batch.metadata,
    request_counts: {
      total: batch.total,
      completed: ends?.filter((e) => e.kind === 'answered').length ?? 0,
      failed: ends?.filter((e) => e.kind !== 'answered').length ?? 0,
    },
  };
}

function openAiLine(end: TellableEnd): unknown {
  const line = { id: `batch_req_${end.callId}`, custom_id: end.customId };
  if (end.kind === 'expired')
    return {
      ...line,
      response: null,
      error: {
        code: 'batch_expired',
        message: 'This request could not be executed before the completion window expired.',
      },
    };
  const [status, body] = end.kind === 'answered' ? [200, end.body] : [end.status, end.error];
  return { ...line, response: { status_code: status, request_id: end.callId, body }, error: null };
}

function createMessages({ batches }: Site, value: unknown): Batch {
  const requests = asArray(asObject(value)['requests'], 'requests');
  const lines = requests.map((item, index): BatchLine => {
    const line = asObject(item, `requests[${index}]`);
    return { customId: asText(line['custom_id'], 'custom_id'), wire: anthropicMessages, body: line['params'] };
  });
  return batches.create('msgbatch_', lines, { dialect: 'anthropic', metadata: null });
}

/** The newest first; a page may begin after one of them. */
function listMessages({ batches }: Site, query: URLSearchParams): unknown {
  const all = batches.all().filter((b) => b.dialect === 'anthropic');
  const limit = Number(query.get('limit') ?? 20);
  if (!(limit >= 1 && limit <= 1_000)) throw invalid("'limit' must be 1 to 1000.", 'limit');
  const from = all.findIndex((b) => b.id === query.get('after_id')) + 1;
  const page = all.slice(from, from + limit);
  return {
    data: page.map(messageBatch),
    has_more: from + limit < all.length,
    first_id: page[0]?.id ?? null,
    last_id: page.at(-1)?.id ?? null,
  };
}

function messageBatch(batch: Batch): unknown {
  const { ends } = batch;
  const count = (kind: LineEnd['kind']): number => ends?.filter((e) => e.kind === kind).length ?? 0;
  return {
    id: batch.id,
    type: 'message_batch',
    processing_status: ends ? 'ended' : batch.isCancelled ? 'canceling' : 'in_progress',
    request_counts: {
      processing: ends ? 0 : batch.total,
      succeeded: count('answered'),
      errored: count('refused'),
      canceled: count('cancelled'),
      expired: count('expired'),
    },
    created_at: new Date(batch.createdAtMs).toISOString(),
    expires_at: new Date(batch.createdAtMs + DAY_MS).toISOString(),
    results_url: ends ? `/v1/messages/batches/${batch.id}/results` : null,
  };
}

function messageResults({ ends }: Batch): string {
  if (!ends) throw invalid('The batch has not ended.');
  return ends.map((end) => `${JSON.stringify({ custom_id: end.customId, result: messageResult(end) })}\n`).join('');
}

function messageResult(end: LineEnd): unknown {
  switch (end.kind) {
    case 'answered': {
      const message = end.body as { usage?: object };
      return { type: 'succeeded', message: { ...message, usage: { ...message.usage, service_tier: 'batch' } } };
    }
    case 'refused':
      return { type: 'errored', error: end.error };
    case 'expired':
      return { type: 'expired' };
    case 'cancelled':
      return { type: 'canceled' };
  }
}
