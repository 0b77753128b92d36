// Elements without markup in strings: whatever a server or a file name says stays text.

export function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

export const percent = (part) => `${Math.round(100 * part)} %`;

export const byId = (id) => document.getElementById(id);
