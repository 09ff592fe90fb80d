import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { invalid, Refusal } from '../engine/refusal.js';
import { anthropicMessages } from '../wire/anthropic-messages.js';
import { bedrockConverse } from '../wire/bedrock-converse.js';
import { asObject, asText, type Fields } from '../wire/fields.js';
import type { Wire } from '../wire/wire.js';
import { sendJson, sendText } from './answering.js';
import { cancel, sendTaken } from './batch-routes.js';
import type { Batch, Batches, BatchLine, LineEnd } from './batches.js';
import { readBytes, readJson } from './body.js';
import type { Site } from './routes.js';

const OBJECT = /^\/s3\/([^/]+\/.+)$/;
const CREATE = '/model-invocation-job';
const LIST = '/model-invocation-jobs';
const JOB = /^\/model-invocation-job\/([a-z0-9]{12})(\/stop)?$/;
const ARN = 'arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/';
const ROLE = /^arn:aws:iam::\d{12}:role\/.+$/;

/** What a job was asked for with, and which id of 12 it has. */
interface Asked {
  jobId: string;
  name: string;
  token: string | undefined;
  input: string;
  output: string;
}

/**
 * Bedrock's batches: its control plane, and below /s3 the buckets that they read and write. A signature is not checked, but that
 * there is one, for the right service. @returns false: it is none of their paths
 */
export async function routeBedrockBatches(
  site: Site,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<boolean> {
  const [, object] = OBJECT.exec(path) ?? [];
  const isJob = path === CREATE || path === LIST || JOB.test(path);
  if (object === undefined && !isJob) return false;
  try {
    checkSigned(request, isJob ? 'bedrock' : 's3');
    if (object === undefined) await routeJobs(site, request, response, path);
    else await routeObjects(site, request, response, decodeURIComponent(object));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (isJob) sendJson(response, bedrockConverse('', false).error(error, ''), error.status);
    else sendText(response, error.status, `<Error><Code>${codeOf(error)}</Code></Error>`, XML);
  }
  return true;
}

const XML = { 'content-type': 'application/xml' };

function codeOf({ kind }: Refusal): string {
  return kind === 'not-found' ? 'NoSuchKey' : kind === 'unauthorized' ? 'AccessDenied' : 'InvalidRequest';
}

function checkSigned({ headers: { authorization = '' } }: IncomingMessage, service: 'bedrock' | 's3'): void {
  if (!new RegExp(`^AWS4-HMAC-SHA256 Credential=[^/]+/\\d{8}/[^/]+/${service}/aws4_request, `).test(authorization))
    throw new Refusal(403, 'unauthorized', `It is not signed for ${service}.`);
}

async function routeObjects(
  { batches, config }: Site,
  request: IncomingMessage,
  response: ServerResponse,
  object: string,
): Promise<void> {
  const file = `s3://${object}`;
  if (request.method === 'PUT') batches.putFile(file, (await readBytes(request, config.maxBodyBytes)).toString('utf8'));
  else if (request.method !== 'GET') throw invalid(`No ${request.method} of an object.`);
  sendText(response, 200, request.method === 'PUT' ? '' : batches.file(file), {
    'content-type': 'binary/octet-stream',
  });
}

async function routeJobs(site: Site, request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const { batches, config } = site;
  const [, id, stopped] = JOB.exec(path) ?? [];
  const post = request.method === 'POST';
  if (post && path === CREATE)
    sendTaken(response, createJob(site, await readJson(request, config.maxBodyBytes)), (batch) => ({
      jobArn: ARN + askedOf(batch).jobId,
    }));
  else if (!post && path === LIST)
    sendJson(response, listJobs(batches, new URLSearchParams(request.url?.split('?')[1])));
  else if (!post && id !== undefined && !stopped) sendJson(response, jobOf(batches, jobById(batches, id)));
  else if (post && id !== undefined && stopped) {
    cancel(batches, jobById(batches, id).id);
    sendText(response, 200, '');
  } else throw invalid(`No ${request.method} of ${path}.`);
}

/** The same token is the same job. */
function createJob(site: Site, value: unknown): Batch {
  const { batches } = site;
  const body = asObject(value);
  const asked = readAsked(body);
  const before = jobsOf(batches).find((b) => asked.token !== undefined && askedOf(b).token === asked.token);
  if (before) return before;
  const model = asText(body['modelId'], 'modelId');
  const fewest = site.models.get(model)?.config.batchMinRecords;
  if (fewest === undefined) throw invalid('The provided model identifier is invalid.', 'modelId');
  const lines = linesOf(batches.file(asked.input), model, body['modelInvocationType']);
  const failure =
    lines.length < fewest ? `The number of records ${lines.length} is less than the minimum ${fewest}.` : undefined;
  const about = { dialect: 'bedrock' as const, metadata: asked, inputFileId: asked.input, model, failure };
  return batches.create('', lines, about);

  function readAsked({ jobName, clientRequestToken, roleArn, inputDataConfig, outputDataConfig }: Fields): Asked {
    if (!ROLE.test(asText(roleArn, 'roleArn'))) throw invalid('The role is none.', 'roleArn');
    const s3 = (config: unknown, name: string): string =>
      asText(asObject(asObject(config, name)[`s3${name[0]!.toUpperCase()}${name.slice(1)}`], name)['s3Uri'], name);
    return {
      jobId: createHash('sha256').update(batches.newId('')).digest('hex').slice(0, 12),
      name: asText(jobName, 'jobName'),
      token: clientRequestToken === undefined ? undefined : asText(clientRequestToken, 'clientRequestToken'),
      input: s3(inputDataConfig, 'inputDataConfig'),
      output: s3(outputDataConfig, 'outputDataConfig'),
    };
  }
}

function linesOf(text: string, model: string, type: unknown = 'InvokeModel'): BatchLine[] {
  const wire = type === 'Converse' ? converseOf(model) : messagesOf(model);
  return recordsIn(text).map(({ id, input }) => ({ customId: id, wire, body: input }));
}

function recordsIn(text: string): { id: string; input: unknown }[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { recordId, modelInput } = asObject(JSON.parse(line));
      return { id: asText(recordId, 'recordId'), input: asObject(modelInput, 'modelInput') };
    });
}

function converseOf(model: string): Wire {
  const wire = bedrockConverse(model, false);
  const parse: Wire['parse'] = (body) => {
    if (asObject(body)['toolConfig'] !== undefined) throw invalid('Tools are not supported in batches.', 'toolConfig');
    return wire.parse(body);
  };
  return { ...wire, parse };
}

/** As InvokeModel has models of Anthropic asked. */
function messagesOf(model: string): Wire {
  const parse: Wire['parse'] = (body) => {
    const { anthropic_version: version, ...rest } = asObject(body);
    if (version !== 'bedrock-2023-05-31') throw invalid('It names no version of its API.', 'anthropic_version');
    for (const key of ['model', 'stream']) if (key in rest) throw invalid(`extraneous key [${key}] is not permitted`);
    return anthropicMessages.parse({ ...rest, model });
  };
  return { ...anthropicMessages, parse };
}

function askedOf({ metadata }: Batch): Asked {
  return metadata as Asked;
}

function jobsOf(batches: Batches): Batch[] {
  return batches.all().filter((b) => b.dialect === 'bedrock');
}

/** @throws Refusal 404 */
function jobById(batches: Batches, id: string): Batch {
  const job = jobsOf(batches).find((b) => askedOf(b).jobId === id);
  if (!job) throw new Refusal(404, 'not-found', `The job ${id} was not found.`);
  return job;
}

/** The newest first; the token of a page is how many come before it. */
function listJobs(batches: Batches, query: URLSearchParams): unknown {
  const all = jobsOf(batches).filter((b) => askedOf(b).name.includes(query.get('nameContains') ?? ''));
  const from = Number(query.get('nextToken') ?? 0);
  const to = from + Number(query.get('maxResults') ?? 100);
  const page = all.slice(from, to).map((batch) => jobOf(batches, batch));
  return { invocationJobSummaries: page, ...(to < all.length ? { nextToken: `${to}` } : {}) };
}

function jobOf(batches: Batches, batch: Batch): unknown {
  const { jobId, name, token, input, output } = askedOf(batch);
  const count = (kind: LineEnd['kind']): number => batch.ends?.filter((e) => e.kind === kind).length ?? 0;
  const [answered, refused] = [count('answered'), count('refused')];
  writeOutput(batches, batch);
  return {
    jobArn: ARN + jobId,
    jobName: name,
    clientRequestToken: token,
    modelId: batch.model,
    status: statusOf(batch),
    ...(batch.failure === undefined ? {} : { message: batch.failure }),
    submitTime: new Date(batch.createdAtMs).toISOString(),
    inputDataConfig: { s3InputDataConfig: { s3Uri: input, s3InputFormat: 'JSONL' } },
    outputDataConfig: { s3OutputDataConfig: { s3Uri: output } },
    totalRecordCount: batch.total,
    processedRecordCount: answered + refused,
    successRecordCount: answered,
    errorRecordCount: refused,
  };
}

function statusOf({ ends, isCancelled, failure }: Batch): string {
  if (failure !== undefined) return 'Failed';
  if (!ends) return isCancelled ? 'Stopping' : 'InProgress';
  if (isCancelled) return 'Stopped';
  const expired = ends.filter((e) => e.kind === 'expired').length;
  if (expired === 0) return 'Completed';
  return expired === ends.length ? 'Expired' : 'PartiallyCompleted';
}

const written = new WeakSet<Batch>();

/** What was not run has no line, and where nothing was there is no file. */
function writeOutput(batches: Batches, batch: Batch): void {
  if (!batch.ends || written.has(batch)) return;
  written.add(batch);
  const { jobId, input, output } = askedOf(batch);
  const inputs = new Map(recordsIn(batches.file(input)).map((record) => [record.id, record.input]));
  const lines = batch.ends.flatMap((end) => {
    const record = { modelInput: inputs.get(end.customId) };
    if (end.kind === 'answered') return { ...record, modelOutput: end.body, recordId: end.customId };
    if (end.kind !== 'refused') return [];
    return { ...record, error: { errorCode: end.status, errorMessage: 'It failed.' }, recordId: end.customId };
  });
  if (lines.length === 0) return;
  const file = `${output.replace(/\/+$/, '')}/${jobId}/${input.split('/').at(-1)}.out`;
  batches.putFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}
