import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { invoiceCsv, invoiceJson } from '../billing/invoice-documents.js';
import type { Invoice, Period } from '../billing/invoice.js';
import type { ResolvedConfig } from '../config.js';
import type { Model } from '../engine/model.js';
import { invalid, Refusal } from '../engine/refusal.js';
import { anthropicMessages } from '../wire/anthropic-messages.js';
import { bedrockConverse } from '../wire/bedrock-converse.js';
import { geminiGenerate } from '../wire/gemini-generate.js';
import { openAiChat } from '../wire/openai-chat.js';
import { openAiEmbeddings } from '../wire/openai-embeddings.js';
import { openAiError } from '../wire/openai-errors.js';
import type { Wire } from '../wire/wire.js';
import { sendJson, sendText } from './answering.js';
import { readJson } from './body.js';
import type { Batches } from './batches.js';
import { routeBatches } from './batch-routes.js';
import { routeBedrockBatches } from './bedrock-batches.js';
import { routeGeminiBatches } from './gemini-batches.js';
import type { Calls } from './calls.js';
import type { Control } from './control.js';
import { writeMetrics } from './metrics.js';
import { anthropicModelList, openAiModel, openAiModelList } from './model-list.js';

/** Everything that a request can reach. */
export interface Site {
  config: ResolvedConfig;
  models: ReadonlyMap<string, Model>;
  invoice: Invoice;
  calls: Calls;
  batches: Batches;
  control: Control;
}

/** Keys guard `/v1` only, as in the engine that this stands in for; the rest is for whoever can reach the port. */
export function route(site: Site, request: IncomingMessage, response: ServerResponse): void {
  const path = (request.url ?? '/').split('?', 1)[0]!;
  switch (`${request.method} ${path}`) {
    case 'POST /v1/chat/completions':
      return site.calls.take(request, response, openAiChat);
    case 'POST /v1/embeddings':
      return site.calls.take(request, response, openAiEmbeddings);
    case 'POST /v1/messages':
      return site.calls.take(request, response, anthropicMessages);
  }
  const named = request.method === 'POST' ? wireOfModelPath(path) : undefined;
  if (named) return site.calls.take(request, response, named);
  routeRest(site, request, response, path).catch((error: unknown) => refuse(response, error));
}

const GEMINI = /^\/v1beta\/models\/([^/:]+):(generateContent|streamGenerateContent)$/;
const BEDROCK = /^\/model\/([^/]+)\/(converse|converse-stream)$/;

/** Where the path has the model, and whether the answer is streamed. */
function wireOfModelPath(path: string): Wire | undefined {
  const [, gemini, how] = GEMINI.exec(path) ?? [];
  if (gemini !== undefined) return geminiGenerate(decodeURIComponent(gemini), how === 'streamGenerateContent');
  const [, bedrock, method] = BEDROCK.exec(path) ?? [];
  if (bedrock !== undefined) return bedrockConverse(decodeURIComponent(bedrock), method === 'converse-stream');
  return undefined;
}

async function routeRest(site: Site, request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  switch (`${request.method} ${path}`) {
    case 'GET /health':
      return sendText(response, 200, '');
    case 'GET /metrics':
      return sendText(response, 200, writeMetrics(site.models.values()), {
        'content-type': 'text/plain; version=0.0.4; charset=utf-8',
      });
    case 'GET /invoice':
      return sendPieces(response, 'application/json; charset=utf-8', jsonOf(site, periodOf(request)));
    case 'GET /invoice.csv':
      return sendPieces(response, 'text/csv; charset=utf-8', invoiceCsv(site.invoice, periodOf(request)));
    case 'GET /control/stats':
      return sendJson(response, site.control.stats());
    case 'POST /control/gate':
      return sendJson(response, site.control.postGate(await readJson(request, site.config.maxBodyBytes)));
    case 'POST /control/faults':
      return sendJson(response, site.control.postFaults(await readJson(request, site.config.maxBodyBytes)));
  }
  if (await routeBatches(site, request, response, path)) return;
  if (await routeGeminiBatches(site, request, response, path)) return;
  if (await routeBedrockBatches(site, request, response, path)) return;
  if (request.method === 'GET' && (path === '/v1/models' || path.startsWith('/v1/models/'))) {
    return sendModels(site, request, response, path);
  }
  throw new Refusal(404, 'not-found', `Unknown request URL: ${request.method} ${path}.`);
}

function jsonOf(site: Site, period: Period): Generator<string> {
  return invoiceJson(site.config.name, site.invoice, period);
}

function sendModels(site: Site, request: IncomingMessage, response: ServerResponse, path: string): void {
  site.calls.authorise(request);
  const models = [...site.models.values()];
  if (path === '/v1/models') {
    const list = request.headers['anthropic-version'] === undefined ? openAiModelList : anthropicModelList;
    return sendJson(response, list(models, site.config.name));
  }
  const name = decodeURIComponent(path.slice('/v1/models/'.length));
  const model = site.models.get(name);
  if (!model) throw new Refusal(404, 'not-found', `The model \`${name}\` does not exist.`, { field: 'model' });
  sendJson(response, openAiModel(model, site.config.name));
}

/** `?from=...&to=...`: ISO 8601 times; calls that ended at or after `from` and before `to`. */
function periodOf(request: IncomingMessage): Period {
  const query = new URLSearchParams((request.url ?? '').split('?', 2)[1]);
  return { fromMs: time(query, 'from'), toMs: time(query, 'to') };
}

function time(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw invalid(`'${name}' must be an ISO 8601 time.`, name);
  return ms;
}

async function sendPieces(response: ServerResponse, type: string, pieces: Iterable<string>): Promise<void> {
  response.writeHead(200, { 'content-type': type });
  await pipeline(Readable.from(pieces), response);
}

function refuse(response: ServerResponse, error: unknown): void {
  if (error instanceof Refusal && !response.headersSent) return sendJson(response, openAiError(error), error.status);
  if (!response.destroyed) process.stderr.write(`provider-simulator: ${String(error)}\n`);
  response.destroy();
}
