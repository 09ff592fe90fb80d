import {
  KEYS_PER_ANSWER,
  type KeysReply,
  type KeysRequest,
  type KeyTerms,
  type MeritorderConfig,
} from '@meritorder/contracts';
import { createKey, KeyRefusal, listKeys, revokeKey, rotateKey } from '@meritorder/ledger-store';
import type { DataSource } from 'typeorm';
import type { KeyPublisher } from './key-publisher.js';

type Answer = Extract<KeysReply, { keys: unknown }>;

/** Carries out what an operator says of keys: kept in Postgres first, then told. It never sees a secret, only its digest. */
export class KeyDesk {
  constructor(
    private readonly config: MeritorderConfig,
    private readonly source: DataSource,
    private readonly publisher: KeyPublisher,
    private readonly onError: (message: string) => void,
  ) {}

  /** @throws KeyRefusal for what cannot be done. */
  async carryOut(request: KeysRequest): Promise<Answer> {
    if (request.verb === 'list') {
      const { org, after } = request;
      const keys = await listKeys(this.source, { org, after, limit: KEYS_PER_ANSWER });
      return { keys, more: keys.length === KEYS_PER_ANSWER, told: true };
    }
    switch (request.verb) {
      case 'create':
        this.check(request.org, request.id, request.terms);
        if (request.expiresAt !== undefined && Date.parse(request.expiresAt) <= Date.now())
          throw new KeyRefusal(`${request.expiresAt} is over`);
        await createKey(this.source, request);
        break;
      case 'rotate':
        await rotateKey(this.source, request);
        break;
      case 'revoke':
        await revokeKey(this.source, request);
        break;
    }
    const told = await this.publisher.tellUntold(request).then(
      () => true,
      (error: Error) => {
        this.onError(`the key ${request.org}/${request.id} is changed, and nobody told yet: ${error.message}`);
        return false;
      },
    );
    return { keys: await listKeys(this.source, { org: request.org, id: request.id, limit: 1 }), more: false, told };
  }

  /** What would have every request with the key refused. */
  private check(orgId: string, id: string, terms: KeyTerms): void {
    const org = this.config.orgs.find((o) => o.id === orgId);
    if (!org) throw new KeyRefusal(`the org "${orgId}" is not configured`);
    if (org.keys.some((key) => key.id === id))
      throw new KeyRefusal(`the configuration has a key "${id}" of ${orgId}; take another id`);
    if (terms.department !== undefined && !org.departments.includes(terms.department))
      throw new KeyRefusal(`the org has no department "${terms.department}"; it has: ${listed(org.departments)}`);
    const tiers = this.config.tiers.filter((t) => !t.orgs || t.orgs.includes(orgId)).map((t) => t.id);
    if (terms.tier !== undefined && tiers.length > 0 && !tiers.includes(terms.tier))
      throw new KeyRefusal(`the org has no tier "${terms.tier}"; it has: ${listed(tiers)}`);
    const routes = org.routes ?? [...this.config.routes, ...this.config.backends].map((r) => r.id);
    const unknown = terms.routes?.find((route) => !routes.includes(route));
    if (unknown !== undefined)
      throw new KeyRefusal(
        `the org may not use "${unknown}", or there is no such route; it may use: ${listed(routes)}`,
      );
  }
}

function listed(texts: readonly string[]): string {
  return texts.slice(0, 20).join(', ') || 'none';
}
