/* How a run looks: a colour that follows from its id, where no other run beside it has it (looks.js), and
 * so is mostly the same on every screen and every day, and a dash and a marker by which runs of one chart differ without colour. The colours
 * stand in style.css, once for light and once for dark. */

export const N_COLOURS = 8;

/* Hues that the palette has not, in degrees. */
const BETWEEN = [110, 285, 350, 70, 265, 140];

/** Canvas dashes, in CSS pixels; the first is solid. */
const DASHES = [[], [7, 3], [2, 3], [10, 3, 2, 3], [5, 2, 5, 6], [14, 4]];
const MARKERS = ["●", "■", "▲", "◆", "▼", "✚"];

/** FNV-1a with a final mix: neighbours such as seed0, seed1 fall far apart. @param {string} text */
export function hash(text) {
    let h = 0x811c9dc5;

    for (const c of new TextEncoder().encode(text)) h = Math.imul(h ^ c, 0x01000193);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    return (h ^ (h >>> 13)) >>> 0;
}

/** @param {string} key a run's id, or the value it is grouped by */
export function colourIndex(key) {
    return hash(key) % N_COLOURS;
}

/** The colour as the current theme has it. @param {number} index */
export function colour(index) {
    return cssColour(`--run-${index}`);
}

/**
 * The colour of a group in its place among `count`: a ramp where the groups are numbers, so that more
 * is nearer to red; else the palette, and beyond it hues of our own. No two are alike.
 * @param {number} place @param {number} count @param {boolean} isRamp
 */
export function groupColour(place, count, isRamp) {
    const isDark = document.documentElement.dataset.theme === "dark";

    if (isRamp) {
        const share = count > 1 ? place / (count - 1) : 0;
        return hsl(215 + 165 * share, 80, isDark ? 70 - 6 * share : 32 + 14 * share);
    }
    if (place < N_COLOURS) return colour(place);
    if (place < N_COLOURS + BETWEEN.length) return hsl(BETWEEN[place - N_COLOURS], 60, isDark ? 72 : 28);
    const round = Math.floor(place / N_COLOURS) % 3;
    return hsl(137.5 * place, 55, isDark ? 66 + 7 * round : 26 + 6 * round);
}

/** As #rrggbb, which charts make transparent. @param {number} hue @param {number} saturation @param {number} lightness in % */
function hsl(hue, saturation, lightness) {
    const chroma = (saturation / 100) * Math.min(lightness / 100, 1 - lightness / 100);
    const channel = (n) => {
        const k = (n + hue / 30) % 12;
        return lightness / 100 - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    };

    return `#${[0, 8, 4].map((n) => Math.round(255 * channel(n)).toString(16).padStart(2, "0")).join("")}`;
}

/** @param {string} name a custom property of style.css */
export function cssColour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The n-th look of a chart. @param {number} n */
export function dash(n) {
    return DASHES[n % DASHES.length];
}

/** @param {number} n */
export function marker(n) {
    return MARKERS[n % MARKERS.length];
}

/**
 * Draws a marker around (0, 0) of `size` canvas pixels.
 * @param {CanvasRenderingContext2D|Path2D} path @param {number} n @param {number} x @param {number} y @param {number} size
 */
export function traceMarker(path, n, x, y, size) {
    const r = size / 2;
    const polygons = [
        null,
        [
            [-r, -r],
            [r, -r],
            [r, r],
            [-r, r],
        ],
        [
            [0, -r * 1.2],
            [r * 1.1, r],
            [-r * 1.1, r],
        ],
        [
            [0, -r * 1.3],
            [r * 1.3, 0],
            [0, r * 1.3],
            [-r * 1.3, 0],
        ],
        [
            [0, r * 1.2],
            [r * 1.1, -r],
            [-r * 1.1, -r],
        ],
        [
            [-r, -r / 3],
            [-r / 3, -r / 3],
            [-r / 3, -r],
            [r / 3, -r],
            [r / 3, -r / 3],
            [r, -r / 3],
            [r, r / 3],
            [r / 3, r / 3],
            [r / 3, r],
            [-r / 3, r],
            [-r / 3, r / 3],
            [-r, r / 3],
        ],
    ];
    const polygon = polygons[n % polygons.length];

    if (!polygon) {
        path.moveTo(x + r, y);
        path.arc(x, y, r, 0, 2 * Math.PI);
        return;
    }
    polygon.forEach(([dx, dy], i) =>
        i ? path.lineTo(x + dx, y + dy) : path.moveTo(x + dx, y + dy),
    );
    path.closePath();
}
