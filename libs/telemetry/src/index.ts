import { metrics, trace, type Meter, type Tracer } from '@opentelemetry/api';

/** What a service exports: traces where an OTLP endpoint is configured, metrics always (for `/metrics`). */
export interface Telemetry {
  /** The Prometheus text of all metrics. */
  scrape(): Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts OpenTelemetry. Traces go to `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) over HTTP; without it no
 * tracing code is loaded and spans are no-ops that still pass `traceparent` on. `OTEL_TRACES_SAMPLER` and
 * `OTEL_RESOURCE_ATTRIBUTES` work as OpenTelemetry defines them.
 */
export async function startTelemetry(service: string, env: NodeJS.ProcessEnv = process.env): Promise<Telemetry> {
  const { PrometheusExporter, PrometheusSerializer } = await import('@opentelemetry/exporter-prometheus');
  const reader = new PrometheusExporter({ preventServerStart: true });
  const scrape = async (): Promise<string> => {
    const { resourceMetrics } = await reader.collect();
    return new PrometheusSerializer().serialize(resourceMetrics);
  };
  env['OTEL_SERVICE_NAME'] ??= `meritorder-${service}`;
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const traces = env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'];
  const options: NonNullable<ConstructorParameters<typeof NodeSDK>[0]> = {
    metricReaders: [reader],
    instrumentations: [],
    autoDetectResources: true,
  };
  if (traces) {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
    options.traceExporter = new OTLPTraceExporter();
  } else {
    env['OTEL_TRACES_EXPORTER'] = 'none';
  }
  env['OTEL_LOGS_EXPORTER'] ??= 'none';
  env['OTEL_METRICS_EXPORTER'] ??= 'none';
  const sdk = new NodeSDK(options);
  sdk.start();
  return { scrape, stop: () => sdk.shutdown().catch(() => {}) };
}

export function tracer(): Tracer {
  return trace.getTracer('meritorder');
}

export function meter(): Meter {
  return metrics.getMeter('meritorder');
}
