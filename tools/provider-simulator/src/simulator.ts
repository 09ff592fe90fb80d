import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { invoiceDocument, type InvoiceDocument } from './billing/invoice-documents.js';
import { Invoice, type Period } from './billing/invoice.js';
import { resolveConfig, type SimulatorConfig } from './config.js';
import { Model } from './engine/model.js';
import { Batches } from './serving/batches.js';
import { Calls } from './serving/calls.js';
import { Control } from './serving/control.js';
import { route } from './serving/routes.js';

/** Longer than the idle time of usual clients, so that they close idle connections first and never write into one that just closed. */
const KEEP_ALIVE_MS = 75_000;

export interface Simulator {
  /** Without a slash at the end; OpenAI clients take `${url}/v1`. */
  url: string;
  port: number;
  control: Pick<Control, 'gate' | 'faults' | 'stats'>;
  invoice(period?: Period): InvoiceDocument;
  /** Breaks off what is in flight (charged as cut) and closes the port. */
  stop(): Promise<void>;
}

/** @throws Error when the configuration or the invoice file is wrong, or the port is taken. */
export async function startSimulator(given: SimulatorConfig): Promise<Simulator> {
  const config = resolveConfig(given);
  const invoice = await Invoice.open(config.maxInvoiceLines, config.invoiceFile);
  const models = new Map(
    Object.entries(config.models).map(([name, model]) => [name, new Model(name, model, config.seed, config.timeScale)]),
  );
  const calls = new Calls(config, models, invoice);
  const control = new Control(models, calls.refused, invoice);
  const batches = new Batches(config, models, invoice);
  const site = { config, models, invoice, calls, batches, control };
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) =>
    route(site, request, response),
  );
  await listen(server, config.port, config.host);
  const { port } = server.address() as AddressInfo;
  let stopped: Promise<void> | undefined;
  return {
    url: `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`,
    port,
    control,
    invoice: (period) => invoiceDocument(config.name, invoice, period),
    stop: () => (stopped ??= stop(server, calls, batches, invoice)),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function stop(server: Server, calls: Calls, batches: Batches, invoice: Invoice): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  batches.stop();
  await calls.stop();
  server.closeAllConnections();
  await closed;
  invoice.close();
}
