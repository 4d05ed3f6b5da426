/** What is known of one request by its id. */
import { type ComponentChildren, h } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Bounded, RefusedRequest } from '../api/source.ts';
import { get } from './client.ts';
import { shownNumber, shownTime } from './format.ts';
import { DataTable } from './parts.ts';

type Fact = readonly [name: string, value: string];

interface LimitFact {
  readonly quota: string;
  readonly key: string;
  readonly held: string;
  readonly charged: string;
}

export function RequestSection({ requestId }: { readonly requestId: string }): ComponentChildren {
  const [asked, setAsked] = useState(requestId);
  const [found, setFound] = useState<readonly RefusedRequest[]>();
  const [problem, setProblem] = useState('');
  const explain = async (id: string) => {
    setAsked(id);
    setProblem('');
    setFound(undefined);
    try {
      const { rows } = await get<Bounded<RefusedRequest>>(`requests?${new URLSearchParams({ id })}`);
      setFound(rows);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  useEffect(() => {
    if (requestId !== '') {
      void explain(requestId);
    }
  }, [requestId]);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    void explain(String(new FormData(event.currentTarget as HTMLFormElement).get('id')).trim());
  };
  return h(
    'section',
    { id: 'request', 'aria-labelledby': 'request-title' },
    h('h2', { id: 'request-title' }, 'One request'),
    h(
      'form',
      { class: 'choices', onSubmit: submit },
      h(
        'label',
        null,
        'Request id',
        h('input', { type: 'text', name: 'id', value: asked, required: true, autocomplete: 'off', spellcheck: false }),
      ),
      h('button', { type: 'submit' }, 'Explain'),
    ),
    h('p', { role: 'status', class: 'empty' }, problem || statusOf(found)),
    found?.map((request, nth) => h(ExplainedParts, { request, nth, key: nth })),
  );
}

function statusOf(found: readonly RefusedRequest[] | undefined): string {
  if (found === undefined) {
    return 'The x-request-id of a response, also of an error.';
  }
  return found.length === 0
    ? 'No such request is recorded: it may still run, be too old, or belong to another tenant.'
    : '';
}

function ExplainedParts(props: { readonly request: RefusedRequest; readonly nth: number }): ComponentChildren {
  const { request, nth } = props;
  const limits = limitsOf(request);
  return h(
    'div',
    null,
    h(DataTable<Fact>, {
      caption: `Request ${nth + 1}`,
      rows: factsOf(request),
      keyOf: ([name]) => name,
      isCompact: true,
      columns: [
        { head: 'field', cell: ([name]) => name },
        { head: 'value', cell: ([, value]) => value },
      ],
    }),
    limits.length > 0 &&
      h(DataTable<LimitFact>, {
        caption: `Limits of request ${nth + 1}`,
        rows: limits,
        keyOf: ({ quota, key }) => `${quota} ${key}`,
        columns: [
          { head: 'limit', cell: ({ quota }) => quota },
          { head: 'key', cell: ({ key }) => key },
          { head: 'held', isNumber: true, cell: ({ held }) => held },
          { head: 'charged', isNumber: true, cell: ({ charged }) => charged },
        ],
      }),
  );
}

function factsOf({ hold, limits, tokens, overdrafts, time, ...others }: RefusedRequest): readonly Fact[] {
  return [
    ['time', shownTime(time)],
    ...Object.entries(others).map(([name, value]): Fact => [name, String(value)]),
    ...Object.entries(tokens ?? {})
      .filter(([, count]) => count > 0)
      .map(([kind, count]): Fact => [`${kind} tokens`, shownNumber(count)]),
    ...(hold === undefined
      ? []
      : ([
          ['held at admission', `${hold.inputTokens} input, ${hold.outputTokens} output tokens`],
          ['extensions', `${hold.extensions} (${hold.extendedTokens} output tokens)`],
        ] satisfies Fact[])),
    ...(overdrafts ?? []).map(
      ({ quota, amount, unit, cause }): Fact => [`overdraft of ${quota}`, `${amount} ${unit}: ${cause}`],
    ),
  ];
}

function limitsOf({ hold, limits }: RefusedRequest): readonly LimitFact[] {
  return [
    ...(hold?.limits ?? []).map(({ quota, key, held, charged, unit }) => ({
      quota,
      key: key.join() || '–',
      held: `${held} ${unit}`,
      charged: `${charged} ${unit}`,
    })),
    ...(limits ?? []).map(({ quota, key }) => ({ quota, key: key.join() || '–', held: '–', charged: '–' })),
  ];
}
