import { createServer, type Server } from 'node:http';

export interface HealthChecks {
  /** What is not ready, in words; empty when ready. */
  notReady(): string[];
  scrape(): Promise<string>;
}

/** `/health/live`, `/health/ready` and `/metrics`. @throws Error with one line when the port is in use. */
export async function startHealthServer(host: string, port: number, checks: HealthChecks): Promise<Server> {
  const server = createServer((request, response) => {
    const send = (status: number, body: string, type = 'application/json'): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    switch (request.url?.split('?')[0]) {
      case '/health/live':
        return send(200, '{"status":"ok"}');
      case '/health/ready': {
        const notReady = checks.notReady();
        return send(
          notReady.length === 0 ? 200 : 503,
          JSON.stringify({ status: notReady.length === 0 ? 'ok' : 'not ready', notReady }),
        );
      }
      case '/metrics':
        return void checks.scrape().then(
          (text) => send(200, text, 'text/plain; version=0.0.4'),
          (error: Error) => send(500, JSON.stringify({ error: error.message })),
        );
      default:
        return send(404, '{"error":"not found"}');
    }
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
