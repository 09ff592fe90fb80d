import { BUCKETS } from '@meritorder/contracts';
import { openBucket } from '@meritorder/messaging';
import { waitFor } from '@meritorder/testing';
import { expect, it } from 'vitest';
import { LearningConversions } from './conversions.nats.js';
import { config, LearningWorld, NOW } from './learning-world.for-tests.js';
import { LearningQualities } from './quality.nats.js';

const world = new LearningWorld();
const { clock, errors, onError } = world;

it('what came while no router ran, and what a crash forgot, is learned by the next one, each once', async () => {
  const weight = (router: LearningQualities) => router.stateOf('crashing')?.models.get('openai/some-model')?.all.weight;
  const trials = (router: LearningConversions) =>
    router
      .stateOf('crashing')
      ?.segments.get('')
      ?.all.pending.reduce((sum, [, n]) => sum + n, 0);
  const startQualities = () => world.started((bus, feed) => new LearningQualities(config, bus, feed, clock, onError));
  const startConversions = () => world.started((bus, feed) => new LearningConversions(bus, feed, clock, onError));
  let [qualities, conversions] = [await startQualities(), await startConversions()];
  world.tellOutcome('crashing', 0.2, 10);
  world.tellUsage('crashing', 40, 10);
  await waitFor(() => weight(qualities) === 10 && trials(conversions) === 10, 'the first ones to be known');
  await Promise.all([qualities.kept.save(), conversions.kept.save()]);
  world.tellOutcome('crashing', 0.2, 5);
  world.tellUsage('crashing', 40, 5);
  await waitFor(() => weight(qualities) === 15 && trials(conversions) === 15, 'more to be known, that is not kept');
  errors.length = 0;
  await world.kill(qualities);
  await world.kill(conversions);
  expect(errors.every((message) => /could not be kept|is not heard/.test(message))).toBe(true);
  errors.length = 0;
  world.tellOutcome('crashing', 0.2, 300);
  world.tellUsage('crashing', 40, 300);
  world.tellOutcome('unheard-of', 0.2, 700);
  await world.metering.nats.flush();

  [qualities, conversions] = [await startQualities(), await startConversions()];
  await waitFor(() => weight(qualities) === 315 && trials(conversions) === 315, 'all of it to be known');
  await waitFor(
    () => qualities.stateOf('unheard-of')?.models.get('openai/some-model')?.all.weight === 700,
    'an org of which nothing was kept',
  );
  await qualities.close();
  await conversions.close();
  [qualities, conversions] = [await startQualities(), await startConversions()];
  world.tellOutcome('crashing', 0.2);
  world.tellUsage('crashing');
  await waitFor(() => weight(qualities) === 316 && trials(conversions) === 316, 'nothing to be learned twice');
  await qualities.close();
  await conversions.close();
  expect(errors).toEqual([]);
});

it('how far was heard, where nobody can read it, keeps no router from starting, and nothing is learned twice', async () => {
  const start = () => world.started((bus, feed) => new LearningQualities(config, bus, feed, clock, onError));
  const weight = (router: LearningQualities) => router.stateOf('spoilt')?.models.get('openai/some-model')?.all.weight;
  const first = await start();
  world.tellOutcome('spoilt', 0.2, 10);
  await waitFor(() => weight(first) === 10, 'the first one to know of it');
  await first.close();
  for (const spoilt of ['{"half', 'null', '{"stream":1,"heard":{}}']) {
    await (await openBucket(world.metering, BUCKETS.learning.name)).put('quality._heard', spoilt);
    const next = await start();
    world.tellOutcome('after-it');
    await waitFor(() => next.stateOf('after-it'), 'it to hear of what comes later');
    expect(weight(next)).toBe(10);
    await world.kill(next);
  }
});

it('answers are counted from the first complaint on, each once, unless they failed; the next router goes on with them', async () => {
  errors.length = 0;
  const start = () => world.started((bus, feed) => new LearningQualities(config, bus, feed, clock, onError));
  const counted = (router: LearningQualities) => {
    const { answers, lost } = router.stateOf('complaining')?.models.get('openai/some-model')?.all ?? {};
    return [answers, lost];
  };
  const first = await start();
  world.tellUsage('complaining', 40, 10);
  world.tellOutcome('complaining', 0, 1, { decidedAt: NOW });
  world.tellUsage('complaining', 40, 10);
  world.tellUsage('complaining', 40, 1, 'story', { attemptId: 'twice' });
  world.tellUsage('complaining', 40, 1, 'story', { attemptId: 'twice' });
  world.tellUsage('complaining', 40, 1, 'story', { attemptId: 'corrected', revision: 2 });
  world.tellUsage('complaining', 40, 1, 'story', { outcome: 'failed' });
  world.tellOutcome('complaining', 0, 2, { decidedAt: NOW });
  await waitFor(() => String(counted(first)) === '11,2', 'eleven answers and two complaints');
  await first.close();
  const second = await start();
  world.tellUsage('complaining', 40, 1);
  await waitFor(() => String(counted(second)) === '12,2', 'one more');
  await second.close();
  expect(errors).toEqual([]);
});
