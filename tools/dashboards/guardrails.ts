import type { DashboardDescription } from './description.ts';
import { filters, increase, rate } from './queries.ts';

const FINDINGS = 'tallygate_guardrail_findings_total';
const FAILURES = 'tallygate_guardrail_failures_total';
const REQUESTS = 'gen_ai_server_request_duration_count';
const OF_GUARDRAIL = 'tallygate_guardrail=~"$guardrail"';
const total = (labels: string) => `${increase(FINDINGS, `${OF_GUARDRAIL}, ${labels}`)} or vector(0)`;

export const guardrails: DashboardDescription = {
  name: 'guardrails',
  title: 'Tallygate / Guardrails',
  description: 'What guardrails found in requests and responses, what they did, and where they failed.',
  from: 'now-24h',
  filters: [filters.guardrail],
  rows: [
    {
      title: 'In this time range',
      panels: [
        {
          type: 'stat',
          title: 'Masked',
          description: 'Values that placeholders replaced.',
          unit: 'short',
          width: 6,
          queries: [{ expr: total('tallygate_guardrail_action="mask"') }],
        },
        {
          type: 'stat',
          title: 'Findings that blocked',
          description: 'Findings of rules that block.',
          unit: 'short',
          width: 6,
          queries: [{ expr: total('tallygate_guardrail_action="block"') }],
        },
        {
          type: 'stat',
          title: 'Only monitored',
          description: 'Findings of rules that only watch.',
          unit: 'short',
          width: 6,
          queries: [{ expr: total('tallygate_guardrail_action="monitor"') }],
        },
        {
          type: 'stat',
          title: 'Texts not examined',
          description: '`onFailure` of the rule decides about such requests. Alert: TallygateGuardrailFailing.',
          unit: 'short',
          width: 6,
          bad: { orange: 1, red: 100 },
          queries: [{ expr: `${increase(FAILURES, OF_GUARDRAIL)} or vector(0)` }],
        },
      ],
    },
    {
      title: 'Findings',
      panels: [
        {
          type: 'areas',
          title: 'Findings a minute by type',
          description: 'Services have types of their own.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `${rate(FINDINGS, OF_GUARDRAIL, 'tallygate_guardrail_finding')} * 60`,
              legend: '{{tallygate_guardrail_finding}}',
            },
          ],
        },
        {
          type: 'areas',
          title: 'Findings a minute by guardrail',
          description: 'With the action of the rule.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `${rate(FINDINGS, OF_GUARDRAIL, 'tallygate_guardrail, tallygate_guardrail_action')} * 60`,
              legend: '{{tallygate_guardrail}} {{tallygate_guardrail_action}}',
            },
          ],
        },
        {
          type: 'table',
          title: 'Findings',
          description: 'Totals of the time range. The first event of a new series does not count.',
          unit: 'short',
          width: 24,
          columns: [
            { of: 'tallygate_guardrail', title: 'Guardrail' },
            { of: 'tallygate_guardrail_finding', title: 'Finding' },
            { of: 'tallygate_guardrail_action', title: 'Action' },
            { of: 0, title: 'Count', unit: 'short', isSorted: true },
          ],
          queries: [
            {
              expr: increase(
                FINDINGS,
                OF_GUARDRAIL,
                'tallygate_guardrail, tallygate_guardrail_finding, tallygate_guardrail_action',
              ),
            },
          ],
        },
      ],
    },
    {
      title: 'Requests and failures',
      panels: [
        {
          type: 'lines',
          title: 'Requests that guardrails refused',
          description:
            '`content_blocked`: for their content; `guardrail_unavailable`: because a service did not examine them.',
          unit: 'reqps',
          width: 12,
          queries: [
            {
              expr: rate(
                REQUESTS,
                'error_type=~"content_blocked|guardrail_unavailable"',
                'tallygate_route, error_type',
              ),
              legend: '{{tallygate_route}} {{error_type}}',
            },
          ],
        },
        {
          type: 'lines',
          title: 'Texts not examined by guardrail and reason',
          description: 'A minute. Alert: TallygateGuardrailFailing.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `${rate(FAILURES, OF_GUARDRAIL, 'tallygate_guardrail, tallygate_reason')} * 60`,
              legend: '{{tallygate_guardrail}} {{tallygate_reason}}',
            },
          ],
        },
      ],
    },
  ],
};
