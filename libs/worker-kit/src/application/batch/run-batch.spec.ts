import type {
  BackendConfig,
  BatchCollectedV1,
  BatchStateV1,
  JobAcceptedV1,
  UsageAttemptClosedV1,
} from '@meritorder/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { OpenAiUpstream } from '../../adapters/openai-upstream.js';
import { UpstreamError } from '../ports.js';
import type { BatchApi, BatchCall, BatchEnds, BatchStore, CallEnd, FoundBatch, SoughtBatch } from './batch-ports.js';
import { callOf } from './batch-line.js';
import { cancelLine } from './cancel-line.js';
import { runBatch, type BatchPorts } from './run-batch.js';
import { lineOf, BACKEND } from './batch-world.for-tests.js';

const WIRES = { openai: { chat: new OpenAiUpstream() } };
const MINUTE_MS = 60_000;
const refused = (status: number) =>
  new UpstreamError('server-error', `${status}`, { retryable: true, sent: true, refusedUpstream: true, status });
const lost = () => new UpstreamError('cut', 'lost', { retryable: true, sent: true, refusedUpstream: false });

/** Keeps what it is told, as the bucket and the queues do. */
class World implements BatchStore, BatchApi {
  nowMs = Date.parse('2026-11-24T09:30:00Z');
  readonly submitted: string[] = [];
  /** Attempts of jobs that were told that they are cancelled. */
  readonly cancels: string[] = [];
  readonly sent: string[] = [];
  private readonly told = new Map<string, { closed: UsageAttemptClosedV1; job?: JobAcceptedV1 }[]>();
  current: BatchStateV1 | undefined = { released: ['a1', 'a2'] };
  kept = false;
  /** It does not say which of its batches this is. */
  isSilent = false;
  /** What the provider does. */
  onSubmit: () => string = () => 'batch_1';
  ended: BatchEnds | undefined;
  onAsk: () => void = () => {};

  async keep(): Promise<void> {}
  async state() {
    return this.current;
  }
  readonly cancelledOnes = new Set<string>();
  cancelAsked = 0;
  async keepWhere(): Promise<void> {}
  async whereIs(_org: string, requestId: string) {
    const line = batch.lines.find((l) => l.job.requestId === requestId);
    return line && { batch: 'b1', attemptId: line.work.terms.attemptId, job: line.job };
  }
  async cancelled() {
    return this.cancelledOnes;
  }
  async addCancelled(_batch: string, attemptId: string) {
    this.cancelledOnes.add(attemptId);
  }
  async cancel() {
    this.cancelAsked++;
  }
  async decide(_batch: string, state: BatchStateV1) {
    if (this.current) return false;
    this.current = state;
    return true;
  }
  async beginSending(_batch: string, state: BatchStateV1) {
    if (!this.current || this.current.sentAt !== undefined || this.current.ending) return false;
    this.current = state;
    return true;
  }
  async put(_batch: string, state: BatchStateV1) {
    this.current = state;
  }
  async jobGoesOn(job: JobAcceptedV1, attemptId: string) {
    if (job.afterBatch?.cancelled) this.cancels.push(attemptId);
    // Not before it is in the books.
    else this.told.get(attemptId)!.at(-1)!.job = job;
  }
  async isClosed(closed: UsageAttemptClosedV1) {
    this.told.set(closed.attemptId, [...(this.told.get(closed.attemptId) ?? []), { closed }]);
  }
  /** By attempt, each as often as it was told. */
  get closed(): UsageAttemptClosedV1[] {
    return ['a1', 'a2'].flatMap((id) => this.told.get(id) ?? []).map((t) => t.closed);
  }
  get jobs(): JobAcceptedV1[] {
    return ['a1', 'a2'].flatMap((id) => this.told.get(id) ?? []).flatMap((t) => t.job ?? []);
  }
  async submit(_account: unknown, name: string, calls: readonly BatchCall[]) {
    const id = this.onSubmit();
    this.submitted.push(name);
    this.sent.push(...calls.map((c) => c.id));
    return id;
  }
  async find(_account: unknown, { name, ids }: SoughtBatch): Promise<FoundBatch | undefined> {
    expect([...ids]).toEqual(this.current!.released);
    if (this.isSilent) return { notYet: true };
    return this.kept && this.submitted.includes(name) ? { providerId: 'batch_1' } : undefined;
  }
  async ends() {
    this.onAsk();
    return this.ended;
  }
}

let world: World;
let batch: BatchCollectedV1;
const step = (backend: BackendConfig | undefined = BACKEND) => runBatch(batch, backend, portsOf(world));

beforeEach(async () => {
  world = new World();
  const lines = [lineOf('a1'), lineOf('a2')];
  for (const line of lines) line.call = await callOf(line.work, BACKEND, WIRES);
  batch = { batch: 'b1', backend: BACKEND.id, collectedAt: '2026-11-24T09:30:00.000Z', lines };
});

function portsOf(of: World): BatchPorts {
  const credential = { id: 'default', baseUrl: BACKEND.baseUrl };
  return {
    clock: { nowMs: () => of.nowMs } as BatchPorts['clock'],
    store: of,
    wires: WIRES,
    api: () => of,
    credentials: () => [credential],
    takeCredential: () => credential,
    giveBack: () => {},
    closed: (event) => of.isClosed(event),
    maxAnswerBytes: 1_000_000,
    warn: () => {},
  };
}
const answer = (id: string) => ({
  reply: {
    status: 200,
    body: JSON.stringify({
      id: `chatcmpl-${id}`,
      model: BACKEND.model,
      service_tier: 'default',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Yes.' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 },
    }),
  },
});

it('the call of a line is the one that the wire would have made, without streaming', () => {
  expect(batch.lines[0]!.call).toEqual({
    path: '/chat/completions',
    body: { model: 'gpt-4.1', messages: [{ role: 'user', content: 'Hello.' }], max_completion_tokens: 100 },
  });
});

it('what was answered is booked at the tier of batches, whatever the answer says, and its job goes on with it', async () => {
  expect(await step()).toMatchObject({ over: false });
  world.ended = {
    of: new Map<string, CallEnd>([
      ['a1', answer('a1')],
      ['a2', { notRun: 'batch_expired' }],
    ]),
    others: undefined,
  };
  expect(await step()).toEqual({ over: true });
  expect(world.closed).toMatchObject([
    { attemptId: 'a1', outcome: 'finished', servedTier: 'batch', usage: { inputTokens: 10, outputTokens: 2 } },
    { attemptId: 'a2', outcome: 'failed', refusedUpstream: true, code: 'batch' },
  ]);
  expect(world.closed[1]).not.toHaveProperty('usage');
  // 10 input tokens and 2 output tokens at half of $1 and $4 per 1M.
  expect(world.jobs[0]!.afterBatch!.answer).toMatchObject({
    meritorder: { cost: { usd: '0.000009', basis: 'confirmed' } },
  });
  expect(world.jobs[1]!.afterBatch).toEqual({});
  expect(world.submitted).toEqual(['b1']);
});

it('a line that no result names may be charged', async () => {
  await step();
  world.ended = { of: new Map([['a1', answer('a1')]]), others: undefined };
  await step();
  expect(world.closed[1]).toMatchObject({ attemptId: 'a2', sent: true, refusedUpstream: false });
  expect(world.closed[1]).not.toHaveProperty('usage');
  expect(world.jobs[1]!.afterBatch).toEqual({});
});

describe('a batch is sent once', () => {
  it('and again only when the provider refused it', async () => {
    world.onSubmit = () => {
      throw refused(503);
    };
    expect(await step()).toEqual({ over: false, againMs: 30_000 });
    world.onSubmit = () => 'batch_1';
    await step();
    expect(world.submitted).toEqual(['b1']);
    expect(world.current).toMatchObject({ providerId: 'batch_1' });
  });

  it('where it is not known whether it was, the provider is asked for its name', async () => {
    world.kept = true;
    world.submitted.push('b1');
    world.onSubmit = () => {
      throw lost();
    };
    await step();
    expect(world.current).not.toHaveProperty('providerId');
    await step();
    expect(world.current).toMatchObject({ providerId: 'batch_1' });
    expect(world.submitted).toEqual(['b1']);
  });

  it('and where the provider does not tell which it is before it has ended, that is waited for until the last deadline', async () => {
    world.isSilent = true;
    world.onSubmit = () => {
      throw lost();
    };
    await step();
    world.nowMs += 10 * MINUTE_MS;
    expect(await step()).toEqual({ over: false, againMs: MINUTE_MS });
    world.isSilent = false;
    world.kept = true;
    world.submitted.push('b1');
    await step();
    expect(world.current).toMatchObject({ providerId: 'batch_1' });
    const { providerId: _id, ...before } = world.current!;
    world.current = before;
    world.isSilent = true;
    world.nowMs = Date.parse(batch.lines[0]!.work.terms.deadlineAt) + 1;
    expect(await step()).toEqual({ over: true });
  });

  it('where the provider has no such name for a minute it is lost: every charge is unconfirmed, every job is run again', async () => {
    world.onSubmit = () => {
      throw lost();
    };
    await step();
    expect(await step()).toEqual({ over: false, againMs: 2_000 });
    expect(world.jobs).toEqual([]);
    world.nowMs += MINUTE_MS;
    expect(await step()).toEqual({ over: true });
    expect(world.closed).toMatchObject([
      { attemptId: 'a1', outcome: 'failed', sent: true, refusedUpstream: false },
      { attemptId: 'a2', outcome: 'failed', sent: true, refusedUpstream: false },
    ]);
    expect(world.jobs.map((j) => j.afterBatch)).toEqual([{}, {}]);
    expect(world.submitted).toEqual([]);
  });
});

it('a batch that the provider refuses for good, or that comes too late, costs nothing', async () => {
  world.onSubmit = () => {
    throw new UpstreamError('caller-fault', '400', { retryable: false, sent: true, refusedUpstream: true });
  };
  expect(await step()).toEqual({ over: true });
  world.current = { released: ['a1', 'a2'] };
  world.nowMs = Date.parse(batch.lines[0]!.work.terms.deadlineAt);
  world.onSubmit = () => 'batch_1';
  expect(await step()).toEqual({ over: true });
  expect(world.closed).toHaveLength(4);
  expect(world.closed.every((c) => c.refusedUpstream)).toBe(true);
  expect(world.submitted).toEqual([]);
});

it('is given up after the last deadline, when it is gone, and when its backend is', async () => {
  await step();
  world.onAsk = () => {
    throw refused(404);
  };
  expect(await step()).toMatchObject({ over: false });
  world.nowMs += 2 * MINUTE_MS;
  expect(await step()).toEqual({ over: true });
  world.onAsk = () => {};
  world.nowMs = Date.parse(batch.lines[0]!.work.terms.deadlineAt) + 1;
  const sent = { released: ['a1', 'a2'], credential: 'default', sentAt: '2026-11-24T09:30:00.000Z' };
  world.current = { ...sent, providerId: 'batch_1' };
  expect(await step()).toEqual({ over: true });
  world.current = sent;
  expect(await runBatch(batch, undefined, portsOf(world))).toEqual({ over: true });
  expect(world.closed).toHaveLength(6);
  expect(world.closed.every((c) => c.sent && !c.refusedUpstream)).toBe(true);
});

it('what is not released goes nowhere: its worker died before, and it costs nothing', async () => {
  world.current = undefined;
  expect(await step()).toEqual({ over: false, againMs: 250 });
  world.nowMs += 16_000;
  expect(await step()).toEqual({ over: true });
  expect(world.closed.map((c) => [c.attemptId, c.outcome, c.sent])).toEqual([
    ['a1', 'not-sent', false],
    ['a2', 'not-sent', false],
  ]);
  // Whoever comes late with its word is told.
  expect(await world.decide('b1', { released: ['a1'] })).toBe(false);
  expect([world.jobs, world.submitted]).toEqual([[], []]);
});

it('a line that was not released is not sent, and what is over is not told again', async () => {
  world.current = { released: ['a2'] };
  await step();
  world.ended = { of: new Map([['a2', answer('a2')]]), others: undefined };
  expect(await step()).toEqual({ over: true });
  expect(await step()).toEqual({ over: true });
  expect(world.closed.map((c) => c.attemptId)).toEqual(['a2']);
});

describe('a job that is cancelled', () => {
  const cancel = (attemptId: string) => cancelLine(world, 'acme', `request-of-${attemptId}`);

  it('before its batch is sent is taken out of it, costs nothing, and is told at once', async () => {
    expect(await cancel('a1')).toBe(true);
    expect(world.cancels).toEqual(['a1']);
    await step();
    expect(world.sent).toEqual(['a2']);
    expect(world.closed).toMatchObject([{ attemptId: 'a1', outcome: 'not-sent', sent: false, code: 'cancelled' }]);
    world.ended = { of: new Map([['a2', answer('a2')]]), others: undefined };
    expect(await step()).toEqual({ over: true });
    expect(world.closed.filter((c) => c.outcome !== 'not-sent').map((c) => c.attemptId)).toEqual(['a2']);
    expect(world.jobs.map((j) => j.requestId)).toEqual(['request-of-a2']);
  });

  it('stays out of it when the provider refused the batch and takes it later', async () => {
    await cancel('a1');
    world.onSubmit = () => {
      throw refused(503);
    };
    await step();
    world.onSubmit = () => 'batch_1';
    await step();
    expect([world.submitted, world.sent]).toEqual([['b1'], ['a2']]);
  });

  it('with all others of its batch before it is sent: nothing is sent', async () => {
    await cancel('a1');
    await cancel('a2');
    expect(await step()).toEqual({ over: true });
    expect(world.submitted).toEqual([]);
    expect(world.closed.map((c) => [c.attemptId, c.outcome])).toEqual([
      ['a1', 'not-sent'],
      ['a2', 'not-sent'],
    ]);
  });

  it('after that is told at once; its line is booked as it ends, as no answer, and it is not run again', async () => {
    await step();
    await cancel('a1');
    expect(world.cancels).toEqual(['a1']);
    await step();
    expect(world.cancelAsked).toBe(0);
    world.ended = {
      of: new Map([
        ['a1', answer('a1')],
        ['a2', answer('a2')],
      ]),
      others: undefined,
    };
    expect(await step()).toEqual({ over: true });
    expect(world.closed).toMatchObject([
      { attemptId: 'a1', outcome: 'cancelled', servedTier: 'batch', usage: { inputTokens: 10, outputTokens: 2 } },
      { attemptId: 'a2', outcome: 'finished' },
    ]);
    expect(world.jobs.map((j) => j.requestId)).toEqual(['request-of-a2']);
  });

  it('with all others of its batch: the provider is asked once to cancel the batch, and what it did not run costs nothing', async () => {
    await step();
    await cancel('a1');
    await cancel('a2');
    await step();
    await step();
    expect(world.cancelAsked).toBe(1);
    world.ended = { of: new Map([['a1', answer('a1')]]), others: { notRun: 'cancelled' } };
    expect(await step()).toEqual({ over: true });
    expect(world.closed).toMatchObject([
      { attemptId: 'a1', outcome: 'cancelled', usage: { outputTokens: 2 } },
      { attemptId: 'a2', outcome: 'failed', refusedUpstream: true },
    ]);
    expect(world.jobs).toEqual([]);
  });

  it('when its batch has ended, or none has it, changes nothing', async () => {
    await step();
    world.current = { ...world.current!, ending: true };
    expect(await cancel('a1')).toBe(false);
    expect(await cancel('a9')).toBe(false);
    expect([world.cancels, [...world.cancelledOnes]]).toEqual([[], []]);
  });

  it('between its opening and the release of its batch is told when the batch is sent', async () => {
    world.current = undefined;
    expect(await cancel('a1')).toBe(true);
    expect(world.cancels).toEqual([]);
    await world.decide('b1', { released: ['a1', 'a2'] });
    await step();
    expect([world.cancels, world.sent]).toEqual([['a1'], ['a2']]);
  });
});

it('a batch that was refused for good is not sent again by who goes on after a crash', async () => {
  world.current = { released: ['a1', 'a2'], ending: true };
  expect(await step()).toEqual({ over: true });
  expect(world.submitted).toEqual([]);
  expect(world.closed.map((c) => c.refusedUpstream)).toEqual([true, true]);
});

it('an older batch is asked for less often', async () => {
  expect(await step()).toEqual({ over: false, againMs: 30_000 });
  world.nowMs += 60 * MINUTE_MS;
  expect(await step()).toEqual({ over: false, againMs: 6 * MINUTE_MS });
  world.nowMs += 10 * 60 * MINUTE_MS;
  expect(await step()).toEqual({ over: false, againMs: 10 * MINUTE_MS });
});
