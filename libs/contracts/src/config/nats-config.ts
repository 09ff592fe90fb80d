import { z } from 'zod';

/** Public part of an NKey of a user: `U`, and 55 characters of base 32. Its checksum is looked at where it is used. */
const PublicNKey = z.string().regex(/^U[A-Z2-7]{55}$/, 'must be a public NKey of a user (U and 55 characters)');

const File = z.string().min(1).max(4_096);

const NatsTlsConfig = z.strictObject({
  certFile: File.meta({ description: 'Certificate of nats-server, PEM, for the name or address in NATS_URL.' }),
  keyFile: File.meta({ description: 'Its private key.' }),
  clientCaFile: File.optional().meta({
    description: 'Clients and services must show a certificate that it signed, beside their NKey or password.',
  }),
});
export type NatsTlsConfig = z.infer<typeof NatsTlsConfig>;

export const NatsConfig = z.strictObject({
  nkeys: z
    .record(z.string().regex(/^[a-z0-9-]{1,68}$/), z.array(PublicNKey).min(1).max(2))
    .default({})
    .meta({
      description:
        'Public NKeys by NATS user: a service, `operator` or `org-<id>`; two while one replaces the other. A user with one gets no password made up.',
    }),
  tls: NatsTlsConfig.optional().meta({
    description: 'Nobody connects without TLS. Files where nats-server runs.',
  }),
});
export type NatsConfig = z.infer<typeof NatsConfig>;

export const QuotasConfig = z.strictObject({
  requestsPerMinute: z.int().min(1).max(10_000_000).optional().meta({
    description: 'Over all routers; a tenth of it at once. Counted when a request is admitted.',
  }),
  requestsInFlightPerRouter: z.int().min(1).max(100_000).optional(),
  bodyBytes: z.int().min(1_024).max(8_000_000).optional().meta({
    description: 'Largest body of a request. Default and most: limits.bodyBytes.',
  }),
  connections: z.int().min(1).max(1_000_000).default(1_000).meta({ description: 'To NATS at once.' }),
  subscriptionsPerConnection: z.int().min(10).max(1_000_000).default(10_000).meta({
    description: 'The server closes a connection that asks for more. A stream that is read is one.',
  }),
});
export type QuotasConfig = z.infer<typeof QuotasConfig>;

/** Of an org without `quotas`. */
export const DEFAULT_QUOTAS: QuotasConfig = QuotasConfig.parse({});
