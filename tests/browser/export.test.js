/* What is seen, as files: charts as SVG and PNG, and the main one as Python. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

import { closePage, openPage, ROOT, waitForStep, waitUntil } from "./harness.js";
import { useStage } from "./stage.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const STEPS = [1, 3, 10, 30, 100];
const NAME = "lr <0.1> & \"more\"\u0007";
/* A pixel differs when a channel does by more. Edges of letters and lines do, as they lie between pixels. */
const CHANNEL = 60;
const SHARE_MAX = 0.01;

const stage = useStage(async ({ player }) => {
    for (const [run, name, lr] of [["a", NAME, 0.1], ["b", "lr 0.01", 0.01]]) {
        await player.do("open", run, { name, project: "p", config: { lr, depth: 3, steps_per_epoch: 10 }, layers: ["block", "head"] });
        for (const [i, step] of STEPS.entries())
            await player.do("checkpoint", run, { step, d_lr: 0.6 - lr - 0.05 * i, spectrum: true, test_acc: 0.1 + 0.2 * i, loss: 1 / step });
    }
});

async function openAll(query, options) {
    const page = await openPage(`${stage.daemon.url}#${query}`, options);

    await waitForStep(page, STEPS.at(-1));
    await page.evaluate(() => document.querySelectorAll("details.panel").forEach((d) => (d.open = d.id !== "report")));
    await page.waitForSelector("#spectrum canvas");
    await page.waitForSelector(query.includes("axes") ? "#parallel-chart .axis-name" : "#sweep-chart svg");
    return page;
}

const titlesSeen = (page) => page.evaluate(async () => (await import("./panel/pictures.js")).chartsSeen().map(({ title }) => title));

/* All that the menu offers. The switch of the theme has three places, and each draws all charts again. */
const picturesSeen = (page) =>
    page.evaluate(async () => {
        const { picturesSeen } = await import("./panel/pictures.js");
        return picturesSeen(() => [1, 2, 3].forEach(() => document.getElementById("theme").click()));
    });

/* The file of the nth chart that is offered. */
async function fileOf(page, n, kind = "SVG") {
    await page.click("#export-menu > summary");
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator("#export-charts button", { hasText: kind }).nth(n).click()]);

    return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

/* How many of the chart's pixels are others in the file, and how many are not paper. Above stand the names
 * of parallel axes, which are not of the canvas. */
function compare(page, n, source) {
    return page.evaluate(
        async ([n, source, channel]) => {
            const { chartsSeen } = await import("./panel/pictures.js");
            const { cssColour } = await import("./base/palette.js");
            const { chart } = chartsSeen()[n];
            const image = new Image();
            const top = chart.closest("#parallel") ? 22 : 0;
            const pixels = (drawn, x, y) => {
                const canvas = Object.assign(document.createElement("canvas"), { width: chart.width, height: chart.height });
                const context = canvas.getContext("2d");
                context.fillStyle = cssColour("--panel");
                context.fillRect(0, 0, chart.width, chart.height);
                if (drawn) context.drawImage(drawn, x, y);
                context.fillRect(0, 0, chart.width, top);
                return context.getImageData(0, 0, chart.width, chart.height).data;
            };
            const differ = (a, b) => {
                let n_other = 0;
                for (let i = 0; i < a.length; i += 4) n_other += [0, 1, 2].some((k) => Math.abs(a[i + k] - b[i + k]) > channel);
                return n_other;
            };

            if (!(chart instanceof HTMLCanvasElement)) return null;
            image.src = `data:image/svg+xml,${encodeURIComponent(source)}`;
            await image.decode();
            const [left, above] = /viewBox="(\S+) (\S+)/.exec(source).slice(1).map(Number);
            const [ours, theirs, paper] = [pixels(chart, 0, 0), pixels(image, left, above), pixels(null)];
            return { other: differ(ours, theirs), drawn: differ(ours, paper), all: ours.length / 4 };
        },
        [n, source, CHANNEL],
    );
}

function assertPlain(source, what) {
    assert.doesNotMatch(source, /<script|javascript:|\son\w+=|<foreignObject|rgba\(|class=|tabindex/, what);
    for (const [, address] of source.matchAll(/(?:href|src)="([^"]*)"|url\(([^)]*)\)/g)) assert.match(address ?? "#", /^(#|data:image\/png)/, what);
}

/* What a reader of the file finds in it. */
const read = (page, source) =>
    page.evaluate((text) => {
        const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
        const all = (selector) => [...root.querySelectorAll(selector)];
        return {
            isSvg: root.localName === "svg" && !root.querySelector("parsererror"),
            title: root.querySelector(":scope > title")?.textContent,
            about: root.querySelector(":scope > desc")?.textContent,
            paper: root.querySelector(":scope > rect")?.getAttribute("fill"),
            words: all("text").map((node) => node.textContent),
            fonts: all("text").filter((node) => !node.getAttribute("font-family")).length,
        };
    }, source);

for (const [query, paper] of [["runs=a,b&layer=*", "#ffffff"], ["runs=a,b&sweepAs=axes&axis=elapsed", "#191d21"]])
    test(`every chart that is seen is an SVG that looks like it: ${query}`, async () => {
        const page = await openAll(query, { colorScheme: query.includes("axes") ? "dark" : "light" });

        await waitUntil(async () => (await titlesSeen(page)).length >= 10, "the charts");
        for (const [n, { title, source }] of (await picturesSeen(page)).entries()) {
            const found = await read(page, source);
            assertPlain(source, title);
            assert.deepEqual([found.isSvg, found.title, found.paper, found.fonts], [true, title, paper, 0]);
            assert.ok(found.words.length > 2 && found.about.includes(stage.daemon.url), title);
            const seen = await compare(page, n, source);
            if (!seen) continue; // an svg of the page
            assert.ok(seen.drawn > 20, `${title}: ${seen.drawn} pixels`);
            assert.ok(seen.other < SHARE_MAX * seen.all && seen.other < 20 + seen.drawn / 10, `${title}: ${JSON.stringify(seen)}`);
        }
        await closePage(page);
    });

test("a chart has its legend below it, and is a PNG with it", async () => {
    const page = await openAll("runs=a,b");
    const { name, bytes } = await fileOf(page, 0);
    const { words } = await read(page, bytes.toString());

    assert.equal(name, "richd-2-runs-d_debiased.svg");
    for (const text of ["d_debiased", "← rich", "100", NAME.replace("\u0007", "\ufffd"), "lr 0.01", "head"]) assert.ok(words.includes(text), `${text}: ${words}`);
    const sweep = (await titlesSeen(page)).findIndex((title) => title.startsWith("Sweep"));
    const map = (await titlesSeen(page)).findIndex((title) => title.includes("Layers"));
    assert.match((await fileOf(page, map)).bytes.toString(), /<linearGradient id="ramp"/);
    assert.ok((await read(page, (await fileOf(page, sweep)).bytes.toString())).words.length > 5);
    const png = (await fileOf(page, 0, "PNG")).bytes;
    assert.equal(png.subarray(1, 4).toString(), "PNG");
    assert.ok(png.readUInt32BE(16) >= 2 * 700, "twice as fine");

    await page.click("#export-menu > summary");
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run("#export-menu"));
    assert.deepEqual(violations.map((v) => v.id), []);
    await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined })); // as without a secure origin
    const [file] = await Promise.all([page.waitForEvent("download"), page.click("#export-python")]);
    assert.equal(file.suggestedFilename(), "richd-view.py");
    await closePage(page);
});

test("a chart that is made again while it is recorded is found, and one that is not drawn is a picture", async () => {
    const page = await openAll("runs=a,b");
    const found = await page.evaluate(async () => {
        const { picturesSeen } = await import("./panel/pictures.js");
        const old = document.querySelector("#chart canvas");
        const again = document.createElement("canvas");
        const native = [Path2D, CanvasRenderingContext2D.prototype.fillRect];
        const refused = picturesSeen(() => {
            throw new Error("not drawn");
        }).catch((error) => error.message);
        const pictures = await picturesSeen(() => {
            again.width = old.width;
            again.height = old.height;
            again.getContext("2d").fillText("made again", 20, 20);
            old.replaceWith(again);
        });
        return {
            refused: await refused,
            first: pictures[0].source.includes(">made again</text>"),
            others: pictures.filter(({ source }) => source.includes("<image")).length > 1,
            isUndone: Path2D === native[0] && CanvasRenderingContext2D.prototype.fillRect === native[1],
        };
    });

    assert.deepEqual(found, { refused: "not drawn", first: true, others: true, isUndone: true });
    await closePage(page);
});

test("the cells of a large map become one picture, and its text stays text", async () => {
    const page = await openPage(stage.daemon.url);
    const found = await page.evaluate(async () => {
        const { drawingOf, recorded } = await import("./plot/recorder.js");
        const canvas = document.createElement("canvas");
        const root = await recorded(async (drawings) => {
            canvas.width = 201;
            const context = canvas.getContext("2d");
            context.fillStyle = "#ff0000";
            for (let i = 0; i < 20100; i++) context.fillRect(i % 201, Math.floor(i / 201), 1, 1);
            context.fillText("name", 5, 120);
            return drawingOf(drawings.get(canvas), canvas);
        });
        return ["path", "image", "text"].map((name) => root.querySelectorAll(name).length);
    });

    assert.deepEqual(found, [0, 1, 1]);
    await closePage(page);
});

// ---- Python -------------------------------------------------------------------------------------------

async function copied(query, options = {}) {
    const page = await openPage(`${stage.daemon.url}#${query}`, { permissions: ["clipboard-read", "clipboard-write"], ...options });

    await waitForStep(page, 10);
    await waitUntil(async () => !/loading/.test(await page.textContent("#legend")), "the runs");
    if (query.includes("reference")) await waitUntil(async () => /\d\.\d/.test(await page.textContent("#legend-reference")), "the reference");
    await page.click("#export-menu > summary");
    await page.click("#export-python");
    await waitUntil(async () => (await page.textContent("#notice")) === "Python copied.", "the copy");
    const lines = await page.evaluate(() => navigator.clipboard.readText());
    await closePage(page);
    return lines;
}

/* Runs notebooks, and tells what each has drawn when it shows it. */
const READER = `
import json, sys
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
drawn = []
def lines(axes):
    return [{"label": line.get_label(), "colour": line.get_color(), "x": list(map(float, line.get_xdata())), "y": list(map(float, line.get_ydata()))} for line in axes.lines]
def show():
    left, *right = plt.gcf().axes
    drawn.append({"left": lines(left), "right": [line for axes in right for line in lines(axes)], "bands": len(left.collections), "x": left.get_xlim(), "y": left.get_ylim(), "names": [left.get_xlabel(), left.get_ylabel()], "spacing": left.get_xscale()})
    plt.close("all")
plt.show = show
for source in json.load(sys.stdin):
    exec(source, {})
print(json.dumps(drawn))
`;

function runPython(sources) {
    const env = { ...process.env, RICHD_FEED: `unix:${join(stage.daemon.folder, "feed.sock")}`, PYTHONPATH: join(ROOT, "client/python/src") };
    const done = spawnSync("/usr/bin/python3", ["-c", READER], { input: JSON.stringify(sources), encoding: "utf8", env });

    assert.equal(done.status, 0, done.stderr);
    assert.equal(done.stderr, "");
    return JSON.parse(done.stdout);
}

/* The points of a run's last layer, as the daemon has them. */
async function pointsOf(run) {
    const text = await (await fetch(`${stage.daemon.url}api/v1/runs/${run}/series.csv?layer=head&metrics=d_debiased`)).text();
    const [head, ...rows] = text.trim().split(/\r?\n/).map((line) => line.split(","));

    return rows.map((row) => Number(row[head.indexOf("d_debiased")]));
}

const near = (a, b) => assert.ok(a.length === b.length && a.every((value, i) => Math.abs(value - b[i]) < 1e-9), `${a} is not ${b}`);

test("the main chart is copied as Python, which draws what is seen", async () => {
    const queries = ["runs=a,b", "runs=a,b&group=config.depth&lines=means&from=3&to=30&spacing=linear", "runs=b&axis=epoch&scalar=&band=0", "runs=a&axis=elapsed&reference=b,head,d_debiased"];
    const sources = [];
    for (const query of queries) sources.push(await copied(query, { colorScheme: query.includes("elapsed") ? "dark" : "light" }));
    const [runs, means, epochs, elapsed] = runPython(sources);
    const [a, b] = [await pointsOf("a"), await pointsOf("b")];
    const curves = ({ left }) => left.filter(({ x }) => x.length > 2); // levels have two ends

    assert.deepEqual(runs.names, ["step", "d_debiased"]);
    assert.deepEqual([runs.x, runs.spacing, runs.bands], [[1, 100], "function", 2]);
    assert.deepEqual(curves(runs).map(({ label }) => label), [`${NAME.replace("\u0007", "\ufffd")} head`, "lr 0.01 head"]);
    curves(runs).forEach(({ x, y }, i) => (near(x, STEPS), near(y, [a, b][i])));
    near(runs.right[1].y, [0.1, 0.3, 0.5, 0.7, 0.9]);
    assert.ok(runs.left.some(({ label }) => label.startsWith("white noise")));

    assert.deepEqual([means.x, means.spacing], [[3, 30], "linear"]);
    const [mean] = curves(means);
    assert.equal(mean.label, "depth = 3 head");
    STEPS.filter((step) => step >= 3 && step <= 30).forEach((step) => {
        const i = STEPS.indexOf(step);
        near([mean.y[mean.x.indexOf(step)]], [(a[i] + b[i]) / 2]);
    });

    assert.deepEqual([epochs.names[0], epochs.right, epochs.bands], ["epoch", [], 0]);
    near(curves(epochs)[0].x, STEPS.map((step) => step / 10));

    assert.deepEqual(curves(elapsed).map(({ label }) => label), ["reference", `${NAME.replace("\u0007", "\ufffd")} head`]);
    assert.match(sources[3], /dark_background/);
    assert.ok(sources.every((source) => source.includes(stage.daemon.url)));
});
