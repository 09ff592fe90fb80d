import { Command } from 'commander';
import { loadConfig, orgInboxPrefix } from '@meritorder/contracts';
import { bundledCatalogue } from '@meritorder/price-catalogue';
import { connectDatabase, migrate, trialBalance, unsettledAttempts } from '@meritorder/ledger-store';
import { connectBus, ensureTopology, natsCredentials, natsTls, SERVICE_INBOX } from '@meritorder/messaging';
import { nanosToUsd } from '@meritorder/kernel';
import type { NatsConnection } from '@nats-io/transport-node';
import { budgetsCommand } from './budgets.js';
import { warningsOf } from './check.js';
import { decisionsCommand } from './decisions.js';
import { estimateCommand } from './estimate.js';
import { explainCommand } from './explain.js';
import { fleetCommand } from './fleet.js';
import { hardwareCommand } from './hardware.js';
import { keysCommand } from './keys.js';
import { importInvoice, readInvoice } from './invoice.js';
import { joinCommand } from './join.js';
import { marginCommand } from './margin.js';
import { retirePassword, rotatePassword, writeNatsConfig } from './nats-config.js';
import { writeNKey, writeNKeys } from './nats-nkey.js';
import { policyCommand } from './policy.js';
import { pricesCommand } from './prices.js';
import { simulateCommand } from './simulate/command.js';

interface NatsConfigOptions {
  config: string;
  out: string;
  secrets: string;
  listen: string;
  monitor?: string;
  store: string;
  rotate?: string[];
  retire?: string[];
}

const DEFAULT_DATABASE = 'postgres://meritorder@127.0.0.1:5432/meritorder';
const program = new Command('meritorder').description('Economic dispatch for LLM inference.').showHelpAfterError();

program
  .command('migrate')
  .description('bring the database schema up to date (DATABASE_URL)')
  .option('--wait <seconds>', 'how long to wait for the database', '0')
  .action(async (o: { wait: string }) => {
    const run = await patiently(Number(o.wait), () => migrate(process.env['DATABASE_URL'] ?? DEFAULT_DATABASE));
    console.log(run.length > 0 ? `ran ${run.join(', ')}` : 'the schema is up to date');
  });

program
  .command('nats-config')
  .description('write nats.conf with one user per service and org')
  .requiredOption('--config <file>', 'meritorder.yaml')
  .requiredOption('--out <dir>', 'folder for nats.conf and passwords/')
  .option('--secrets <file>', 'JSON: NATS user to password; missing ones are made up and added', '')
  .option('--listen <address>', 'where nats-server listens', '0.0.0.0:4222')
  .option('--monitor <address>', 'its monitoring endpoint')
  .option('--store <dir>', 'where JetStream keeps its streams', '/data')
  .option('--rotate <user...>', 'make a second password for these users; both are valid until one is retired')
  .option('--retire <user...>', 'forget the older password of these users')
  .action((o: NatsConfigOptions) => {
    const config = loadConfig(o.config);
    const secrets = o.secrets || `${o.out}/secrets.json`;
    for (const user of o.rotate ?? []) rotatePassword(config, secrets, user);
    for (const user of o.retire ?? []) retirePassword(config, secrets, user);
    writeNatsConfig(config, o.out, secrets, { listen: o.listen, storeDir: o.store, monitor: o.monitor });
    console.log(`wrote ${o.out}/nats.conf; a nats-server that runs reads it again on SIGHUP`);
  });

program
  .command('nats-nkey')
  .description('make an NKey: its seed goes to a file, its public part is shown, for nats.nkeys of the configuration')
  .requiredOption('--out <file>', 'where the seed goes; must not exist')
  .option(
    '--all-of <config>',
    'of every NATS user of a configuration: --out is a folder, and seeds that are in it stay',
  )
  .action((o: { out: string; allOf?: string }) => {
    if (o.allOf === undefined) return console.log(writeNKey(o.out));
    const keys = Object.entries(writeNKeys(loadConfig(o.allOf), o.out));
    console.log(['nats:', '  nkeys:', ...keys.map(([user, [key]]) => `    ${user}: [${key}]`)].join('\n'));
  });

program
  .command('provision')
  .description('make streams, buckets and consumers agree with the configuration (as the NATS user operator)')
  .option('--config <file>', 'meritorder.yaml', process.env['MERITORDER_CONFIG'] ?? 'meritorder.yaml')
  .option('--wait <seconds>', 'how long to wait for the server', '0')
  .action(async (o: { config: string; wait: string }) => {
    const bus = await patiently(Number(o.wait), operatorBus);
    await ensureTopology(bus, loadConfig(o.config));
    await bus.close();
    console.log('streams, buckets and consumers agree with the configuration');
  });

program
  .command('check')
  .description('check a configuration')
  .argument('[file]', 'meritorder.yaml', 'meritorder.yaml')
  .action(async (file: string) => {
    const config = loadConfig(file);
    console.log(
      `${file}: ${config.orgs.length} orgs, ${config.backends.length} backends, ${config.routes.length} routes, ${config.budgets.length} budgets`,
    );
    for (const warning of warningsOf(config, bundledCatalogue('as bundled'))) console.error(`warning: ${warning}`);
  });

program
  .command('reconcile')
  .description("import a provider's invoice: unconfirmed attempts become confirmed, differences are listed")
  .requiredOption('--provider <id>', 'whose invoice it is')
  .requiredOption('--invoice <file-or-url>', 'JSON with from, to and lines')
  .action(async (o: { provider: string; invoice: string }) => {
    const invoice = await readInvoice(o.invoice);
    const report = await withOperator((nats) => importInvoice(nats, o.provider, invoice));
    console.log(JSON.stringify(report, null, 2));
    if (report.differences.length > 0 || report.unmatchedLines.length > 0) process.exitCode = 2;
  });

program
  .command('books')
  .description('balances of all accounts, and attempts that are not confirmed (DATABASE_URL)')
  .action(async () => {
    const database = await connectDatabase(process.env['DATABASE_URL'] ?? DEFAULT_DATABASE, 'meritorder-cli', 1);
    for (const { account, balanceNanos } of await trialBalance(database))
      console.log(`${account.padEnd(40)} ${nanosToUsd(balanceNanos).padStart(20)} USD`);
    for (const a of await unsettledAttempts(database)) {
      console.log(
        `${a.state} ${a.attemptId} ${a.backend} bound ${nanosToUsd(BigInt(a.boundCashNanos))} USD since ${a.reservedAt.toISOString()}`,
      );
    }
    await database.destroy();
  });

estimateCommand(program, (org, run) => withBus(orgInboxPrefix(org), run));
budgetsCommand(program, withOperator);
keysCommand(program, withOperator);
policyCommand(program, withOperator);
pricesCommand(program, withOperator);
hardwareCommand(program, withOperator);
marginCommand(program, withOperator);
fleetCommand(program, withOperator);
explainCommand(program, withOperator);
decisionsCommand(program, withOperator);
simulateCommand(program);
joinCommand(program);

/** Tries again every half second until it works or the time is up. */
async function patiently<T>(seconds: number, run: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + seconds * 1_000;
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (Date.now() >= deadline) throw error;
      await new Promise((r) => setTimeout(r, 500));
    }
  }
}

async function operatorBus(inboxPrefix: string = SERVICE_INBOX.operator) {
  return connectBus({
    url: process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222',
    credentials: () => {
      const credentials = natsCredentials();
      return credentials.nkeySeed ? credentials : { ...credentials, user: credentials.user ?? 'operator' };
    },
    tls: natsTls(),
    name: 'cli',
    inboxPrefix,
  });
}

/** Runs something as the NATS user operator. */
function withOperator<T>(run: (nats: NatsConnection) => Promise<T>): Promise<T> {
  return withBus(SERVICE_INBOX.operator, run);
}

async function withBus<T>(inboxPrefix: string, run: (nats: NatsConnection) => Promise<T>): Promise<T> {
  const bus = await operatorBus(inboxPrefix);
  try {
    return await run(bus.nats);
  } finally {
    await bus.close();
  }
}

try {
  await program.parseAsync();
} catch (error) {
  console.error(`meritorder: ${(error as Error).message}`);
  // Connections that are still open must not keep a failed command alive.
  process.exit(1);
}
