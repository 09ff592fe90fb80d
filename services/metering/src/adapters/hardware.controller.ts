import { Controller, Inject } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { HardwareReply, HardwareRequest } from '@meritorder/contracts';
import { closedHours, publishedPrices, storedFits } from '@meritorder/ledger-store';
import { decodeJson, SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { fitOf } from '../application/hardware-prices.js';
import { hardwareReport, monthSpan } from '../application/hardware-report.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

/** `metering.hardware`: an operator asks what own hardware cost. */
@Controller()
export class HardwareController {
  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  @MessagePattern('metering.hardware.v1')
  async hardware(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    try {
      message.respond(JSON.stringify(await this.report(decodeJson(HardwareRequest, data))));
    } catch (error) {
      message.respond(JSON.stringify({ error: { message: (error as Error).message } }));
    }
  }

  private async report({ host, month }: HardwareRequest): Promise<HardwareReply> {
    const { config, database } = this.metering;
    const nowMs = Date.now();
    const { fromMs, toMs } = monthSpan(month ?? new Date(nowMs).toISOString().slice(0, 7));
    if (host !== undefined && !config.hosts.some((h) => h.id === host))
      throw new Error(
        `there is no host "${host}"; the configuration has: ${config.hosts.map((h) => h.id).join(', ') || 'none'}`,
      );
    const fits = await storedFits(database);
    return {
      rows: hardwareReport({
        config,
        host,
        fromMs,
        toMs,
        nowMs,
        hours: await closedHours(database, { host, from: new Date(fromMs), to: new Date(toMs) }),
        published: await publishedPrices(database),
        priced: (backend) => fitOf(fits.get(backend)?.priced),
      }),
    };
  }
}
