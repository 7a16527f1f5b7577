/* Pictures of the charts that are seen, for a report. */

/* What is smaller is a sign in a line of text. */
const SIZE_MIN_PX = 60;
/* What of a style a picture needs that has no style sheet. */
const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-family", "text-anchor", "opacity", "fill-opacity"];

/** The charts that are seen, each with what it shows. @returns {{title: string, source: string, width: number}[]} */
export function picturesSeen() {
    return [...document.querySelectorAll("main :is(canvas, svg)")].filter(isSeen).map((chart) => ({
        title: titleOf(chart),
        source: sourceOf(chart),
        width: Math.round(chart.getBoundingClientRect().width),
    }));
}

/** @param {Element} chart */
function isSeen(chart) {
    const { width, height } = chart.getBoundingClientRect();

    return width > SIZE_MIN_PX && height > SIZE_MIN_PX && chart.checkVisibility() && !chart.closest("#report");
}

function titleOf(chart) {
    const label = chart.closest("[aria-label]")?.getAttribute("aria-label") ?? "";
    const heading = chart.closest(".panel")?.querySelector("h2")?.textContent.trim() ?? "";
    const what = label.replace(/^Chart: /, "").split(". ")[0];

    return what.startsWith(heading) || heading === "Curve" ? what : `${heading}: ${what}`;
}

/** A chart as it is drawn, as an address of data. @param {any} chart a canvas or svg @returns {string} */
export function sourceOf(chart) {
    return chart instanceof HTMLCanvasElement ? ofCanvas(chart) : ofSvg(chart);
}

/* On paper: a canvas is transparent. */
function ofCanvas(chart) {
    const copy = document.createElement("canvas");
    const context = copy.getContext("2d");

    copy.width = chart.width;
    copy.height = chart.height;
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, copy.width, copy.height);
    context.drawImage(chart, 0, 0);
    return copy.toDataURL("image/png");
}

function ofSvg(chart) {
    const { width, height } = chart.getBoundingClientRect();
    const copy = chart.cloneNode(true);
    const copies = [copy, ...copy.querySelectorAll("*")];

    [chart, ...chart.querySelectorAll("*")].forEach((node, i) => {
        const style = getComputedStyle(node);
        for (const name of STYLES) copies[i].setAttribute(name, style.getPropertyValue(name));
    });
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    return `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
}
