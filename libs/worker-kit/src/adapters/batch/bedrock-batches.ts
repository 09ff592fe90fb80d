import type { BedrockBatchConfig } from '@meritorder/contracts';
import { z } from 'zod';
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
import { signed } from './aws-signature.js';
import { askJson, askText, beforehand, checked, jsonLines } from './batch-http.js';
import { fileIn, readFile, writeFile, type S3Account } from './s3-files.js';

const PAGE = 100;
/** Of the list, where those that a name is not in may be left out of a page. */
const MOST_PAGES = 20;
/** What Bedrock allows. */
const [LEAST_HOURS, MOST_HOURS] = [24, 168];
const HOUR_SECONDS = 3_600;
/** The version of messages that InvokeModel takes. */
const ANTHROPIC_VERSION = 'bedrock-2023-05-31';
const ENDED: ReadonlySet<string> = new Set(['Completed', 'PartiallyCompleted', 'Stopped', 'Expired', 'Failed']);

const Taken = z.object({ jobArn: z.string().min(1) });
const Page = z.object({
  invocationJobSummaries: z.array(Taken.extend({ jobName: z.string() })).default([]),
  nextToken: z.string().nullish(),
});
const Job = z.object({
  status: z.string(),
  message: z.string().nullish(),
  successRecordCount: z.int().min(0).nullish(),
  inputDataConfig: z.object({ s3InputDataConfig: z.object({ s3Uri: z.string() }) }),
  outputDataConfig: z.object({ s3OutputDataConfig: z.object({ s3Uri: z.string() }) }),
});
const Failure = z.object({ errorCode: z.union([z.string(), z.number()]), errorMessage: z.string() }).partial();
const Result = z
  .object({
    recordId: z.string(),
    modelOutput: z.record(z.string(), z.unknown()).optional(),
    // Words for people: what is not as expected of them is no reason to doubt the rest.
    error: z.union([Failure, z.unknown().transform((): z.infer<typeof Failure> => ({}))]).optional(),
  })
  .refine(({ modelOutput, error }) => modelOutput !== undefined || error !== undefined, {
    path: ['modelOutput'],
    message: 'neither one nor an error',
  });

/**
 * Amazon Bedrock's model invocation jobs: a file of calls in a bucket, and one of how they ended, in which only what was answered
 * is charged. A job that is asked for twice is one, by its token.
 */
export class BedrockBatches implements BatchApi {
  async submit(account: BatchAccount, name: string, calls: readonly BatchCall[]): Promise<string> {
    const { input, output, roleArn, minRecords, format } = placesOf(account);
    // Some may have been cancelled, or not opened, after it was large enough.
    if (calls.length < minRecords)
      throw new UpstreamError('caller-fault', `${calls.length} calls, and Bedrock takes no fewer than ${minRecords}`, {
        retryable: false,
        sent: false,
        refusedUpstream: true,
      });
    const records = calls.map(({ id, body }) => JSON.stringify({ recordId: id, modelInput: inputOf(format, body) }));
    const file = await beforehand(writeFile(s3Of(account), input, `${name}.jsonl`, records.join('\n')));
    const answer = await ask(account, '/model-invocation-job', {
      jobName: name,
      clientRequestToken: name,
      modelId: account.backend.model,
      modelInvocationType: format === 'converse' ? 'Converse' : 'InvokeModel',
      roleArn,
      inputDataConfig: { s3InputDataConfig: { s3Uri: file, s3InputFormat: 'JSONL' } },
      outputDataConfig: { s3OutputDataConfig: { s3Uri: fileIn(output, '') } },
      timeoutDurationInHours: hoursOf(account),
    });
    return checked(Taken, answer, 'a job that was taken').jobArn;
  }

  async find(account: BatchAccount, { name }: SoughtBatch): Promise<FoundBatch | undefined> {
    let after = '';
    for (let page = 0; page < MOST_PAGES; page++) {
      const path = `/model-invocation-jobs?maxResults=${PAGE}&nameContains=${encodeURIComponent(name)}${after}`;
      const list = checked(Page, await ask(account, path), 'the list of jobs');
      const found = list.invocationJobSummaries.find(({ jobName }) => jobName === name);
      if (found) return { providerId: found.jobArn };
      if (!list.nextToken) return undefined;
      after = `&nextToken=${encodeURIComponent(list.nextToken)}`;
    }
    return undefined;
  }

  async ends(account: BatchAccount, providerId: string): Promise<BatchEnds | undefined> {
    const job = checked(Job, await ask(account, pathOf(providerId)), 'a job');
    const { status, message } = job;
    if (!ENDED.has(status)) return undefined;
    const others: CallEnd = { notRun: `the job ended as ${status.toLowerCase()}: ${message ?? ''}` };
    // One that expired was never begun.
    const counted = job.successRecordCount ?? (status === 'Expired' ? 0 : undefined);
    if (counted === 0) return { of: new Map(), others };
    const text = await readFile(s3Of(account), outputOf(job, providerId)).catch(ifThere);
    if (text === undefined) {
      // It may be said to have ended a moment before its file is there; of one that tells neither, no more will be known.
      return counted === undefined && status !== 'Completed' ? { of: new Map(), others: undefined } : undefined;
    }
    const results = jsonLines(text).map((line, i) => checked(Result, line, `record ${i + 1} of a job`));
    const of = new Map(results.map((line) => [line.recordId, endOf(line)]));
    // What was answered is charged: a call that is in no file was not run only where all that were counted as answered are told.
    const answered = [...of.values()].filter((end) => 'reply' in end).length;
    return { of, others: counted !== undefined && answered >= counted ? others : undefined };
  }

  async cancel(account: BatchAccount, providerId: string): Promise<void> {
    const url = urlOf(account, `${pathOf(providerId)}/stop`);
    await askText(url, await signed('bedrock', account.credential, { url, method: 'POST' }));
  }
}

/** It is configured with `batch`, and with what Bedrock needs there. */
function placesOf({ backend }: BatchAccount): BedrockBatchConfig {
  return backend.batch!.bedrock!;
}

function s3Of(account: BatchAccount): S3Account {
  return { credential: account.credential, s3Url: placesOf(account).s3Url };
}

/** As the call would have had it alone, but for what the job says of all. */
function inputOf(format: BedrockBatchConfig['format'], { model: _model, ...body }: Record<string, unknown>): object {
  return format === 'messages' ? { anthropic_version: ANTHROPIC_VERSION, ...body } : body;
}

function hoursOf({ backend }: BatchAccount): number {
  return Math.min(MOST_HOURS, Math.max(LEAST_HOURS, Math.ceil(backend.batch!.completionSeconds / HOUR_SECONDS)));
}

/** Where the job was told to write, whatever is configured by now. */
function outputOf({ inputDataConfig, outputDataConfig }: z.infer<typeof Job>, providerId: string): string {
  const file = inputDataConfig.s3InputDataConfig.s3Uri.split('/').at(-1);
  return fileIn(outputDataConfig.s3OutputDataConfig.s3Uri, `${jobIdOf(providerId)}/${file}.out`);
}

function ifThere(error: unknown): undefined {
  if (error instanceof UpstreamError && error.details.status === 404) return undefined;
  throw error;
}

function endOf({ modelOutput, error }: z.infer<typeof Result>): CallEnd {
  if (modelOutput !== undefined) return { reply: { status: 200, body: JSON.stringify(modelOutput) } };
  return { notRun: [error?.errorCode, error?.errorMessage].filter((said) => said !== undefined).join(': ') };
}

/** Jobs are asked for by what is last in their names, which needs no escapes. */
function jobIdOf(arn: string): string {
  return arn.split('/').at(-1)!;
}

function pathOf(arn: string): string {
  return `/model-invocation-job/${encodeURIComponent(jobIdOf(arn))}`;
}

/** @param body to be posted; undefined: it is asked for */
async function ask(account: BatchAccount, path: string, body?: object): Promise<Record<string, unknown>> {
  const url = urlOf(account, path);
  const headers = { 'content-type': 'application/json' };
  const posted = body && { method: 'POST' as const, headers, body: JSON.stringify(body) };
  return askJson(url, await signed('bedrock', account.credential, { url, ...posted }));
}

function urlOf(account: BatchAccount, path: string): string {
  const base = placesOf(account).controlUrl ?? `https://bedrock.${account.credential.region}.amazonaws.com`;
  return `${base.replace(/\/+$/, '')}${path}`;
}
