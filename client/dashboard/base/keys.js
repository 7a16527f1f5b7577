/* Every keyboard command of the page, once: what binds a key reads it here, and so does the dialog that
 * lists them. Keys that the browser gives to its own controls (Tab, a button's Enter) are not in it. */

/**
 * By place: its name, and rows of the command's name, its keys as KeyboardEvent.key has them, but Space, and
 * what it does.
 * @type {Record<string, [string, [string, string, string][]]>}
 */
export const KEYS = {
    page: [
        "Everywhere",
        [
            ["help", "?", "this list"],
            ["filter", "/", "filter the runs"],
            ["runs", "r", "to the list of runs"],
            ["neighbour", "j k", "to the next panel, to the one before"],
            ["panel", "1 2 3 4 5 6 7 8 9", "to the panel of that number"],
        ],
    ],
    chart: [
        "In the chart",
        [
            ["walk", "ArrowLeft ArrowRight", "to the point before or after; with Shift by ten"],
            ["end", "Home End", "to the first or last point"],
            ["zoom", "+ = -", "zoom in, zoom out"],
            ["pan", "PageUp PageDown", "earlier steps, later steps"],
            ["all", "0", "all steps"],
            ["leave", "Escape", "no cursor"],
        ],
    ],
    list: [
        "In the list of runs",
        [
            ["move", "ArrowUp ArrowDown PageUp PageDown Home End", "to another run"],
            ["pin", "p", "pin the run, or no longer"],
        ],
    ],
    table: ["In the table of runs", [["move", "ArrowUp ArrowDown PageUp PageDown Home End", "to another run"]]],
    column: [
        "At the head of a column",
        [
            ["move", "ArrowLeft ArrowRight", "with Shift: move the column"],
            ["pin", "p", "pin the column, or no longer"],
        ],
    ],
    views: [
        "In the menu Views",
        [
            ["move", "ArrowUp ArrowDown", "to another view"],
            ["leave", "Escape", "close the menu"],
        ],
    ],
    axisName: [
        "At the name of a parallel axis",
        [
            ["move", "ArrowLeft ArrowRight", "move the axis"],
            ["remove", "Delete", "take it away"],
        ],
    ],
    axis: [
        "On a parallel axis",
        [
            ["move", "ArrowUp ArrowDown ArrowLeft ArrowRight", "choose runs, move what is chosen; with Shift widen it"],
            ["show", "Enter", "show the chosen runs"],
            ["leave", "Escape", "choose none"],
        ],
    ],
    spectrum: [
        "In the spectrum",
        [
            ["move", "ArrowLeft ArrowRight Home End", "to another feature; with Shift by ten"],
            ["leave", "Escape", "no cursor"],
        ],
    ],
    spectrumStep: [
        "On the spectrum's slider",
        [
            ["pin", "Enter", "pin the step"],
            ["play", "Space", "play the steps, or stop"],
        ],
    ],
    layers: [
        "In the map of layers",
        [
            ["move", "ArrowLeft ArrowRight ArrowUp ArrowDown", "to another step or layer"],
            ["pin", "Enter", "compare with this step"],
            ["leave", "Escape", "no cursor"],
        ],
    ],
    map: ["In the representation map", [["move", "ArrowLeft ArrowRight ArrowUp ArrowDown", "to another cell"]]],
};

/**
 * Binds all commands of a place.
 * @param {EventTarget} host @param {string} place of KEYS
 * @param {Record<string, (key: string, event: any) => boolean|void>} work by the command's name; false: the key
 *   is left to the browser
 */
export function bindKeys(host, place, work) {
    const commands = new Map(KEYS[place][1].flatMap(([name, keys]) => keys.split(" ").map((key) => [key, work[name]])));

    host.addEventListener("keydown", (/** @type {any} */ event) => {
        const command = commands.get(event.key === " " ? "Space" : event.key);

        if (!command || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
        if (command(event.key, event) !== false) event.preventDefault();
    });
}
