import { describe, expect, it } from 'vitest';
import { settingsFrom, withoutPassword } from './settings.js';

const OPTIONS = { config: 'meritorder.yaml', demo: true, rate: '3' };

describe('what npm start is asked for', () => {
  it('has private ports, which the environment moves', () => {
    expect(settingsFrom(OPTIONS, {}, '/w')).toMatchObject({
      requestsPerSecond: 3,
      dataDir: '/w/.data',
      ports: {
        gateway: 8_080,
        nats: 14_222,
        redis: 16_379,
        postgres: 15_432,
        simulatedCloud: 18_081,
        simulatedGpu: 18_082,
      },
      external: { nats: undefined, redis: undefined, database: undefined },
    });
    expect(settingsFrom(OPTIONS, { SIMULATOR_CLOUD_PORT: '9', NATS_URL: '' }, '/w')).toMatchObject({
      ports: { simulatedCloud: 9 },
      external: { nats: undefined },
    });
  });

  it.each(['abc', '0', '70000', '1.5', '-1'])('refuses the port "%s" by the name of its variable', (text) => {
    expect(() => settingsFrom(OPTIONS, { MERITORDER_NATS_PORT: text }, '/w')).toThrow(
      `MERITORDER_NATS_PORT must be a port from 1 to 65535, not "${text}"`,
    );
  });

  it.each(['abc', '0', '-3', '', '1e9', 'Infinity'])(
    'refuses the rate "%s", which would be a flood or nothing',
    (rate) => {
      expect(() => settingsFrom({ ...OPTIONS, rate }, {}, '/w')).toThrow(/--rate must be above 0/);
    },
  );
});

it.each([
  ['postgres://me:secret@db:5432/books', 'postgres://me:***@db:5432/books'],
  ['redis://:secret@cache:6379', 'redis://:***@cache:6379'],
  ['nats://a:s1@one:4222,nats://a:s2@two:4222', 'nats://a:***@one:4222,nats://a:***@two:4222'],
  ['nats://127.0.0.1:4222', 'nats://127.0.0.1:4222'],
])('a password is not shown: %s', (url, shown) => {
  expect(withoutPassword(url)).toBe(shown);
});
