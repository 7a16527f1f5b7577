/* The page in a browser, against the real daemon and a trainer that replays recorded curves. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import {
    closeBrowser,
    closePage,
    Daemon,
    drag,
    openPage,
    Player,
    readTable,
    requests,
    waitForStep,
    waitUntil,
} from "./harness.js";

/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;

before(async () => {
    daemon = await new Daemon().start();
    player = new Player(daemon);
    const layers = ["block1", "block2", "head"];
    await player.do("open", "first", {
        name: "wd1-seed0",
        project: "mod97",
        config: { lr: 0.001, seed: 0 },
        tags: ["old"],
        layers,
    });
    await player.do("replay", "first", { csv: "mod97_squared_error_seed0.csv" });
    await player.do("close", "first");
    await player.do("open", "second", {
        name: "wd1-seed1",
        project: "mod97",
        config: { lr: 0.01, seed: 1 },
    });
    await player.do("replay", "second", { csv: "mod97_squared_error_seed1.csv", until: 700 });
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

async function text(page, selector) {
    return (await page.textContent(selector)).trim();
}

async function waitForText(page, selector, pattern) {
    await waitUntil(
        async () => pattern.test(await text(page, selector)),
        `${selector} to say ${pattern}, not "${await text(page, selector)}"`,
    );
}

test("the newest run is shown at once, and a new point within a second of its commit", async () => {
    const page = await openPage(daemon.url);
    await waitForStep(page, 690);
    const delays = [];
    let measured = 0;

    for (let step = 701; step < 721; step++) {
        const { acked_ms, d_debiased } = await player.do("checkpoint", "second", {
            step,
            d_lr: 0.4,
            test_acc: 0.1,
            spectrum: true,
        });
        await waitForStep(page, step);
        const drawn = await page.evaluate(
            () => performance.getEntriesByName("richd:drawn").at(-1).detail.time_ms,
        );
        delays.push(drawn - acked_ms);
        measured = d_debiased;
    }
    delays.sort((a, b) => a - b);
    console.log(
        `commit to pixel: median ${delays[10].toFixed(0)} ms, worst ${delays[19].toFixed(0)} ms`,
    );
    assert.ok(delays[19] < 1000);
    await waitForText(page, "#legend", new RegExp(`wd1-seed1.*${measured.toFixed(4)}`));
    await closePage(page);
});

test("the value that is right at this n is shown, with its own band and where the run began", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await waitForStep(page, 900);
    const listed = await (await fetch(`${daemon.url}api/v1/runs/first/layers`)).json();
    const { last } = listed.layers.find((l) => l.layer === "head");
    const series = await (
        await fetch(`${daemon.url}api/v1/runs/first/series?layer=head&limit=1`)
    ).json();
    const began = series.layers[0].columns.d_debiased[0];

    assert.notEqual(last.d_debiased.toFixed(4), last.d_lr.toFixed(4));
    const band = `± ${(2 * last.d_debiased_se).toFixed(4)}`; // as wide as what is drawn
    await waitForText(page, "#legend", new RegExp(`${last.d_debiased.toFixed(4)}\\s*${band}`));
    assert.ok(!(await text(page, "#legend")).includes(last.d_lr.toFixed(4)));
    await waitForText(page, "#band-text", /standard errors of d_debiased$/);
    await waitForText(page, "#metric-text", /^d_debiased: How much of what a layer's features vary in/);
    await waitForText(page, "#references-text", new RegExp(`began ${began.toFixed(4)}`));
    await waitForText(page, "#references-text", /white noise 0\.5436/); // 1 - sqrt(5 / 24)
    await waitForText(page, "#run-rows li[data-run=first]", new RegExp(last.d_debiased.toFixed(4)));
    await page.selectOption("#metric", "d_lr");
    await waitForText(page, "#legend", new RegExp(last.d_lr.toFixed(4)));
    await waitForText(page, "#band-text", /standard errors of d_lr$/);
    await page.selectOption("#metric", "pr");
    await waitForText(page, "#references-text", /^$/);
    await closePage(page);
});

test("measures and flags are explained", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await waitForStep(page, 900);
    await page.click("#measures summary");

    await waitForText(page, "#measure-rows", /d_lr1 - CKA.*compare it with the run's own beginning/);
    await waitForText(page, "#flag-rows", /biasedtoo few rows/);
    await page.click("#measure-rows button:text-is('nc1')");
    await waitForText(page, "#metric-text", /^nc1: /);
    await closePage(page);
});

test("dragging over the chart asks the daemon again, for these steps", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await waitForStep(page, 900);
    const before = requests(page, "series.query").length;

    await drag(page, 0.7, 0.95);
    await waitForText(page, "#range-text", /^steps/);
    const asked = (
        await waitUntil(
            () =>
                requests(page, "series.query")
                    .slice(before)
                    .filter((q) => q.metrics.includes("d_debiased_se") && !q.limit),
            "a question",
        )
    ).at(-1);
    assert.ok(asked.from > 0 && asked.to > asked.from, JSON.stringify(asked));
    const [head, ...rows] = await readTable(page);
    assert.match(head[1], /wd1-seed0 head d_debiased/);
    assert.ok(
        rows.length > 5 &&
            rows.every(([step]) => Number(step.replaceAll("\u202f", "")) >= asked.from),
    );
    await page.locator("#chart").dblclick({ position: { x: 300, y: 100 } });
    await waitForText(page, "#range-text", /all steps/);
    await closePage(page);
});

test("runs are overlaid, differ without colour, and can be pinned and removed", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await waitForStep(page, 900);

    await page.check("#run-rows li[data-run=second] input");
    await waitForText(page, "#legend", /wd1-seed0[\s\S]*wd1-seed1/);
    const signs = await page.$$eval("#legend svg", (list) =>
        list.map(
            (svg) => svg.textContent + svg.querySelector("line").getAttribute("stroke-dasharray"),
        ),
    );
    assert.equal(new Set(signs).size, signs.length);
    await page.click("#legend tr[data-run=first] button[data-kind=pin]");
    await page.fill("#search", "seed1");
    await waitUntil(async () => (await page.locator("#run-rows li").count()) === 1, "the filter");
    assert.match(await text(page, "#pin-rows"), /wd1-seed0/);
    await page.click("#legend tr[data-run=first] button[data-kind=remove]");
    await waitUntil(async () => !/wd1-seed0/.test(await text(page, "#legend")), "the run to go");
    await closePage(page);
});

test("the list is filtered by text on the daemon's side, by regular expression, by state", async () => {
    const page = await openPage(daemon.url);
    const names = () => page.$$eval("#run-rows .name", (all) => all.map((n) => n.textContent));
    const shows = (...wanted) =>
        waitUntil(
            async () => JSON.stringify(await names()) === JSON.stringify(wanted),
            `the list ${wanted}`,
        );

    await shows("wd1-seed1", "wd1-seed0");
    await page.fill("#search", "SEED0");
    await shows("wd1-seed0");
    assert.equal(requests(page, "run.list").at(-1).search, "SEED0");
    await page.check("#regex");
    await page.fill("#search", "seed[1-9]$");
    await shows("wd1-seed1");
    await page.fill("#search", "seed[");
    await waitForText(page, "#run-note", /./);
    await page.uncheck("#regex");
    await page.fill("#search", "");
    await page.selectOption("#state-filter", "finished");
    await shows("wd1-seed0");
    await closePage(page);
});

test("runs are grouped by a key of their config, and take its value's colour", async () => {
    const page = await openPage(`${daemon.url}#runs=first,second`);
    await waitForStep(page, 900);

    await page.selectOption("#group-by", "config.lr");
    await waitUntil(
        async () => (await page.locator("#run-rows li.heading").count()) === 2,
        "two groups",
    );
    assert.deepEqual(
        await page.$$eval("#run-rows li.heading .name", (all) => all.map((n) => n.textContent)),
        ["0.001", "0.01"],
    );
    await closePage(page);
});

test("the slider goes through the spectra, and a link restores its place", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await page.waitForSelector("#spectrum-chart[data-step]");
    const slider = page.locator("#spectrum-step");
    const last = await page.getAttribute("#spectrum-chart", "data-step");

    await slider.focus();
    await page.keyboard.press("Home");
    await page.waitForSelector('#spectrum-chart[data-step="0"]');
    await page.keyboard.press("ArrowRight");
    const second = await waitUntil(async () => {
        const step = await page.getAttribute("#spectrum-chart", "data-step");
        return step !== "0" && step;
    }, "the next spectrum");
    assert.ok(Number(second) < Number(last));
    assert.deepEqual(
        requests(page, "spectrum.query").find((q) => q.step === Number(second)),
        { run: "first", layer: "head", step: Number(second) },
    );
    assert.match(await text(page, "#spectrum-facts"), /p24.*n96.*rank F5/);
    assert.match(page.url(), new RegExp(`spectrumStep=${second}`));
    await closePage(page);
});

test("a link shows a colleague the same view", async () => {
    const page = await openPage(`${daemon.url}#runs=first,second`);
    await waitForStep(page, 900);
    await page.selectOption("#metric", "pr");
    await page.selectOption("#layer", "*");
    await page.check("#spacing-linear", { force: true });
    await page.uncheck("#band");
    await drag(page, 0.4, 0.8);
    await waitForText(page, "#range-text", /^steps/);
    const seen = async (p) => {
        await waitForStep(p, 600);
        await waitUntil(
            async () => (await p.locator("#legend tr").count()) === 4,
            "three layers and one",
        );
        return {
            range: await text(p, "#range-text"),
            metric: await p.inputValue("#metric"),
            layer: await p.inputValue("#layer"),
            linear: await p.isChecked("#spacing-linear"),
            band: await p.isChecked("#band"),
            table: await readTable(p),
        };
    };
    const mine = await seen(page);
    const other = await openPage(page.url());

    assert.deepEqual(await seen(other), mine);
    await closePage(other);
    await closePage(page);
});

test("layers stand in the heat map, and its cursor speaks", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await page.waitForSelector('#heatmap[data-layers="3"]');

    await page.focus("#heatmap");
    await page.keyboard.press("ArrowDown");
    await waitForText(page, "#heat-value", /block2, step \d+.*: 0\.\d+/);
    const colours = await page.$eval("#heatmap", (c) => {
        const at = (y) =>
            c
                .getContext("2d")
                .getImageData(c.width - 4, c.height * y, 1, 1)
                .data.join();
        return [at(0.1), at(0.4), at(0.7)];
    });
    assert.equal(new Set(colours).size, 3, colours.join(" | "));
    await closePage(page);
});

test("a run without a probe has no map, and says how to get one", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await waitForStep(page, 900);

    await page.waitForSelector("#map-empty:not([hidden])");
    assert.match(await text(page, "#map-empty"), /probe=True/);
    assert.equal(await page.isVisible("#map-body"), false);
    await closePage(page);
});

test("layers, checkpoints and runs are compared in the representation map", async () => {
    for (const run of ["probed", "sibling"]) {
        await player.do("open", run, { name: run, probe: true, layers: ["block", "head"] });
        for (const [step, d_lr] of [
            [0, 0.6],
            [10, 0.4],
            [20, 0.1],
        ])
            await player.do("checkpoint", run, { step, d_lr });
    }
    const page = await openPage(`${daemon.url}#runs=probed,sibling`);
    const shows = (shape) => page.waitForSelector(`#map-canvas[data-shape="${shape}"]`);

    await shows("2 x 2");
    await page.focus("#map-canvas");
    await page.keyboard.press("ArrowRight");
    await waitForText(page, "#map-value", /block, step 20 and block, step 20: 1\b/);
    await page.keyboard.press("ArrowRight");
    await waitForText(page, "#map-value", /block, step 20 and head, step 20: 0\.\d+/);
    await waitForText(page, "#map-note", /96 of the probe's 96 rows/);

    await page.locator("#map-step").focus();
    await page.keyboard.press("Home");
    await waitForText(page, "#map-step-text", /^0$/);
    await waitUntil(
        () => requests(page, "representation.map").find((q) => q.step === 0),
        "a question",
    );
    await page.selectOption("#map-layer", "head");
    await shows("3 x 3");
    await page.selectOption("#map-with", "sibling");
    await waitUntil(
        () => requests(page, "representation.map").find((q) => q.with === "sibling"),
        "a question about two runs",
    );
    await page.focus("#map-canvas");
    await waitUntil(async () => {
        await page.keyboard.press("ArrowUp"); // again, as the answer takes the cursor away
        return /probed head, step 0 and sibling head, step 0: 1\b/.test(await text(page, "#map-value"));
    }, "the first checkpoints of both");
    assert.match(page.url(), /mapLayer=head.*mapStep=0.*mapWith=sibling/);

    await player.do("checkpoint", "probed", { step: 30, d_lr: 0.05 });
    await shows("4 x 3");
    await player.do("close", "probed");
    await player.do("close", "sibling");
    await closePage(page);
});

test("companions have charts of their own", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await waitUntil(
        async () => (await page.locator(".companion canvas").count()) >= 8,
        "the charts",
    );
    const names = await page.$$eval(".companion h3", (all) => all.map((h) => h.textContent));

    for (const name of ["nc1", "stable_rank"])
        assert.ok(names.includes(name), `${name} of ${names}`);
    for (const name of ["u", "pr"])
        assert.ok(
            names.filter((n) => n === name || n === `${name}_debiased`).length === 1,
            `${name} in one form, of ${names}`,
        );
    assert.ok(!names.some((n) => n === "d_lr" || n === "d_debiased"), "the main chart's measure");
    await page.click(".companion button:text-is('nc1')");
    await waitForText(page, "#metric-text", /^nc1: Do the features of one class come together/);
    await closePage(page);
});

test("the keyboard moves the cursor from point to point, zooms, and the values are told", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await waitForStep(page, 900);
    await page.focus("#chart");

    await page.keyboard.press("Home");
    await waitForText(
        page,
        "#spoken",
        /^step 0: wd1-seed0 head d_debiased 0\.\d+, wd1-seed0 {2}test_acc 0\.01/,
    );
    await page.keyboard.press("ArrowRight");
    await waitForText(page, "#spoken", /^step 1: /);
    await page.keyboard.press("End");
    await waitForText(page, "#legend-step", /at step \d{3,}|at step \d+\s\d{3}/);
    await page.keyboard.press("+");
    await waitForText(page, "#range-text", /^steps/);
    await page.keyboard.press("0");
    await waitForText(page, "#range-text", /all steps/);
    await closePage(page);
});

test("a resume is marked, told in words, and supersedes what it repeats", async () => {
    await player.do("open", "again", { name: "again" });
    for (const step of [0, 10, 20]) await player.do("checkpoint", "again", { step, d_lr: 0.5 });
    await player.do("close", "again");
    await player.do("open", "again", { name: "again" });
    await player.do("checkpoint", "again", { step: 15, d_lr: 0.3 });
    const page = await openPage(`${daemon.url}#runs=again`);

    await waitForText(page, "#event-list", /↻ again: attempt 2 from step 15/);
    const rows = await readTable(page);
    assert.deepEqual(
        rows.slice(1).map((r) => r[0]),
        ["0", "10", "15"],
        "the superseded point is gone",
    );
    await player.do("close", "again");
    await closePage(page);
});

test("a transition is marked and zoomed to from its sentence", async () => {
    const page = await openPage(`${daemon.url}#runs=first`);
    await waitForText(
        page,
        "#event-list",
        /d_debiased falls 0\.\d+ → -?0\.\d+ over steps \d+–\d+, grokking-like: test_acc/,
    );

    const listed = () => page.$$eval("#event-list button", (all) => all.map((b) => b.textContent));
    assert.ok((await listed()).every((sentence) => sentence.startsWith("wd1-seed0 head: ")));

    await page.click("#event-list button >> nth=0");
    await waitForText(page, "#range-text", /^steps/);
    const [start, end] = /steps (\d+)–(\d+)/
        .exec(await text(page, "#event-list"))
        .slice(1)
        .map(Number);
    const { from, to } = await waitUntil(
        () => requests(page, "series.query").find((q) => q.from > 0),
        "a question",
    );
    assert.ok(from < start && end < to && to - from < 5 * (end - start), `${from} to ${to}`);
    await closePage(page);
});

test("dark and light follow the system, or the switch, which lasts", async () => {
    const page = await openPage(`${daemon.url}#runs=first`, { colorScheme: "dark" });
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await waitForStep(page, 900);
    const dark = await paper();

    await page.click("#theme");
    assert.notEqual(await paper(), dark);
    await page.reload();
    await waitForStep(page, 900);
    assert.notEqual(await paper(), dark);
    await page.click("#theme");
    assert.equal(await paper(), dark);
    await closePage(page);
});

test("picture, CSV and JSON hold what is in view", async () => {
    const page = await openPage(`${daemon.url}#runs=first&from=100&to=600`, {
        acceptDownloads: true,
    });
    await waitForStep(page, 500);
    const save = async (id) => {
        await page.click("#export-menu summary");
        const [download] = await Promise.all([page.waitForEvent("download"), page.click(id)]);
        return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
    };
    const png = await save("#export-charts button:text('PNG')");
    const csv = await save("#export-csv");
    const json = JSON.parse((await save("#export-json")).bytes);

    assert.equal(png.name, "richd-wd1-seed0-d_debiased.png");
    assert.equal(png.bytes.subarray(1, 4).toString(), "PNG");
    const [head, ...lines] = csv.bytes
        .toString()
        .trimEnd()
        .split("\r\n")
        .map((l) => l.split(","));
    // The daemon's own CSV has the same columns and the same cells, behind the run. A number may
    // be printed with other digits.
    const value = (cell) => (cell === "" || isNaN(cell) ? cell : Number(cell));
    const kinds = [
        ["series", 2, "layer"],
        ["scalars", 3, "name"],
    ];
    for (const [kind, place, name] of kinds) {
        const answer = await fetch(
            `${daemon.url}api/v1/runs/first/${kind}.csv?from=100&to=600&points=100000`,
        );
        const [names, ...rows] = (await answer.text())
            .trimEnd()
            .split("\r\n")
            .map((l) => l.split(","));
        assert.equal(names[0], name);
        assert.equal(head[place], name);
        assert.deepEqual(
            lines
                .filter((l) => l[place])
                .map((l) => [l[place], ...names.slice(1).map((n) => l[head.indexOf(n)])].map(value)),
            rows.map((row) => row.map(value)),
        );
    }
    const steps = json.runs[0].layers.find((l) => l.layer === "head").columns.step;
    assert.ok(steps.length > 5 && steps.every((s) => s >= 100 && s <= 600));
    const mine = lines.filter((l) => l[2] === "head");
    assert.deepEqual(
        mine.map((l) => Number(l[head.indexOf("step")])),
        steps,
    );
    assert.deepEqual(
        mine.map((l) => Number(l[head.indexOf("d_lr")])),
        json.runs[0].layers.find((l) => l.layer === "head").columns.d_lr,
    );
    assert.deepEqual(json.runs[0].config, { lr: 0.001, seed: 0 });
    assert.deepEqual(json.runs[0].summary, {});
    await closePage(page);
});

test("without de-biased values d_lr is shown, and said", async () => {
    await player.do("open", "top", { name: "top", projector: { kind: "top", k: 2 } });
    for (const step of [0, 10]) await player.do("checkpoint", "top", { step, d_lr: 0.5 });
    const page = await openPage(`${daemon.url}#runs=top`);

    await waitForStep(page, 10);
    await waitForText(page, "#legend", /top.*0\.\d+ d_lr/);
    await waitForText(page, "#run-rows li[data-run=top]", /0\.\d+\*/);
    await waitForText(page, "#event-list", /⚑ top head: top_outputs: measured against/);
    await player.do("checkpoint", "top", { step: 20, d_lr: 0.3 });
    await waitForStep(page, 20);
    await player.do("close", "top");
    await closePage(page);
});
