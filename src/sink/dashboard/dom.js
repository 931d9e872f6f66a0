// Elements made and changed without ever reading text as markup.
// Owns helpers only; knows nothing of netmon.

export const by = (id) => document.getElementById(id);

/** An element; `text` and strings become text nodes, never markup. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'text') element.textContent = value;
    else if (name === 'class') element.className = value;
    else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Writes text only where it changed, so that selections and readers are left alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes an attribute. */
export function mark(element, name, on) {
  if (element.hasAttribute(name) !== Boolean(on)) element.toggleAttribute(name, Boolean(on));
}

/** A row of buttons of which one is pressed. */
export function segments(group, value, chosen) {
  const buttons = [...group.querySelectorAll('button')];
  const show = (now) => {
    for (const button of buttons) {
      button.setAttribute('aria-pressed', String(button.dataset.value === now));
    }
  };
  group.addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (button && !button.disabled) chosen(button.dataset.value);
  });
  show(value);
  return show;
}

/** A colour of the style sheet as the canvas wants it. */
export function color(name) {
  const probe = make('i', { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** The same with an opacity. */
export function faded(rgb, opacity) {
  return rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}
