import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export interface HealthChecks {
  /** What is not ready, in words; empty when ready. */
  notReady(): string[];
  scrape(): Promise<string>;
}

const PATHS: readonly (string | undefined)[] = ['/health/live', '/health/ready', '/metrics'];
const ALLOW = 'GET, HEAD, OPTIONS';

/** Answers `/health/live`, `/health/ready` and `/metrics`; false: it is none of them. */
export function answerHealth(request: IncomingMessage, response: ServerResponse, checks: HealthChecks): boolean {
  const send = (status: number, body: string, type = 'application/json'): void => {
    // To HEAD Node sends no body, and so would not count it.
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
  };
  const path = request.url?.split('?')[0];
  if (!PATHS.includes(path)) return false;
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', ALLOW);
    if (request.method === 'OPTIONS') response.writeHead(204).end();
    else send(405, `{"error":"this path is asked with GET"}`);
    return true;
  }
  switch (path) {
    case '/health/live':
      send(200, '{"status":"ok"}');
      return true;
    case '/health/ready': {
      const notReady = checks.notReady();
      const ready = notReady.length === 0;
      send(ready ? 200 : 503, JSON.stringify({ status: ready ? 'ok' : 'not ready', notReady }));
      return true;
    }
    case '/metrics':
      checks.scrape().then(
        (text) => send(200, text, 'text/plain; version=0.0.4'),
        (error: Error) => send(500, JSON.stringify({ error: error.message })),
      );
      return true;
    default:
      return false;
  }
}

/** A server for these alone. @throws Error with one line when the port is in use. */
export async function startHealthServer(host: string, port: number, checks: HealthChecks): Promise<Server> {
  const server = createServer((request, response) => {
    if (!answerHealth(request, response, checks))
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}');
  });
  server.requestTimeout = 10_000;
  server.maxConnections = 256;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new Error(
          error.code === 'EADDRINUSE'
            ? `port ${port} for /health is in use; set HEALTH_PORT to another`
            : error.message,
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  return server;
}
