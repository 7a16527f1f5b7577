/* Elements made from data. Text is always set as text, never as markup: names of runs come from
 * anybody. Nothing here knows what the page is about. */

/** @typedef {Node|string|number|null|undefined|false} Child */

/**
 * Makes an element. Properties that start with "on" are listeners, "dataset" and "aria" are objects,
 * what the element has as a property is set as one, the rest become attributes.
 * @param {string} tag
 * @param {Object<string, any>} [properties]
 * @param {...(Child|Child[])} children
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);

    for (const [name, value] of Object.entries(properties)) set(made, name, value);
    made.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
    return made;
}

/** @param {HTMLElement} target @param {string} name @param {any} value */
function set(target, name, value) {
    if (value === undefined || value === null) return;
    if (name.startsWith("on")) target.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(target.dataset, value);
    else if (name === "aria")
        for (const [k, v] of Object.entries(value)) target.setAttribute(`aria-${k}`, String(v));
    else if (name in target && typeof value !== "string") target[name] = value;
    else target.setAttribute(name, String(value));
}

/** The element of that id, which index.html has. @param {string} id @returns {any} */
export function byId(id) {
    const found = document.getElementById(id);

    if (!found) throw new Error(`index.html has no #${id}`);
    return found;
}

/**
 * Fills a <select>, keeping what is chosen where that is still offered.
 * @param {HTMLSelectElement} select
 * @param {(string|{value: string, text: string, title?: string})[]} offered a string is its own text
 * @param {string} chosen
 */
export function fillSelect(select, offered, chosen) {
    const options = offered.map((o) => (typeof o === "string" ? { value: o, text: o } : o));
    const known = [...select.options].map((o) => `${o.value}\0${o.text}`).join("\n");

    if (known !== options.map((o) => `${o.value}\0${o.text}`).join("\n"))
        select.replaceChildren(
            ...options.map((o) => element("option", { value: o.value, title: o.title }, o.text)),
        );
    select.value = chosen;
}

/**
 * A function that runs `work` once, `delay_ms` after its last call.
 * @param {() => void} work @param {number} delay_ms
 */
export function debounced(work, delay_ms) {
    let timer = 0;

    return () => {
        clearTimeout(timer);
        timer = setTimeout(work, delay_ms);
    };
}

/**
 * A function that runs `work` once in the next frame, however often it is called. Frames do not come
 * in a hidden tab: there a second is waited for, so that what is behind does not pile up.
 * @param {() => void} work
 */
export function oncePerFrame(work) {
    let waits = false;

    return () => {
        if (waits) return;
        waits = true;
        const run = () => {
            waits = false;
            work();
        };
        if (document.hidden) setTimeout(run, 1000);
        else requestAnimationFrame(run);
    };
}

/**
 * A function that runs `work` at most once in `period_ms`, the first time at once, and once more
 * after the last call.
 * @param {() => void} work
 * @param {number} period_ms
 */
export function throttled(work, period_ms) {
    let last = -Infinity;
    let timer = 0;
    const run = () => {
        last = performance.now();
        timer = 0;
        work();
    };

    return () => {
        const wait = last + period_ms - performance.now();

        if (wait <= 0 && !timer) run();
        else timer ||= setTimeout(run, Math.max(0, wait));
    };
}

/**
 * `draw`, but not while a pointer is down on `host`: a button that is replaced between press and
 * release is never clicked. What was put off is drawn when the pointer is up.
 * @param {HTMLElement} host
 * @param {() => void} draw
 */
export function unlessHeld(host, draw) {
    let isHeld = false;
    let isDue = false;
    const release = () =>
        setTimeout(() => {
            isHeld = false;
            if (isDue) draw();
            isDue = false;
        });

    host.addEventListener("pointerdown", () => (isHeld = true));
    for (const type of ["pointerup", "pointercancel"]) addEventListener(type, release);
    return () => {
        if (isHeld) isDue = true;
        else draw();
    };
}

/**
 * Replaces the rows of a list; the focus stays with the same control of the row of the same
 * `data-key`.
 * @param {HTMLElement} parent
 * @param {HTMLElement[]} rows
 */
export function replaceRows(parent, rows) {
    const controls = (row) => [...row.querySelectorAll("input, button")];
    const old = parent.contains(document.activeElement)
        ? document.activeElement.closest("[data-key]")
        : null;
    const place = old ? controls(old).indexOf(document.activeElement) : -1;

    parent.replaceChildren(...rows);
    const row = old && rows.find((r) => r.dataset.key === old.dataset.key);
    if (row) controls(row)[place]?.focus({ preventScroll: true });
}
