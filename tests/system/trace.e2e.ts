import { createServer, type Server } from 'node:http';
import { headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { waitFor } from '@meritorder/testing';
import { ask, chat, startProduct, type Product } from './harness.js';

interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  service: string;
  links?: { traceId: string; spanId: string }[];
  attributes: Record<string, unknown>;
}

const spans: Span[] = [];
let collector: Server;
let product: Product;

/** A stand-in for an OpenTelemetry collector: OTLP over HTTP, JSON. */
beforeAll(async () => {
  collector = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (d: Buffer) => parts.push(d));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(parts).toString());
      for (const r of body.resourceSpans ?? []) {
        const service = r.resource.attributes.find((a: any) => a.key === 'service.name')?.value.stringValue;
        for (const s of r.scopeSpans.flatMap((x: any) => x.spans)) {
          spans.push({
            ...s,
            service,
            attributes: Object.fromEntries(s.attributes.map((a: any) => [a.key, Object.values(a.value)[0]])),
          });
        }
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((r) => collector.listen(0, '127.0.0.1', r));
  product = await startProduct({
    backends: [{ id: 'cloud' }],
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as { port: number }).port}`,
      OTEL_BSP_SCHEDULE_DELAY: '200',
    },
  });
});
afterAll(async () => {
  await product.stop();
  collector.close();
});

it("one trace leads from the client's publish to the ledger commit of its attempt, which is linked to its batch", async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const h = headers();
  h.set('traceparent', `00-${traceId}-b7ad6b7169203331-01`);
  const { meritorder } = (await ask(await product.app(), chat('Write 3 words.'), { headers: h })).json<any>();
  const commit = await waitFor(
    () => spans.find((s) => s.traceId === traceId && s.name === 'ledger commit'),
    'the span of the ledger commit',
  );
  const own = await waitFor(() => {
    const all = spans.filter((s) => s.traceId === traceId);
    return all.length >= 3 && all;
  }, 'the spans of the trace');
  expect(own.map((s) => `${s.service}: ${s.name}`).sort()).toEqual([
    'meritorder-metering: ledger commit',
    'meritorder-provider-worker: chat cloud',
    'meritorder-router: inference.request',
  ]);
  const request = own.find((s) => s.name === 'inference.request')!;
  const call = own.find((s) => s.name === 'chat cloud')!;
  expect(request.parentSpanId).toBe('b7ad6b7169203331');
  expect(call.parentSpanId).toBe(request.spanId);
  expect(commit.parentSpanId).toBe(call.spanId);
  expect(commit.attributes['meritorder.attempt.id']).toBe(meritorder.attempts[0].attempt_id);
  expect(call.attributes).toMatchObject({
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'cloud',
    'gen_ai.usage.output_tokens': expect.anything(),
  });
  await waitFor(
    () => spans.some((s) => s.name === 'book usage' && commit.links?.some((l) => l.spanId === s.spanId)),
    'the batch that the commit is linked to',
  );
});

it('metrics are there for Prometheus', async () => {
  const [router] = product.stack.of('router');
  const text = await (await fetch(`http://127.0.0.1:${router!.healthPort}/metrics`)).text();
  expect(text).toMatch(/meritorder_requests_total\{.*code="answered".*\} [1-9]/);
});
