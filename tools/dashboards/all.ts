import { budgets } from './budgets.ts';
import type { DashboardDescription } from './description.ts';
import { guardrails } from './guardrails.ts';
import { health } from './health.ts';
import { models } from './models.ts';
import { overview } from './overview.ts';
import { tenants } from './tenants.ts';

/** The dashboards of the chart, in the order of the guide. */
export const dashboards: readonly DashboardDescription[] = [overview, tenants, models, budgets, guardrails, health];
