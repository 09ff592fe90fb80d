import { expect, it } from 'vitest';
import { useRedis } from '@meritorder/testing/vitest';
import { matchingBench } from './matching-bench.js';
import { reservationBench } from './reservation-bench.js';

const redis = useRedis();

// How fast it is on some machine is the bench's own business; here it is that it measures what it says.
it('the reservation bench measures granted reservations both ways', async () => {
  const figures = await reservationBench({ redisUrl: redis.url, perRound: 200, rounds: 1, inFlight: 8 });
  for (const figure of Object.values(figures)) expect(figure).toBeGreaterThan(0);
});

it('the matching bench finds the budgets of its requests', () => {
  const figures = matchingBench({ budgets: 5_000, requests: 1_000 });
  expect(figures.matchedPerRequest).toBeGreaterThan(3);
});
