import type { Attribution, ChatRequest, Kind, MeritorderConfig, OrgConfig, Refusal } from '@meritorder/contracts';
import { systemClock } from '@meritorder/kernel';
import type { Bus } from '@meritorder/messaging';
import type { Context } from '@opentelemetry/api';
import type { ComparePorts } from './application/compare-request.js';
import { dispatchRequest, type DispatchOutcome, type DispatchPorts } from './application/dispatch-request.js';
import type { SourceRequest } from './application/read-request.js';
import { resolveCaller, type CallerDirectory } from './application/resolve-caller.js';

export const ROUTER = Symbol('ROUTER');

export interface RouterRequest {
  requestId: string;
  isJob?: boolean;
  jobDeadlineMs?: number;
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
  private readonly inFlight = new Map<string, AbortController>();

  constructor(
    readonly config: MeritorderConfig,
    readonly bus: Bus,
    readonly ports: DispatchPorts & ComparePorts,
    readonly directory: CallerDirectory,
  ) {}

  resolve(
    org: string,
    key: string | undefined,
    metadata: Record<string, string> | null | undefined,
  ): { attribution: Attribution; org: OrgConfig } | Refusal {
    return resolveCaller(this.directory, org, key, metadata);
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
    const abort = new AbortController();
    this.inFlight.set(key, abort);
    const nowMs = systemClock.nowMs();
    const deadlineMs =
      request.deadlineMs ??
      nowMs + Math.min(request.body.meritorder?.deadline_ms ?? limits.requestDeadlineMs, limits.requestDeadlineMs);
    try {
      return await dispatchRequest(this.ports, limits, { ...request, deadlineMs, cancelled: abort.signal });
    } finally {
      this.inFlight.delete(key);
    }
  }

  cancel(org: string, request: string): void {
    this.inFlight.get(`${org}.${request}`)?.abort();
  }

  requestsInFlight(): number {
    return this.inFlight.size;
  }
}
