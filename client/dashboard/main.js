/* Puts the page together: one socket, one view, one catalogue of runs, and the parts that show them.
 * The only module that knows all others. */

import { duration, longPlace } from "./base/axis.js";
import { Catalogue } from "./data/catalogue.js";
import { MainChart } from "./plot/chart.js";
import { Companions } from "./plot/companions.js";
import { Curves } from "./data/curves.js";
import { byId, debounced, fillSelect } from "./base/dom.js";
import { EventList } from "./panel/events.js";
import { Exporter } from "./panel/export.js";
import { Feed, feedAddress } from "./data/feed.js";
import { Heatmap } from "./plot/heatmap.js";
import { Housekeeping } from "./panel/housekeeping.js";
import { GroupBar } from "./panel/groupbar.js";
import { followKeyboard } from "./panel/keyboard.js";
import { Legend } from "./panel/legend.js";
import { Meaning } from "./panel/meaning.js";
import { Measures } from "./panel/measures.js";
import { Looks } from "./base/looks.js";
import { shortened } from "./base/names.js";
import { followAddress } from "./base/permalink.js";
import { Places } from "./data/places.js";
import { Notebook } from "./panel/notebook.js";
import { Notices } from "./panel/notices.js";
import { Problems } from "./panel/problems.js";
import { Reference } from "./data/reference.js";
import { ReferenceRow } from "./panel/reference.js";
import { RepresentationView } from "./plot/representation.js";
import { RunList } from "./panel/runlist.js";
import { RunSource } from "./data/runsource.js";
import { Scalars } from "./data/scalars.js";
import { ScalarCharts } from "./plot/scalars.js";
import { SpectrumView } from "./plot/spectrum.js";
import { Sweep } from "./panel/sweep.js";
import { DataTable } from "./panel/table.js";
import { RunsTable } from "./panel/runstable.js";
import { followTheme } from "./base/theme.js";
import { keepToken, takeToken } from "./base/token.js";
import { View } from "./base/view.js";
import { ReportPanel } from "./panel/report.js";
import { SavedViews } from "./panel/views.js";

byId("not-started").remove();
const feed = new Feed(feedAddress());
const view = new View();
const catalogue = new Catalogue(feed);
const looks = new Looks(view, catalogue);
const places = new Places(feed, view, catalogue);
const curves = new Curves(feed, view, catalogue, places);
const source = new RunSource(feed, view, catalogue);
const reference = new Reference({ feed, view, catalogue, places });
const chart = new MainChart({ view, catalogue, curves, places, reference, looks });
const heatmap = new Heatmap({ feed, view, catalogue, chart });
const spectrum = new SpectrumView({ feed, view, catalogue, looks });
const representation = new RepresentationView({ feed, view, catalogue });
const companions = new Companions({ feed, view, catalogue, looks, chart });
const scalars = new Scalars(feed, view, catalogue, places);
const scalarCharts = new ScalarCharts({ view, catalogue, looks, chart, scalars });

const sweep = new Sweep({ feed, view, catalogue });

const table = new RunsTable({ feed, view, catalogue, looks });
const housekeeping = new Housekeeping({ feed, view, catalogue, table });

new RunList({ view, catalogue, source, looks });
new Legend({ view, catalogue, curves, looks, chart, reference });
new EventList({ view, catalogue, curves, looks, chart });
new ReferenceRow({ view, catalogue, reference, chart });
new GroupBar({ view, looks, chart });
new Meaning({ view, catalogue, looks, chart });
new Measures({ view, catalogue });
new Problems(feed);
const notices = new Notices({ view, catalogue, source });
new DataTable({ view, looks, chart });
new SavedViews({ feed, view, catalogue });
new ReportPanel({ feed, view, catalogue, redraw: redrawAll });
new Exporter({ feed, view, catalogue, chart, redraw: redrawAll });
new Notebook({ view, catalogue, chart, looks });

// ---- the daemon ---------------------------------------------------------------------------------

function takeUpdate(page) {
    if (page.points.length + page.scalars.length === 0) return;
    catalogue.takeUpdate(page);
    places.takeUpdate(page);
    curves.takeUpdate(page);
    companions.takeUpdate(page);
    reference.takeUpdate(page);
    scalars.takeUpdate(page);
    spectrum.takePoints(page.points);
    sweep.touch();
    heatmap.touch(new Set(page.points.map((p) => p.run)));
    representation.touch(new Set(page.points.map((p) => p.run)));
}

function loadAll() {
    curves.reload();
    heatmap.load();
    spectrum.load();
    representation.load();
    sweep.load();
    table.load();
    companions.load();
    reference.load();
    scalars.reload();
}

/* Other runs are there, or are called otherwise. */
function loadLists() {
    source.restart();
    sweep.load();
    table.load();
}

/* Once, on the first connection: from here on nothing is missed. */
async function begin(seq) {
    feed.subscribe("series", seq, takeUpdate);
    feed.subscribe("event", seq, (page) => {
        curves.takeEvents(page);
        notices.takeEvents(page);
    });
    await catalogue.loadMetrics();
    fillMetrics();
    source.addEventListener("change", showNewest);
    showNewest();
    loadAll();
}

/* Who opens the page without a link sees the newest run. */
function showNewest() {
    const first = source.row(0);

    if (view.state.runs.length === 0 && first && "run" in first && location.hash === "")
        view.show(first.run, true);
    if (view.state.runs.length) source.removeEventListener("change", showNewest);
}

let hasBegun = false;
feed.addEventListener("live", (event) => {
    const { detail } = /** @type {CustomEvent} */ (event);

    staleSince = null;
    byId("notice").textContent = "";
    tellState();
    byId("version").textContent = `richd ${detail.version}`;
    if (hasBegun) {
        source.restart();
        for (const run of view.state.runs) catalogue.load(run);
        loadAll();
    } else begin(detail.seq).catch((error) => (byId("notice").textContent = error.message));
    hasBegun = true;
});
feed.addEventListener("deleted", (event) => {
    const { detail } = /** @type {CustomEvent} */ (event);

    view.show(detail, false);
    catalogue.remove(detail);
    table.release([detail]);
    loadListsSoon();
});
housekeeping.addEventListener("change", loadLists);
feed.addEventListener("token", () => byId("token-dialog").open || byId("token-dialog").showModal());
byId("token-form").addEventListener("submit", () => {
    feed.token = byId("token").value.trim();
    keepToken(feed.token);
    byId("token").value = "";
    feed.connect();
});
feed.addEventListener(
    "blocked",
    () =>
        (byId("notice").textContent =
            "The daemon answers, but no WebSocket comes through: a proxy in between has to hand on Upgrade and Connection (nginx: proto/HTTP.md, Who may ask)."),
);
const loadListsSoon = debounced(loadLists, 500);
catalogue.addEventListener(
    "unknown",
    debounced(() => source.restart(), 500),
);
catalogue.addEventListener("change", debounced(fillLayersAndScalars, 200));
catalogue.addEventListener("named", (event) => {
    const { name, run } = /** @type {CustomEvent} */ (event).detail;
    const { runs, pins, focus } = view.state;
    const named = (list) => [...new Set(list.map((id) => (id === name ? run : id)))];

    view.set({ runs: named(runs), pins: named(pins), focus: focus === name ? run : focus });
});
curves.addEventListener("error", (event) => (byId("notice").textContent = event.detail));
curves.addEventListener("change", () => (byId("notice").textContent = ""));

// ---- live or stale ------------------------------------------------------------------------------

/** @type {number|null} */
let staleSince = performance.now();

function tellState() {
    const badge = byId("live");
    const isStale = staleSince !== null;
    const text = isStale ? (hasBegun ? "stale" : "connecting") : "live";

    if (badge.dataset.state !== text) {
        badge.dataset.state = text;
        byId("live-spoken").textContent = {
            stale: "The connection is lost; what is shown is stale.",
            live: "Live.",
            connecting: "",
        }[text];
    }
    badge.textContent =
        text === "stale"
            ? `△ stale for ${duration((performance.now() - staleSince) / 1000)}`
            : { live: "● live", connecting: "○ connecting …" }[text];
}

feed.addEventListener("stale", () => {
    staleSince = performance.now();
    tellState();
});
setInterval(tellState, 1000);

// ---- the bar above the chart --------------------------------------------------------------------

function fillMetrics() {
    fillSelect(
        byId("metric"),
        catalogue.measures.map((m) => ({ value: m.name, text: m.name, title: `${m.description}. ${m.read_as}` })),
        view.state.metric,
    );
}

function fillLayersAndScalars() {
    const { runs, layer, scalar } = view.state;
    const known = runs.map((r) => catalogue.get(r)).filter(Boolean);
    const layers = [
        ...new Set([
            ...known.flatMap((r) => r.layers.map((l) => l.layer)),
            ...(layer && layer !== "*" ? [layer] : []),
        ]),
    ];
    const scalars = [
        ...new Set([
            ...known.flatMap((r) => r.scalars ?? []),
            ...(scalar && scalar !== "auto" ? [scalar] : []),
        ]),
    ].sort();
    const short = shortened(layers);

    fillSelect(
        byId("layer"),
        [{ value: "", text: "last layer" }, { value: "*", text: "all layers" }, ...layers.map((name) => ({ value: name, text: short.get(name), title: name }))],
        layer,
    );
    fillSelect(
        byId("scalar"),
        [{ value: "auto", text: "accuracy" }, { value: "", text: "nothing" }, ...scalars],
        scalar,
    );
}

function fillBar() {
    const { metric, axis, band, from, to } = view.state;
    const { spacing } = view;

    byId("metric").value = metric;
    byId("axis").value = axis;
    byId("spacing-log").disabled = axis === "time";
    byId("spacing-log").checked = spacing === "log";
    byId("spacing-linear").checked = spacing === "linear";
    byId("band").checked = band;
    byId("range-text").textContent =
        from === null || to === null ? "all steps" : `${axis === "step" ? "steps " : ""}${longPlace(from, axis)} – ${longPlace(to, axis)}`;
    fillLayersAndScalars();
}

view.follow({ metric: "metric", layer: "layer", scalar: "scalar", band: "band" });
byId("axis").addEventListener("change", (e) => view.set({ axis: e.target.value, from: null, to: null }));
for (const spacing of ["log", "linear"])
    byId(`spacing-${spacing}`).addEventListener("change", () => view.set({ spacing }));
view.on([], fillBar);

byId("copy-link").addEventListener("click", async () => {
    try {
        await navigator.clipboard.writeText(location.href);
        byId("notice").textContent = "Link copied.";
    } catch {
        byId("notice").textContent = location.href; // no clipboard without a secure origin
    }
});

// ---- the frame ----------------------------------------------------------------------------------

function redrawAll() {
    chart.redraw();
    heatmap.draw();
    spectrum.draw();
    representation.draw();
    sweep.draw();
    table.draw();
    companions.draw();
    scalarCharts.draw();
    source.dispatchEvent(new Event("change"));
}

byId("runs-toggle").addEventListener("click", () => {
    const isOpen = document.body.classList.toggle("runs-open");
    byId("runs-toggle").setAttribute("aria-expanded", String(isOpen));
});
followTheme(byId("theme"), redrawAll);
followKeyboard();
feed.token = takeToken(); // before the view reads the address, and writes it
addEventListener("hashchange", () => {
    const token = takeToken();

    if (token === feed.token || !byId("token-dialog").open) return;
    byId("token-dialog").close();
    feed.token = token;
    feed.connect();
});
followAddress(view);
reference.begin();
fillBar();
source.want(0, 0); // with the first questions, before it is known how the measures are called
feed.connect();
