import { expect, it } from 'vitest';
import { GatewayConfig } from './gateway-config.js';

const refusal = (origin: string): string | undefined =>
  GatewayConfig.safeParse({ corsOrigins: [origin] }).error?.issues[0]!.message;

it('no web page may ask unless it is named', () => {
  expect(GatewayConfig.parse({})).toEqual({ corsOrigins: [] });
});

it.each(['https://app.example.com', 'http://localhost:3000', 'http://127.0.0.1:8080', 'http://[::1]:3000', '*'])(
  '%s is an origin',
  (origin) => expect(refusal(origin)).toBeUndefined(),
);

it.each([
  'app.example.com',
  'https://app.example.com/',
  'https://app.example.com/chat',
  'https://App.example.com',
  'https://app.example.com:443',
  'https://*.example.com',
  'ftp://app.example.com',
  'null',
  '',
])('"%s" is refused: no browser sends it so', (origin) => expect(refusal(origin)).toMatch(/as browsers send it/));
