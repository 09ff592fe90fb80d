import { connect, createServer, type Server, type Socket } from 'node:net';

interface Link {
  client: Socket;
  server: Socket;
  held: Buffer[];
}

/**
 * A TCP proxy between the services and Redis. It can be pointed at another server, as a failover does, and it can keep replies
 * back, as a network does that fails after a command was applied.
 */
export class RedisProxy {
  private readonly links = new Set<Link>();
  private holding = false;

  private constructor(
    private readonly server: Server,
    readonly port: number,
    private target: number,
  ) {
    server.on('connection', (client) => this.accept(client));
  }

  static async start(target: number): Promise<RedisProxy> {
    const server = createServer({ noDelay: true });
    await new Promise<void>((done, failed) => {
      server.once('error', failed);
      server.listen(0, '127.0.0.1', done);
    });
    return new RedisProxy(server, (server.address() as { port: number }).port, target);
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Every connection breaks at once; new ones reach the other server. */
  pointTo(port: number): void {
    this.target = port;
    this.breakAll();
  }

  /** From now on commands arrive, but nothing is heard of them. */
  holdReplies(): void {
    this.holding = true;
  }

  /** What was held back arrives late (`deliver`), or never, with the connection broken. */
  releaseReplies(deliver: boolean): void {
    this.holding = false;
    if (!deliver) return this.breakAll();
    for (const link of this.links) for (const reply of link.held.splice(0)) link.client.write(reply);
  }

  async stop(): Promise<void> {
    const closed = new Promise((done) => this.server.close(done));
    this.breakAll();
    await closed;
  }

  private accept(client: Socket): void {
    const server = connect({ port: this.target, host: '127.0.0.1', noDelay: true });
    const link: Link = { client, server, held: [] };
    this.links.add(link);
    client.on('data', (data) => server.write(data));
    server.on('data', (data) => (this.holding ? link.held.push(data) : client.write(data)));
    for (const socket of [client, server]) {
      socket.on('error', () => {});
      socket.on('close', () => this.break(link));
    }
  }

  private breakAll(): void {
    for (const link of this.links) this.break(link);
  }

  private break(link: Link): void {
    this.links.delete(link);
    link.client.destroy();
    link.server.destroy();
  }
}
