/** Whom a policy means: a condition on the caller, as an AIAccessPolicy has identified it. */
import { z } from 'zod';
import { withRules } from './schema.ts';

export const principal = withRules(
  z
    .object({
      tenant: z.string().min(1).max(256).optional(),
      user: z.string().min(1).max(256).optional(),
      group: z.string().min(1).max(256).optional(),
      authenticated: z.literal(true).meta({ description: 'Every caller.' }).optional(),
    })
    .meta({ description: 'Matches a caller that has all the members.' }),
  [
    {
      cel: 'has(self.tenant) || has(self.user) || has(self.group) || has(self.authenticated)',
      message: 'at least one of tenant, user, group and authenticated must be set',
      holds: ({ tenant, user, group, authenticated }) => (tenant ?? user ?? group ?? authenticated) !== undefined,
    },
  ],
);
