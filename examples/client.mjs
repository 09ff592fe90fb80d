// Asks, streams, reports an outcome and hears of budgets with the client library.
import { readFileSync } from 'node:fs';
import { Meritorder } from '@meritorder/client';

const org = process.env.MERITORDER_ORG ?? 'acme';
const pass = process.env.NATS_PASSWORD ?? readFileSync(`.data/nats/generated/passwords/org-${org}`, 'utf8').trim();
const meritorder = await Meritorder.connect({
  servers: process.env.NATS_URL ?? 'nats://127.0.0.1:14222',
  org,
  user: `org-${org}`,
  pass,
});
const stop = meritorder.subscribe('alerts', ({ type, data }) => console.log(`event ${type}: ${data.budgetName}`));

const stream = meritorder.stream({
  model: 'auto',
  messages: [{ role: 'user', content: process.argv[2] ?? 'What is a merit order?' }],
  max_tokens: 200,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
const { backend, cost, request_id } = stream.receipt;
console.log(`\n\n${backend} for $${cost.usd}`);
const { state } = await meritorder.report({ request_id, kind: 'thumbs', value: true });
console.log(`thumbs up: ${state}`);
await stop();
await meritorder.close();
