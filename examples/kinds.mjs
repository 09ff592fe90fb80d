// Asks for embeddings, and for a message as Anthropic defines it, with a plain client: the header says which kind the body is.
// NATS_URL, MERITORDER_ORG and NATS_PASSWORD override the defaults of `npm start`.
import { readFileSync } from 'node:fs';
import { connect, headers } from '@nats-io/transport-node';

const org = process.env.MERITORDER_ORG ?? 'acme';
const password = process.env.NATS_PASSWORD ?? readFileSync(`.data/nats/generated/passwords/org-${org}`, 'utf8').trim();
const nats = await connect({
  servers: process.env.NATS_URL ?? 'nats://127.0.0.1:14222',
  user: `org-${org}`,
  pass: password,
  inboxPrefix: `_INBOX_${org}`,
});

async function ask(kind, body) {
  const h = headers();
  h.set('Meritorder-Kind', kind);
  const reply = await nats.request(`inference.request.v1.${org}`, JSON.stringify(body), {
    headers: h,
    timeout: 60_000,
  });
  const answer = reply.json();
  if (answer.error) throw new Error(`${answer.error.code}: ${answer.error.message}`);
  return answer;
}

const question = process.argv[2] ?? 'What is a merit order?';
const embeddings = await ask('embeddings', { model: 'text-embedding-3-small', input: question });
const { backend, cost } = embeddings.meritorder;
console.log(`${embeddings.data[0].embedding.length} numbers, ${backend} for $${cost.usd}`);

const message = await ask('messages', {
  model: 'auto',
  max_tokens: 200,
  messages: [{ role: 'user', content: question }],
});
const said = message.content.map((block) => block.text).join('');
console.log(`${said} (${message.stop_reason}), ${message.meritorder.backend} for $${message.meritorder.cost.usd}`);
await nats.close();
