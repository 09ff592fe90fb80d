import { Controller, Inject, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { windowAt } from '@meritorder/budget-core';
import {
  DecisionExportRequest,
  type DecisionExportReply,
  type ErrorCode,
  type ExportedDecision,
  type PeriodOpening,
} from '@meritorder/contracts';
import { everyBudget, exportDecisions, orgsOnRecord, pricesOver, spentBefore } from '@meritorder/ledger-store';
import { decodeJson, PoisonMessage, SERVICE_INBOX } from '@meritorder/messaging';
import { NatsContext } from '@meritorder/service-kit';
import { qualityOfAll } from '../application/outcome-of.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

const PAGE_RECORDS = 250;
/** Of the records of a page but its last; a message carries twice as much. */
const PAGE_BYTES = 3 * 1_024 * 1_024;
const MOST_ORGS_TOLD = 100;
/** Of budgets at the beginning of an export, 100 bytes each. */
const MOST_WINDOWS_TOLD = 10_000;

/** `metering.decision-export`: an operator takes a period of decisions away, page by page. */
@Controller()
export class DecisionExportController {
  private readonly log = new Logger(DecisionExportController.name);

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  @MessagePattern('metering.decision-export.v1')
  async export(@Payload() data: Uint8Array, @Ctx() { message }: NatsContext): Promise<void> {
    if (!message.reply?.startsWith(`${SERVICE_INBOX.operator}.`)) return;
    message.respond(JSON.stringify(await this.page(data)));
  }

  private async page(data: Uint8Array): Promise<DecisionExportReply> {
    try {
      const { org, from, to, after } = decodeJson(DecisionExportRequest, data);
      const span = { org, from: new Date(from), to: new Date(to), after };
      const rows = await exportDecisions(this.metering.database, span, PAGE_RECORDS);
      if (rows.length === 0 && after === undefined)
        return { decisions: [], next: null, onRecord: await orgsOnRecord(this.metering.database, MOST_ORGS_TOLD) };
      const decisions: ExportedDecision[] = [];
      let bytes = 0;
      for (const { record, usage, booked, outcomes } of rows) {
        if (bytes > PAGE_BYTES) break;
        bytes += JSON.stringify(record).length;
        const quality = qualityOfAll(outcomes);
        decisions.push({
          record,
          ...(usage === null ? {} : { usage }),
          ...(booked === null ? {} : { booked }),
          ...(quality === undefined ? {} : { quality }),
        });
      }
      const [first, last] = [decisions[0], decisions.at(-1)];
      if (first && last) {
        const over = { from: new Date(first.record.decidedAt), to: new Date(last.record.decidedAt) };
        first.prices = await pricesOver(this.metering.database, over);
        if (after === undefined) first.opening = await this.opening(span.from);
      }
      const isLast = decisions.length === rows.length && rows.length < PAGE_RECORDS;
      return { decisions, next: isLast ? null : rows[decisions.length - 1]!.place };
    } catch (error) {
      if (error instanceof PoisonMessage) return refused('body_invalid', error.message.slice(0, 500));
      this.log.error(`decision export: ${(error as Error).stack}`);
      return refused('internal', (error as Error).message);
    }
  }

  private async opening(from: Date): Promise<PeriodOpening> {
    const windows = (await everyBudget(this.metering.database)).map((budget) => {
      const { id, endMs } = windowAt(budget.window, budget.timeZone, from.getTime());
      return { budget: budget.id, window: id, endMs };
    });
    const { spent, leftOut } = await spentBefore(this.metering.database, windows, from, MOST_WINDOWS_TOLD);
    return {
      from: from.toISOString(),
      spent: spent.map(({ budget, window, nanos }) => ({ budget, window, nanos: nanos.toString() })),
      ...(leftOut > 0 ? { windowsLeftOut: leftOut } : {}),
    };
  }
}

function refused(code: ErrorCode, message: string): DecisionExportReply {
  return { error: { code, message } };
}
