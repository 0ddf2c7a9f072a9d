/** The controls of a toolbar: each is `{element, update(...)}` and calls back when the user changes it. */

import { el, replace } from "./dom.js";

/** A labelled drop-down list; `update(options, value)` with options `[[value, title], ...]` of any JSON values. */
export function dropDown(label, testid, onChange) {
  const list = el("select", { "data-testid": testid, onchange: () => onChange(JSON.parse(list.value)) });
  let listed = "";
  return {
    element: el("label", { class: "control" }, el("span", {}, label), list),
    update(options, value) {
      const titles = JSON.stringify(options);
      if (titles !== listed) {
        listed = titles;
        replace(list, options.map(([option, title]) => el("option", { value: JSON.stringify(option) }, title)));
      }
      list.value = JSON.stringify(value);
      list.disabled = options.length < 2;
    },
  };
}

/** A labelled slider from `min` to `max`; `update(value)`. */
export function slider(label, testid, { min, max, step }, onChange) {
  const input = el("input", { type: "range", min, max, step, "data-testid": testid, oninput: () => onChange(Number(input.value)) });
  return {
    element: el("label", { class: "control" }, el("span", {}, label), input),
    update(value) {
      input.value = value;
    },
  };
}

/** A labelled check box; `update(value)`. */
export function checkBox(label, testid, title, onChange) {
  const input = el("input", { type: "checkbox", "data-testid": testid, onchange: () => onChange(input.checked) });
  return {
    element: el("label", { class: "control", title }, input, el("span", {}, label)),
    update(value) {
      input.checked = value;
    },
  };
}

/** A labelled field for text; `update(value)`. */
export function textField(label, testid, placeholder, onChange) {
  const input = el("input", { type: "search", placeholder, "data-testid": testid, oninput: () => onChange(input.value) });
  return {
    element: el("label", { class: "control" }, el("span", {}, label), input),
    update(value) {
      if (input.value !== value) input.value = value;
    },
  };
}

/** A list of tabs, in which the arrow keys move; `update(value)`. */
export function tabs(label, options, onChange) {
  const buttons = options.map(([value, title]) => {
    const names = { "data-testid": `tab-${value}`, dataset: { value } };
    return el("button", { type: "button", role: "tab", ...names, onclick: (event) => choose(event, value) }, title);
  });
  const choose = ({ detail, currentTarget }, value) => {
    if (detail > 0) currentTarget.blur(); // after a click, the arrow keys are for the page
    onChange(value);
  };
  const move = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    const next = buttons.at((buttons.indexOf(event.target) + by) % buttons.length);
    next.focus();
    onChange(next.dataset.value);
    event.preventDefault();
  };
  return {
    element: el("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown: move }, buttons),
    update(value) {
      for (const button of buttons) {
        button.setAttribute("aria-selected", String(button.dataset.value === value));
        button.tabIndex = button.dataset.value === value ? 0 : -1;
      }
    },
  };
}
