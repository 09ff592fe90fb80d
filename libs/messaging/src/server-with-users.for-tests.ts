import type { MeritorderConfig } from '@meritorder/contracts';
import { testServers, type RunningServer } from '@meritorder/testing';
import {
  connectBus,
  ensureTopology,
  hostInboxPrefix,
  natsServerConfig,
  natsUsers,
  SERVICE_INBOX,
  type Bus,
} from './index.js';

/** A server with the users and the topology of a configuration, on which each may do what it may in the product. */
export class ServerWithUsers {
  private readonly servers = testServers();
  private readonly buses: Bus[] = [];
  private readonly passwords: Readonly<Record<string, string>>;
  private server: RunningServer | undefined;

  constructor(private readonly config: MeritorderConfig) {
    this.passwords = Object.fromEntries(natsUsers(config).map(({ user }) => [user, `pw-${user}`]));
  }

  async start(): Promise<void> {
    this.server = await this.servers.nats((port, storeDir) =>
      natsServerConfig(natsUsers(this.config), this.passwords, { listen: `127.0.0.1:${port}`, storeDir }),
    );
    await ensureTopology(await this.as('operator'), this.config);
  }

  get url(): string {
    return this.server!.url;
  }

  /** Another connection of a service, a host or an org. */
  async as(user: string): Promise<Bus> {
    const bus = await connectBus({
      url: this.url,
      user,
      password: this.passwords[user],
      name: user,
      inboxPrefix: inboxOf(user),
    });
    this.buses.push(bus);
    return bus;
  }

  async stop(): Promise<void> {
    for (const bus of this.buses) await bus.close();
    await this.servers.stop();
  }
}

function inboxOf(user: string): string {
  const host = /^local-worker-(.*)$/.exec(user)?.[1];
  return host ? hostInboxPrefix(host) : (SERVICE_INBOX[user as 'operator'] ?? `_INBOX_${user.replace('org-', '')}`);
}
