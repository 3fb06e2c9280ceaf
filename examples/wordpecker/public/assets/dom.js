/** Makes an element. Text is always set as text, so nothing a user typed can become markup. */
export function element(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
