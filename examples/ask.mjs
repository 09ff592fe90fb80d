// Asks one question over NATS with a plain client: nothing but the documented subjects.
// NATS_URL, MERITORDER_ORG and NATS_PASSWORD override the defaults of `npm start`.
import { readFileSync } from 'node:fs';
import { connect } from '@nats-io/transport-node';

const org = process.env.MERITORDER_ORG ?? 'acme';
const password = process.env.NATS_PASSWORD ?? readFileSync(`.data/nats/generated/passwords/org-${org}`, 'utf8').trim();
const nats = await connect({
  servers: process.env.NATS_URL ?? 'nats://127.0.0.1:14222',
  user: `org-${org}`,
  pass: password,
  inboxPrefix: `_INBOX_${org}`,
});
const question = process.argv[2] ?? 'What is a merit order?';
const reply = await nats.request(
  `inference.request.v1.${org}`,
  JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: question }], max_tokens: 200 }),
  { timeout: 60_000 },
);
const answer = reply.json();
if (answer.error) console.error(`${answer.error.code}: ${answer.error.message}`);
else {
  console.log(answer.choices[0].message.content);
  const { backend, cost, reason } = answer.meritorder;
  console.log(`\n${backend} for $${cost.usd} in cash, $${cost.full_usd} in full (${cost.basis})\n${reason}`);
}
await nats.close();
