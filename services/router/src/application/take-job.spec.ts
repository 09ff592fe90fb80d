import { describe, expect, it } from 'vitest';
import type { JobLog, KnownJob } from './ports.js';
import { jobIsKept, takeJob, type TakenJob } from './take-job.js';

const FIRST = '2026-11-01T10:00:00.000Z';
const LATER = '2026-11-09T10:00:00.000Z';

/** As the bucket and the stream of results do it, and what was told. */
function jobLog() {
  const entries = new Map<string, { job: KnownJob; revision: number }>();
  const results = new Set<string>();
  const told: string[] = [];
  let revision = 0;
  const put = (key: string, job: KnownJob) => {
    entries.set(key, { job, revision: ++revision });
    return entries.get(key)!;
  };
  const log: JobLog = {
    take: async (org, id, job) => entries.get(`${org}.${id}`) ?? put(`${org}.${id}`, job),
    replace: async (org, id, job, from) =>
      entries.get(`${org}.${id}`)?.revision === from ? put(`${org}.${id}`, job).revision : undefined,
    hasResult: async (_org, _id, acceptedAt) => results.has(acceptedAt),
    tellResult: async (_org, _id, acceptedAt) => results.has(acceptedAt) && told.push(acceptedAt) > 0,
  };
  const say = (state: KnownJob['state']) => put('acme.j1', { ...entries.get('acme.j1')!.job, state });
  return { log, results, told, say, forget: () => entries.clear() };
}

const wanted = (claim: string, more: Partial<KnownJob> = {}): KnownJob => ({
  fingerprint: 'f',
  acceptedAt: FIRST,
  claim,
  messageId: 'acme/j1',
  state: 'taken',
  ...more,
});

describe('the id of a job', () => {
  it('is taken once: while it waits or runs the same is known, and another is refused', async () => {
    const { log, told } = jobLog();
    const taken = (await takeJob(log, 'acme', 'j1', wanted('one'))) as Extract<TakenJob, { as: 'to-keep' }>;
    expect(taken).toMatchObject({ as: 'to-keep', job: { claim: 'one', messageId: 'acme/j1' } });
    await jobIsKept(log, 'acme', 'j1', taken, 17);
    expect(await takeJob(log, 'acme', 'j1', wanted('two', { acceptedAt: LATER }))).toMatchObject({
      as: 'known',
      job: { claim: 'one', acceptedAt: FIRST, sequence: 17 },
    });
    expect(await takeJob(log, 'acme', 'j1', wanted('other', { fingerprint: 'g' }))).toEqual({ as: 'reused' });
    expect(await takeJob(log, 'globex', 'j1', wanted('theirs'))).toMatchObject({ as: 'to-keep' });
    expect(told).toEqual([]);
  });

  it('of one that may not have come into the queue is put there again as what it was, with the same charge', async () => {
    const { log } = jobLog();
    await takeJob(log, 'acme', 'j1', wanted('one'));
    expect(await takeJob(log, 'acme', 'j1', wanted('two', { acceptedAt: LATER }))).toMatchObject({
      as: 'to-keep',
      job: wanted('one'),
    });
    expect(await takeJob(log, 'acme', 'j1', wanted('other', { fingerprint: 'g' }))).toEqual({ as: 'reused' });
  });

  it('of one whose result is kept has it told again, and another is still refused', async () => {
    const { log, results, told, say } = jobLog();
    await takeJob(log, 'acme', 'j1', wanted('one'));
    results.add(FIRST);
    // Also where nobody wrote down that the queue has it, or that it has ended.
    for (const state of ['taken', 'kept', 'ended'] as const) {
      say(state);
      expect(await takeJob(log, 'acme', 'j1', wanted('two', { acceptedAt: LATER }))).toMatchObject({ as: 'known' });
    }
    expect(told).toEqual([FIRST, FIRST, FIRST]);
    expect(await takeJob(log, 'acme', 'j1', wanted('other', { fingerprint: 'g' }))).toEqual({ as: 'reused' });
    expect(told).toHaveLength(3);
  });

  it('is free when its result is not kept any more: what it names is new to the queue and charged anew, once', async () => {
    const { log, results, say, forget } = jobLog();
    await takeJob(log, 'acme', 'j1', wanted('one'));
    say('ended');
    const anew = { acceptedAt: LATER, fingerprint: 'g' };
    const both = [wanted('two', anew), wanted('three', anew)].map((job) => takeJob(log, 'acme', 'j1', job));
    const job = { ...wanted('two', anew), messageId: `acme/j1/${Date.parse(LATER)}` };
    expect(await Promise.all(both)).toMatchObject([
      { as: 'to-keep', job },
      { as: 'to-keep', job },
    ]);
    // The result of the job before is not its own.
    results.add(FIRST);
    say('kept');
    expect(await takeJob(log, 'acme', 'j1', wanted('four', anew))).toMatchObject({
      as: 'known',
      job: { claim: 'two' },
    });
    forget();
    expect(await takeJob(log, 'acme', 'j1', wanted('five', anew))).toMatchObject({ job: { claim: 'five' } });
  });

  it('that has ended before it was written down that the queue has it stays ended', async () => {
    const { log, say } = jobLog();
    const taken = (await takeJob(log, 'acme', 'j1', wanted('one'))) as Extract<TakenJob, { as: 'to-keep' }>;
    say('ended');
    await jobIsKept(log, 'acme', 'j1', taken, 17);
    expect((await log.take('acme', 'j1', wanted('two'))).job).toMatchObject({ claim: 'one', state: 'ended' });
  });
});
