// Receives the budget events of an org, also those published while this was not running: each until it is acknowledged.
import { readFileSync } from 'node:fs';
import { connect } from '@nats-io/transport-node';

const org = process.env.MERITORDER_ORG ?? 'acme';
const pass = process.env.NATS_PASSWORD ?? readFileSync(`.data/nats/generated/passwords/org-${org}`, 'utf8').trim();
const nats = await connect({
  servers: process.env.NATS_URL ?? 'nats://127.0.0.1:14222',
  user: `org-${org}`,
  pass,
  inboxPrefix: `_INBOX_${org}`,
});
console.log('waiting for budget events; Ctrl-C ends');
for await (const message of nats.subscribe(`deliver.v1.${org}.alerts`)) {
  const event = message.json();
  console.log(
    `${event.budgetName} (${event.window}): ${event.threshold * 100} % crossed, $${event.spentUsd} of $${event.limitUsd}`,
  );
  message.respond();
}
