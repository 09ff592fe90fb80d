import { context, trace, type Context, type TextMapGetter, type TextMapSetter } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { headers, type MsgHdrs } from '@nats-io/transport-node';

/** Used directly, not through the global propagator: traces pass through a service that exports none. */
const propagator = new W3CTraceContextPropagator();

const getter: TextMapGetter<MsgHdrs> = {
  keys: (carrier) => carrier.keys(),
  get: (carrier, key) => {
    const name = carrier.keys().find((k) => k.toLowerCase() === key);
    return name === undefined ? undefined : carrier.get(name);
  },
};
const setter: TextMapSetter<MsgHdrs> = { set: (carrier, key, value) => carrier.set(key, value) };

/** Writes `traceparent` (and `tracestate`) of the context into NATS headers. */
export function injectTrace(into: MsgHdrs = headers(), from: Context = context.active()): MsgHdrs {
  propagator.inject(from, into, setter);
  return into;
}

/** The context a message was published in; the root context when it names none. */
export function extractTrace(from: MsgHdrs | undefined): Context {
  return from ? propagator.extract(context.active(), from, getter) : context.active();
}

/** `traceparent` of a context as text, to keep beside a row; undefined without a trace. */
export function traceparentOf(from: Context): string | undefined {
  const span = trace.getSpanContext(from);
  if (!span || !trace.isSpanContextValid(span)) return undefined;
  return `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, '0')}`;
}

/** The context of a `traceparent` that was kept as text. */
export function contextOf(traceparent: string | undefined | null): Context {
  if (!traceparent) return context.active();
  const carrier = headers();
  carrier.set('traceparent', traceparent);
  return extractTrace(carrier);
}
