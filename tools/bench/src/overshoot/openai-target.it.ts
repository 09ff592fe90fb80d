import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '@meritorder/testing';
import { overshootOf } from './overshoot.js';
import type { OvershootReport } from './report.js';

const dataDir = mkdtempSync(join(tmpdir(), 'meritorder-gateway-'));
let gateway: Server;
let providerPort: number;
let holds: boolean;
const budgets = new Map<string, { limit: number; spent: number }>();
/** Above what any request of the mix costs. */
const BOUND_USD = 0.0012;

/** A gateway of a few lines: its keys have budgets in dollars, checked before the call and charged after it, or held before it. */
beforeAll(async () => {
  providerPort = await freePort();
  gateway = createServer(async (request, response) => {
    const answer = (status: number, body: string): void => void response.writeHead(status).end(body);
    let body = '';
    for await (const part of request) body += String(part);
    const [, path, key = '', limit] = request.url!.split('/');
    if (path === 'budgets') {
      if (request.method === 'PUT') budgets.set(`key-of-${key}`, { limit: Number(limit), spent: 0 });
      return answer(200, request.method === 'PUT' ? `key-of-${key}` : String(budgets.get(key)!.spent));
    }
    const budget = budgets.get(request.headers.authorization!.slice(7))!;
    const hold = holds ? BOUND_USD : 0;
    if (budget.spent + hold >= budget.limit) return answer(429, 'budget');
    budget.spent += hold;
    const upstream = await fetch(`http://127.0.0.1:${providerPort}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await upstream.text();
    const { usage } = JSON.parse(text) as { usage: { prompt_tokens: number; completion_tokens: number } };
    budget.spent += (usage.prompt_tokens + usage.completion_tokens * 4) / 1e6 - hold;
    answer(200, text);
  });
  await new Promise<void>((done) => gateway.listen(0, '127.0.0.1', done));
});
afterAll(async () => {
  gateway.closeAllConnections();
  gateway.close();
  rmSync(dataDir, { recursive: true, force: true });
});

async function measure(): Promise<OvershootReport> {
  const url = `http://127.0.0.1:${(gateway.address() as { port: number }).port}`;
  return overshootOf(
    {
      url: `${url}/v1`,
      model: 'small',
      setBudget: `curl -sf -X PUT ${url}/budgets/$BUDGET_ID/$LIMIT_USD`,
      readSpend: `curl -sf ${url}/budgets/$API_KEY`,
      providerPort,
      settleSeconds: 0,
      dataDir,
    },
    { clients: 16, seconds: 20, requests: 120, seed: 3, pauseMs: 20, budgets: 2, log: () => {} },
  );
}

it('a gateway that checks before and charges after is overrun, by its invoice and by its own books', async () => {
  holds = false;
  const report = await measure();
  expect(report.requests).toBe(120);
  expect(report.invoiceOvershootNanos).toBeGreaterThan(0);
  expect(report.bookedOvershootNanos).toBe(report.invoiceOvershootNanos);
  expect(report.maxOvershootNanos).toBe(report.invoiceOvershootNanos);
  expect(report.refused['429']).toBeGreaterThan(0);
  expect(report.checks['unmatchedLines']).toBe(0);
});

it('a gateway that holds before the call is not overrun', async () => {
  holds = true;
  const report = await measure();
  expect(report.maxOvershootNanos).toBe(0);
  expect(report.admitted).toBeGreaterThan(0);
  expect(report.refused['429']).toBeGreaterThan(0);
});
