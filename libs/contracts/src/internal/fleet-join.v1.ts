import { z } from 'zod';
import { HostConfig, POWER_METERS } from '../config/hosts-config.js';
import { BackendConfig, MeritorderConfig } from '../config/meritorder-config.js';
import { Slug } from '../primitives.js';

/** A model that a host's worker found in an engine; the value of the bucket FLEET, by the id of its backend. */
export const FoundModel = z.object({
  host: Slug,
  /** The place of its engine in the worker's list, from 1 on. */
  engine: z.int().min(1).max(64),
  baseUrl: z.url({ protocol: /^https?$/ }).max(512),
  model: z.string().min(1).max(128),
  /** What the engine says; absent: nothing. */
  contextTokens: z.int().positive().optional(),
});
export type FoundModel = z.infer<typeof FoundModel>;

/** `fleet.join.v1.<host>`: the worker of a host says what it found, when it starts and whenever that changes. */
export const FleetJoinRequest = z.object({
  found: z.array(FoundModel.omit({ host: true })).max(64),
  /** Engines that answered: what they were known to serve and serve no more leaves the fleet. */
  answered: z.array(z.int().min(1).max(64)).max(64),
});
export type FleetJoinRequest = z.infer<typeof FleetJoinRequest>;

/** The worker's part of the configuration: what it serves, and nothing of what it costs. */
export const FleetJoinReply = z.object({
  backends: z.array(BackendConfig),
  limits: MeritorderConfig.shape.limits,
  /** Of its host, for its meters. */
  host: z.object({ id: Slug, gpus: HostConfig.shape.gpus, meters: z.array(z.enum(POWER_METERS)) }),
  /** What became no backend, and why. */
  refused: z.array(z.object({ model: z.string(), why: z.string() })),
});
export type FleetJoinReply = z.infer<typeof FleetJoinReply>;
