// Word lists: a view per hash. '#' shows all lists, '#list/<id>' one of them, '#quiz/<id>' asks about it.
import { api } from './api.js';
import { element } from './dom.js';

const view = document.querySelector('#view');
const notice = document.querySelector('#notice');
const who = document.querySelector('#who');
const session = document.querySelector('#session');

/** Runs `work` and shows what went wrong, if something did. */
async function guarded(work) {
  notice.hidden = true;
  try {
    await work();
  } catch (error) {
    notice.textContent = error.message;
    notice.hidden = false;
    notice.scrollIntoView({ block: 'nearest' });
  }
}

function field(label, name, properties) {
  return element('label', { textContent: label }, [
    element('input', { name, autocomplete: 'off', ...properties }),
  ]);
}

function form(title, fields, action, submit) {
  const made = element('form', { className: 'panel' }, [
    element('h2', { textContent: title }),
    ...fields,
    element('button', { type: 'submit', textContent: action }),
  ]);
  made.addEventListener('submit', (event) => {
    event.preventDefault();
    void guarded(() => submit(Object.fromEntries(new FormData(made)), made));
  });
  return made;
}

function button(text, properties, onClick) {
  const made = element('button', { type: 'button', textContent: text, ...properties });
  made.addEventListener('click', () => void guarded(onClick));
  return made;
}

function heading(title, subtitle, actions = []) {
  return element('div', {}, [
    element('h1', { textContent: title }),
    element('p', { className: 'muted', textContent: subtitle }),
    element('div', { className: 'row actions', hidden: actions.length === 0 }, actions),
  ]);
}

function link(text, href, className) {
  return element('a', { textContent: text, href, className });
}

function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

async function showLists() {
  const { lists, total } = await api('GET', '/lists?limit=200');
  const items = lists.map((list) =>
    element('li', {}, [
      element('span', { className: 'grow' }, [
        link(list.name, `#list/${list.id}`),
        element('span', {
          className: 'muted small',
          textContent: [plural(list.wordCount, 'word'), list.description, list.owner && `by ${list.owner}`]
            .filter(Boolean)
            .join(' · '),
        }),
      ]),
      link('Quiz', `#quiz/${list.id}`, 'button quiet'),
    ]),
  );
  const create = form(
    'New list',
    [
      field('Name', 'name', { required: true, maxLength: 80, placeholder: 'Spanish, chapter 3' }),
      field('Description (optional)', 'description', { maxLength: 500 }),
    ],
    'Create list',
    async (values) => {
      const list = await api('POST', '/lists', values);
      location.hash = `list/${list.id}`;
    },
  );
  view.replaceChildren(
    heading(
      'Your lists',
      total > lists.length ? `The newest ${lists.length} of ${total}` : plural(total, 'list'),
    ),
    element('div', { className: 'columns' }, [
      items.length > 0
        ? element('ul', { className: 'list panel' }, items)
        : element('p', {
            className: 'panel empty',
            textContent: 'Nothing here yet. Name your first list to begin.',
          }),
      create,
    ]),
  );
}

async function showList(id) {
  const list = await api('GET', `/lists/${id}`);
  const items = list.words.map((word) =>
    element('li', {}, [
      element('span', { className: 'grow' }, [
        element('strong', { textContent: word.term }),
        element('span', { className: 'muted', textContent: word.meaning }),
      ]),
      button('Remove', { className: 'quiet', ariaLabel: `Remove ${word.term}` }, async () => {
        await api('DELETE', `/lists/${id}/words/${word.id}`);
        await showList(id);
      }),
    ]),
  );
  const add = form(
    'Add a word',
    [
      field('Word', 'term', { required: true, maxLength: 80 }),
      field('Meaning', 'meaning', { required: true, maxLength: 500 }),
    ],
    'Add word',
    async (values) => {
      await api('POST', `/lists/${id}/words`, values);
      await showList(id);
      view.querySelector('input[name=term]').focus();
    },
  );
  const remove = button('Delete list', { className: 'quiet' }, async () => {
    if (!confirm(`Delete "${list.name}" and its ${plural(list.words.length, 'word')}?`)) return;
    await api('DELETE', `/lists/${id}`);
    location.hash = '';
  });
  view.replaceChildren(
    heading(list.name, [plural(list.words.length, 'word'), list.description].filter(Boolean).join(' · '), [
      link('Start quiz', `#quiz/${id}`, 'button'),
      link('All lists', '#', 'button quiet'),
      remove,
    ]),
    element('div', { className: 'columns' }, [
      items.length > 0
        ? element('ul', { className: 'list panel' }, items)
        : element('p', {
            className: 'panel empty',
            textContent: 'No words yet. Add two or more and take the quiz.',
          }),
      add,
    ]),
  );
}

async function showQuiz(id) {
  const quiz = await api('GET', `/lists/${id}/quiz`);
  const back = link('Back to the list', `#list/${id}`, 'button quiet');
  if (quiz.questions.length < 2) {
    view.replaceChildren(heading(quiz.name, 'A quiz needs at least two words in the list.', [back]));
    return;
  }
  let right = 0;
  const ask = (index) => {
    const question = quiz.questions[index];
    if (question === undefined) {
      const score = `${right} of ${quiz.questions.length} right.`;
      view.replaceChildren(
        heading(right === quiz.questions.length ? 'All of them!' : 'Done', score, [
          button('Again', {}, () => showQuiz(id)),
          back,
        ]),
      );
      return;
    }
    const verdict = element('p', { className: 'muted', role: 'status' });
    const next = button(index + 1 < quiz.questions.length ? 'Next' : 'Finish', { hidden: true }, () =>
      ask(index + 1),
    );
    const choices = question.choices.map((choice) =>
      button(choice, {}, () => {
        for (const other of choices) {
          other.disabled = true;
          if (other.textContent === question.answer) other.className = 'right';
          else if (other.textContent === choice) other.className = 'wrong';
        }
        const correct = choice === question.answer;
        right += correct ? 1 : 0;
        verdict.textContent = correct ? 'Right.' : `It is "${question.answer}".`;
        next.hidden = false;
        next.focus();
      }),
    );
    view.replaceChildren(
      heading(quiz.name, `Question ${index + 1} of ${quiz.questions.length}`),
      element('div', { className: 'panel spaced' }, [
        element('p', { className: 'muted small', textContent: 'Which word means' }),
        element('p', { className: 'meaning', textContent: question.meaning }),
        element('div', { className: 'choices', role: 'group', ariaLabel: 'Answers' }, choices),
        element('div', { className: 'row' }, [next, verdict]),
      ]),
      element('p', { className: 'spaced' }, [back]),
    );
  };
  ask(0);
}

async function showSession() {
  const { user } = await api('GET', '/me');
  who.textContent = user === null ? '' : `Logged in as ${user}`;
  session.textContent = user === null ? 'Log in' : 'Log out';
  session.hidden = false;
  session.onclick = () =>
    guarded(async () => {
      if (user !== null) {
        await api('POST', '/logout');
        return showSession();
      }
      showLogin();
    });
}

function showLogin() {
  view.replaceChildren(
    heading('Log in', 'A name is enough: your new lists carry it.'),
    element('div', { className: 'columns' }, [
      form(
        'Who are you?',
        [field('Name', 'user', { required: true, maxLength: 40 })],
        'Log in',
        async (values) => {
          await api('POST', '/login', values);
          await showSession();
          await route();
        },
      ),
    ]),
  );
  view.querySelector('input').focus();
}

function route() {
  const [name, id] = location.hash.slice(1).split('/');
  return guarded(() => {
    if (name === 'list' && id) return showList(id);
    if (name === 'quiz' && id) return showQuiz(id);
    return showLists();
  });
}

addEventListener('hashchange', () => {
  void route();
  document.querySelector('#content').focus({ preventScroll: true });
  scrollTo(0, 0);
});
await Promise.all([guarded(showSession), route()]);
