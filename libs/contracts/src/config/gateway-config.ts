import { z } from 'zod';

/** As browsers send it: lower case, without the port that its scheme has anyway, and without a path. */
const Origin = z.string().refine((text) => {
  if (text === '*') return true;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url !== undefined && /^https?:$/.test(url.protocol) && url.origin === text && !text.includes('*');
}, 'must be an origin as browsers send it, such as https://app.example.com or http://localhost:3000, without a path; or "*"');

export const GatewayConfig = z.strictObject({
  corsOrigins: z.array(Origin).max(1_000).default([]).meta({
    description:
      'Web pages whose scripts may ask the gateway, by their origin; `*`: all. Default: none. Whoever opens such a page can read the API key that it uses.',
  }),
});
