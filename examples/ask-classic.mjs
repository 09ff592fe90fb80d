// The same with the classic `nats` package.
import { readFileSync } from 'node:fs';
import { connect, JSONCodec } from 'nats';

const org = process.env.MERITORDER_ORG ?? 'acme';
const pass = process.env.NATS_PASSWORD ?? readFileSync(`.data/nats/generated/passwords/org-${org}`, 'utf8').trim();
const json = JSONCodec();
const nats = await connect({
  servers: process.env.NATS_URL ?? 'nats://127.0.0.1:14222',
  user: `org-${org}`,
  pass,
  inboxPrefix: `_INBOX_${org}`,
});
const body = {
  model: 'auto',
  messages: [{ role: 'user', content: process.argv[2] ?? 'What is a merit order?' }],
  max_tokens: 200,
};
const reply = await nats.request(`inference.request.v1.${org}`, json.encode(body), { timeout: 60_000 });
console.log(JSON.stringify(json.decode(reply.data), null, 2));
await nats.close();
