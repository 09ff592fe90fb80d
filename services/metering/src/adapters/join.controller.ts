import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { BUCKETS, FleetJoinRequest, FoundModel, joinFleet } from '@meritorder/contracts';
import { registerHosts } from '@meritorder/ledger-store';
import { decodeJson, hostInboxPrefix, openBucket, readBucket, putIfChanged } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { joinHost } from '../application/join-host.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

/** `fleet.join`: the worker of a host is told what of its models are backends; their prices are in the book before it is. */
@Controller()
export class JoinController {
  private readonly log = new Logger(JoinController.name);

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  @MessagePattern('fleet.join.v1.*')
  async join(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    const host = message.subject.split('.')[3]!;
    // NATS checks the subject, not the reply: nobody is answered but the worker of that host.
    if (!message.reply?.startsWith(`${hostInboxPrefix(host)}.`)) return;
    try {
      message.respond(JSON.stringify(await this.take(host, decodeJson(FleetJoinRequest, data))));
    } catch (error) {
      this.log.warn(`${host} could not join: ${(error as Error).message}`);
      message.respond(JSON.stringify({ error: { message: (error as Error).message } }));
    }
  }

  private async take(host: string, request: FleetJoinRequest) {
    const { bus, config, database, prices } = this.metering;
    const bucket = await openBucket(bus, BUCKETS.fleet.name);
    const known = new Map<string, FoundModel>();
    for (const [key, entry] of await readBucket(bus, BUCKETS.fleet.name)) {
      const value = FoundModel.safeParse(entry.json());
      if (value.success) known.set(key, value.data);
    }
    const joined = joinHost(config, known, host, request);
    if (!joined) throw new Error(`the configuration has no entry of "joins" for ${host}`);
    let changed = joined.leave.length > 0;
    for (const { id, found } of joined.join) {
      // In this process before the watch says so: the price is to be there before the worker is.
      joinFleet(config, found);
      changed = (await putIfChanged(bucket, id, JSON.stringify(found))) || changed;
    }
    for (const id of joined.leave) await bucket.delete(id);
    if (changed) {
      await registerHosts(database, [{ host, backends: joined.join.map((j) => j.id) }], new Date());
      await prices.retake();
      this.metering.pricesChanged();
      const names = joined.join.map((j) => j.id).join(', ') || 'nothing';
      this.log.log(`${host} joined with ${names}${joined.leave.length > 0 ? `; ${joined.leave.join(', ')} left` : ''}`);
    }
    return joined.reply;
  }
}
