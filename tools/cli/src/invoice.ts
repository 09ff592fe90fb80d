import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { NanosText, ReconcileReport, type ReconcileRequest } from '@meritorder/contracts';
import { subjects } from '@meritorder/contracts';
import type { NatsConnection } from '@nats-io/transport-node';

/**
 * A provider's invoice by call. `to` is exclusive of nothing: the invoice is complete between the two instants. Without them, as
 * where nothing was ever charged, it says nothing about calls that it does not name.
 */
export const Invoice = z.looseObject({
  provider: z.string(),
  from: z.iso.datetime().nullish(),
  to: z.iso.datetime().nullish(),
  lines: z.array(
    z.looseObject({
      callId: z.string(),
      clientRequestId: z.string().nullish(),
      nanoUsd: NanosText,
      startedAt: z.iso.datetime(),
    }),
  ),
});
export type Invoice = z.infer<typeof Invoice>;

/** Reads an invoice from a file or an http URL. @throws Error with one line. */
export async function readInvoice(source: string): Promise<Invoice> {
  let text: string;
  if (/^https?:/.test(source)) {
    const response = await fetch(source);
    if (!response.ok) throw new Error(`${source} answered ${response.status}`);
    text = await response.text();
  } else text = readFileSync(source, 'utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${source} cannot be read as JSON: ${(error as Error).message}`);
  }
  const parsed = Invoice.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new Error(`${source} is not an invoice: ${path.join('.') || 'the file'}: ${message}`);
}

const CHUNK = 5_000;

/** Sends an invoice to metering in parts; the sum of the parts' reports. */
export async function importInvoice(
  operator: NatsConnection,
  provider: string,
  invoice: Invoice,
): Promise<ReconcileReport> {
  const { from, to } = invoice;
  const invoiceId = `${provider}/${from ?? ''}/${to ?? ''}`;
  const total: ReconcileReport = {
    linesMatched: 0,
    confirmedByInvoice: 0,
    releasedWithoutLine: 0,
    aboveBound: [],
    differences: [],
    confirmedDifferenceNanos: '0',
    unmatchedLines: [],
  };
  const parts = Math.max(1, Math.ceil(invoice.lines.length / CHUNK));
  for (let part = 0; part < parts; part++) {
    const request: ReconcileRequest = {
      provider,
      invoiceId,
      lines: invoice.lines.slice(part * CHUNK, (part + 1) * CHUNK).map((l) => ({
        callId: l.callId,
        clientRequestId: l.clientRequestId ?? null,
        nanoUsd: l.nanoUsd,
        startedAt: l.startedAt,
      })),
      ...(part === parts - 1 && from && to ? { complete: { from, to } } : {}),
    };
    const answer = await askMetering(operator, request);
    const report = ReconcileReport.safeParse(answer);
    if (!report.success) throw new Error(`metering refused the invoice: ${JSON.stringify(answer).slice(0, 300)}`);
    total.linesMatched += report.data.linesMatched;
    total.confirmedByInvoice += report.data.confirmedByInvoice;
    total.releasedWithoutLine += report.data.releasedWithoutLine;
    total.aboveBound.push(...report.data.aboveBound);
    total.differences.push(...report.data.differences);
    total.unmatchedLines.push(...report.data.unmatchedLines);
    total.confirmedDifferenceNanos = (
      BigInt(total.confirmedDifferenceNanos) + BigInt(report.data.confirmedDifferenceNanos)
    ).toString();
    if (report.data.totals) total.totals = report.data.totals;
  }
  return total;
}

const PATIENCE_MS = 30_000;

/** Asks until metering answers: it may be starting, and importing the same lines again changes nothing. */
async function askMetering(operator: NatsConnection, request: ReconcileRequest): Promise<unknown> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return (
        await operator.request(subjects.meteringReconcile(), JSON.stringify(request), { timeout: 120_000 })
      ).json();
    } catch (error) {
      if (Date.now() >= deadline)
        throw new Error(`metering does not answer: ${(error as Error).message}; is it running?`);
      await new Promise((r) => setTimeout(r, 500));
    }
  }
}
