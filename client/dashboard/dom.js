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
 * @param {{value: string, text: string, title?: string}[]} options
 * @param {string} chosen
 */
export function fillSelect(select, options, chosen) {
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
