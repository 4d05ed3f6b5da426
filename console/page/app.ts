/** The page of the console: signs in where that is needed, and shows the sections. */
import { type ComponentChildren, h, render } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import type { BackendState, Bounded, BudgetRow, LiveStream, RefusedRequest } from '../api/source.ts';
import type { Viewer } from '../api/viewer.ts';
import { BackendsSection } from './backends.ts';
import { BudgetsSection } from './budgets.ts';
import { ConsoleError, get, isCredentialStored, signIn, signOut } from './client.ts';
import { figuresOf } from './figures.ts';
import { shownOwner } from './format.ts';
import { RefreshContext, usePolled } from './polled.ts';
import { RefusalsSection } from './refusals.ts';
import { RequestSection } from './request.ts';
import { SpendSection } from './spend.ts';
import { StreamsSection } from './streams.ts';
import { Summary } from './summary.ts';

interface Me extends Viewer {
  readonly signedIn: boolean;
}

type AppState =
  | { readonly type: 'loading' }
  | { readonly type: 'signed-out'; readonly message: string }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'shown'; readonly me: Me };

const RETRY_MS = 3_000;
const DAY_MS = 24 * 3_600_000;

const sections = [
  ['spend', 'Spend'],
  ['budgets', 'Budgets'],
  ['streams', 'In flight'],
  ['refusals', 'Refusals'],
  ['request', 'One request'],
  ['backends', 'Backends'],
] as const;

function App(): ComponentChildren {
  const [state, setState] = useState<AppState>({ type: 'loading' });
  const [isOn, setOn] = useState(true);
  const load = async () => {
    try {
      setState({ type: 'shown', me: await get<Me>('me') });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      setState({ type: wantsCredential(error) ? 'signed-out' : 'failed', message });
    }
  };
  useEffect(() => void load(), []);
  useEffect(() => {
    const timer = state.type === 'failed' ? setTimeout(load, RETRY_MS) : undefined;
    return () => clearTimeout(timer);
  }, [state]);
  const leave = (message: string) => {
    signOut();
    setState({ type: 'signed-out', message });
  };
  const refreshing = useMemo(() => ({ isOn, onSignedOut: leave }), [isOn]);
  if (state.type === 'signed-out') {
    const enter = (credential: string) => {
      signIn(credential);
      void load();
    };
    return h(SignIn, { message: state.message, onEnter: enter });
  }
  if (state.type !== 'shown') {
    const text = state.type === 'failed' ? state.message : 'Loading …';
    const again = () => leave('');
    return h(
      'main',
      null,
      h('h1', null, 'Tallygate'),
      h('p', { role: 'status' }, text),
      isCredentialStored() &&
        h('p', null, h('button', { type: 'button', onClick: again }, 'Sign in with another credential')),
    );
  }
  const { me } = state;
  return h(
    RefreshContext.Provider,
    { value: refreshing },
    h(PageHeader, { me, isOn, onRefreshing: setOn, onLeave: () => leave('You have signed out.') }),
    h('main', null, h(Sections, { isOperator: me.operator })),
  );
}

/** The summary and the sections, which share what the gateway returned last. */
function Sections({ isOperator }: { readonly isOperator: boolean }): ComponentChildren {
  const [requestId, setRequestId] = useState('');
  const todayMs = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const times = `since=${new Date(todayMs).toISOString()}&until=${new Date(todayMs + DAY_MS).toISOString()}`;
  const today = usePolled<Bounded<UsageSums>>(`usage?by=day&${times}`, 10_000);
  const budgets = usePolled<Bounded<BudgetRow>>('budgets', 5_000);
  const streams = usePolled<Bounded<LiveStream>>('streams', 2_000);
  const refusals = usePolled<Bounded<RefusedRequest>>('refusals', 5_000);
  const backends = usePolled<Bounded<BackendState>>('backends', 5_000);
  const answers = {
    today: today.answer,
    budgets: budgets.answer,
    streams: streams.answer,
    refusals: refusals.answer,
    backends: backends.answer,
  };
  return [
    h(Summary, { figures: figuresOf(answers, Date.now()) }),
    h(SpendSection, null),
    h(BudgetsSection, { polled: budgets }),
    h(StreamsSection, { polled: streams, isOperator }),
    h(RefusalsSection, { polled: refusals, onExplain: setRequestId }),
    h(RequestSection, { requestId }),
    h(BackendsSection, { polled: backends }),
  ];
}

/** Whether the API refused the request for its credential, or for the lack of one. */
function wantsCredential(error: unknown): boolean {
  return error instanceof ConsoleError && (error.status === 401 || (error.status === 429 && !isCredentialStored()));
}

function PageHeader(props: {
  readonly me: Me;
  readonly isOn: boolean;
  readonly onRefreshing: (isOn: boolean) => void;
  readonly onLeave: () => void;
}): ComponentChildren {
  const { me, isOn, onRefreshing, onLeave } = props;
  const who = me.signedIn ? `${shownOwner(me)}${me.operator ? ' (operator)' : ''}` : 'this machine (operator)';
  return h(
    'header',
    null,
    h('h1', null, 'Tallygate'),
    h(
      'nav',
      { 'aria-label': 'Sections' },
      h(
        'ul',
        null,
        sections.map(([id, text]) => h('li', null, h('a', { href: `#${id}` }, text))),
      ),
    ),
    h(
      'div',
      { class: 'who' },
      h(
        'label',
        null,
        h('input', {
          type: 'checkbox',
          checked: isOn,
          onChange: (event: Event) => onRefreshing((event.currentTarget as HTMLInputElement).checked),
        }),
        'Refresh automatically',
      ),
      h('span', null, who),
      me.signedIn && h('button', { type: 'button', onClick: onLeave }, 'Sign out'),
    ),
  );
}

function SignIn(props: {
  readonly message: string;
  readonly onEnter: (credential: string) => void;
}): ComponentChildren {
  const { message, onEnter } = props;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const credential = new FormData(event.currentTarget as HTMLFormElement).get('credential');
    onEnter(String(credential).trim());
  };
  return h(
    'main',
    { class: 'sign-in' },
    h('h1', null, 'Sign in to Tallygate'),
    h('p', { role: 'status' }, message),
    h(
      'form',
      { onSubmit: submit },
      h(
        'label',
        null,
        'API key or token',
        h('input', { type: 'password', name: 'credential', required: true, autocomplete: 'off', spellcheck: false }),
      ),
      h('button', { type: 'submit', class: 'primary' }, 'Sign in'),
    ),
    h(
      'p',
      { class: 'quiet' },
      'Use what you send to the gateway; tallygate token prints a token. It stays in this tab.',
    ),
  );
}

const root = document.getElementById('app');
if (root !== null) {
  root.textContent = '';
  render(h(App, null), root);
}
