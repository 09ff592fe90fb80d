import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { FleetJoinReply, subjects, type FleetJoinRequest } from '@meritorder/contracts';
import type { Bus } from '@meritorder/messaging';
import { WorkerController } from '@meritorder/worker-kit';
import { FoundModels } from '../application/find-models.js';
import { ENGINES, EngineReader, type HttpEngines } from './engine-watch.js';

export const FLEET_JOIN = Symbol('FLEET_JOIN');

const ANSWER_TIMEOUT_MS = 10_000;
const AGAIN_MS = 2_000;
/** Nothing has changed here: the centre may have forgotten, or have another configuration. */
const REPEAT_MS = 30_000;

/** Has a host join the fleet with what its engines serve. */
export class FleetJoin {
  private readonly log = new Logger('Fleet');
  private readonly models: FoundModels;
  private said = '';

  /** @param urls of the engines, with or without their version */
  constructor(
    private readonly bus: Bus,
    private readonly host: string,
    urls: readonly string[],
    reader: EngineReader,
    key: string | undefined,
  ) {
    this.models = new FoundModels(
      urls.map((url) => {
        const root = url.replace(/\/+$/, '').replace(/\/v\d+$/, '');
        return {
          baseUrl: `${root}/v1`,
          get: (path) => reader.get(root, path, key),
          show: (model) => reader.show(root, model, key),
        };
      }),
    );
  }

  look(): Promise<FleetJoinRequest> {
    return this.models.look();
  }

  /** @returns undefined when nobody answered, or was willing; the log says why. */
  async join(request: FleetJoinRequest): Promise<FleetJoinReply | undefined> {
    try {
      const answer = await this.bus.nats.request(subjects.fleetJoin(this.host), JSON.stringify(request), {
        timeout: ANSWER_TIMEOUT_MS,
      });
      const body = answer.json<{ error?: { message: string } }>();
      if (body.error) throw new Error(body.error.message);
      const reply = FleetJoinReply.parse(body);
      const names = reply.backends.map((b) => `${b.id} (${b.model}, ${b.contextTokens} tokens)`);
      this.say([
        `${this.host} is in the fleet with ${names.join(', ') || 'nothing yet'}`,
        ...reply.refused.map(({ model, why }) => `${model} is not: ${why}`),
      ]);
      return reply;
    } catch (error) {
      this.say([`${this.host} has not joined: ${(error as Error).message}`]);
      return undefined;
    }
  }

  /** Until the centre answers for the first time. */
  async joinFirst(): Promise<FleetJoinReply> {
    for (;;) {
      const reply = await this.join(await this.look());
      if (reply) return reply;
      await new Promise((r) => setTimeout(r, AGAIN_MS));
    }
  }

  private say(lines: string[]): void {
    const said = lines.join('; ');
    if (said === this.said) return;
    this.said = said;
    this.log.log(said);
  }
}

/** Joins again whenever what its engines serve has changed. */
@Injectable()
export class FleetJoinWatch implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  private joined = '';
  private joinedAtMs = 0;

  constructor(
    @Inject(FLEET_JOIN) private readonly fleet: FleetJoin,
    @Inject(ENGINES) private readonly engines: HttpEngines,
    @Inject(WorkerController) private readonly worker: WorkerController,
  ) {}

  onApplicationBootstrap(): void {
    this.next();
  }

  onApplicationShutdown(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private next(): void {
    if (!this.stopped) this.timer = setTimeout(() => void this.look().then(() => this.next()), AGAIN_MS);
  }

  private async look(): Promise<void> {
    const request = await this.fleet.look();
    const found = JSON.stringify(request);
    if (found === this.joined && Date.now() - this.joinedAtMs < REPEAT_MS) return;
    const reply = await this.fleet.join(request);
    if (!reply || this.stopped) return;
    this.joined = found;
    this.joinedAtMs = Date.now();
    await this.engines.watch(reply.backends);
    this.worker.serve(reply.backends);
  }
}
