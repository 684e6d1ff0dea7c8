"use strict";
// Makes elements. Text is inserted as text, never as markup: it may come from an untrusted client.

const byId = (id) => document.getElementById(id);

/** An element with properties, data-* values (`data`), ARIA and other attributes (`attributes`) and children. */
function make(tag, { data = {}, attributes = {}, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Set text only if it differs, so that unchanged text is not laid out or announced again. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** An object's key on one line. The end of the path stays readable; the title has the whole key. */
function makeKey(key) {
  const [folder, name] = splitKey(key);
  return make(
    "span",
    { className: "key", title: folder + name },
    make("bdi", { className: "key-folder", textContent: folder }),
    make("bdi", { className: "key-name", textContent: name }),
  );
}

/** While `act` runs, the button is busy but not disabled: a disabled button would lose the focus. */
function listenToClicks(button, act) {
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try {
      await act();
    } catch (error) {
      complain(explain(error));
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
}

function makeButton(text, label, act) {
  const button = make("button", { type: "button", className: "button", textContent: text });
  button.setAttribute("aria-label", label);
  listenToClicks(button, act);
  return button;
}

/**
 * Give `parent` one child per item, in order. An item that stays keeps its element, and so the focus.
 * `create(item)` makes an element, `update(element, item)` updates it.
 */
function reconcile(parent, items, keyOf, create, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let element = before.get(key);
    before.delete(key);
    if (!element) {
      element = create(item);
      element.dataset.key = key;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
    update(element, item);
  }
  const lost = [...before.values()].some((element) => element.contains(document.activeElement));
  for (const element of before.values()) element.remove();
  return lost;
}

/** Replace a select's options and keep its choice. */
function setOptions(select, values, first) {
  const wanted = first === undefined ? values : ["", ...values];
  const same =
    select.options.length === wanted.length && wanted.every((value, at) => select.options[at].value === value);
  if (same) return;
  const chosen = select.value;
  select.replaceChildren(
    ...wanted.map((value) => make("option", { value, textContent: value === "" ? first : visible(value) })),
  );
  if (wanted.includes(chosen)) select.value = chosen;
}
