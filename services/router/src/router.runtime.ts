import type {
  Attribution,
  ChatRequest,
  JobAcceptedV1,
  Kind,
  MeritorderConfig,
  OrgConfig,
  Refusal,
} from '@meritorder/contracts';
import { systemClock } from '@meritorder/kernel';
import type { Bus } from '@meritorder/messaging';
import type { Context } from '@opentelemetry/api';
import type { ComparePorts } from './application/compare-request.js';
import { dispatchRequest, type DispatchPorts } from './application/dispatch-request.js';
import { RecentCancels } from './application/recent-cancels.js';
import type { DispatchOutcome } from './application/outcome.js';
import type { SourceRequest } from './application/read-request.js';
import type { FleetViews } from './application/ports.js';
import { resolveCaller, type CallerDirectory } from './application/resolve-caller.js';

export const ROUTER = Symbol('ROUTER');

export interface RouterRequest {
  requestId: string;
  isJob?: boolean;
  claim?: string;
  jobDeadlineMs?: number;
  job?: JobAcceptedV1;
  kind: Kind;
  body: ChatRequest;
  source?: SourceRequest | undefined;
  attribution: Attribution;
  org: OrgConfig;
  replyTo: string;
  context: Context;
  deadlineMs?: number;
}

/** What the router's entrances share: ports, limits, and the requests in flight. */
export class RouterRuntime {
  private readonly inFlight = new Map<string, { abort: AbortController; isJob: boolean }>();
  private readonly recentCancels = new RecentCancels();
  private readonly inFlightOfOrg = new Map<string, number>();

  constructor(
    readonly config: MeritorderConfig,
    readonly bus: Bus,
    readonly ports: DispatchPorts & ComparePorts & { fleet: FleetViews },
    readonly directory: CallerDirectory,
  ) {}

  resolve(
    org: string,
    key: string | undefined,
    metadata: Record<string, string> | null | undefined,
  ): { attribution: Attribution; org: OrgConfig } | Refusal {
    return resolveCaller(this.directory, org, key, metadata);
  }

  /** The largest body of a request of an org, bytes. */
  bodyLimit(org: string): number {
    const { bodyBytes } = this.config.limits;
    return Math.min(bodyBytes, this.directory.orgs.get(org)?.quotas?.bodyBytes ?? bodyBytes);
  }

  async dispatch(request: RouterRequest): Promise<DispatchOutcome> {
    const { limits } = this.config;
    const key = `${request.attribution.org}.${request.requestId}`;
    const refuse = (refusal: Refusal): DispatchOutcome => {
      this.ports.caller.refuse(request.replyTo, request.requestId, refusal);
      return { ended: 'refused', refusal };
    };
    if (this.inFlight.size >= limits.requestsInFlightPerRouter) {
      return refuse({
        code: 'overloaded',
        message: `This router has ${this.inFlight.size} requests in flight, its limit.`,
        retryAfterSeconds: 1,
      });
    }
    if (this.inFlight.has(key)) {
      return refuse({
        code: 'header_invalid',
        message: `The request ${request.requestId} is in flight already; every request has an id of its own.`,
      });
    }
    const { id: org, quotas } = request.org;
    const ofOrg = this.inFlightOfOrg.get(org) ?? 0;
    if (ofOrg >= (quotas?.requestsInFlightPerRouter ?? Infinity)) {
      return refuse({
        code: 'org_in_flight',
        message: `The org ${org} has ${ofOrg} requests in flight at this router, its quota.`,
        retryAfterSeconds: 1,
      });
    }
    const abort = new AbortController();
    this.inFlight.set(key, { abort, isJob: request.isJob ?? false });
    this.inFlightOfOrg.set(org, ofOrg + 1);
    const nowMs = systemClock.nowMs();
    const deadlineMs =
      request.deadlineMs ??
      nowMs + Math.min(request.body.meritorder?.deadline_ms ?? limits.requestDeadlineMs, limits.requestDeadlineMs);
    try {
      return await dispatchRequest(this.ports, limits, { ...request, deadlineMs, cancelled: abort.signal });
    } finally {
      this.inFlight.delete(key);
      this.inFlightOfOrg.set(org, this.inFlightOfOrg.get(org)! - 1);
    }
  }

  cancel(org: string, request: string): void {
    this.recentCancels.add(org, request, systemClock.nowMs());
    this.inFlight.get(`${org}.${request}`)?.abort.abort();
  }

  /** Heard within the last seconds. */
  wasCancelledLately(org: string, request: string): boolean {
    return this.recentCancels.has(org, request, systemClock.nowMs());
  }

  /** False: it is in flight here as a request that is answered at once. */
  mayBeJob(org: string, request: string): boolean {
    return this.inFlight.get(`${org}.${request}`)?.isJob ?? true;
  }

  isInFlight(org: string, request: string): boolean {
    return this.inFlight.has(`${org}.${request}`);
  }

  requestsInFlight(): number {
    return this.inFlight.size;
  }
}
