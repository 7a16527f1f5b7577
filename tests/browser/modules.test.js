/* The page's pure modules, asked in the browser that runs them. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeBrowser, closePage, Daemon, openPage } from "./harness.js";

/** @type {Daemon} */ let daemon;
/** @type {import("playwright-core").Page} */ let page;

before(async () => {
    daemon = await new Daemon().start();
    page = await openPage(daemon.url);
});

after(async () => {
    await closePage(page);
    await closeBrowser();
    await daemon?.close();
});

test("the log axis shows step 0, and steps come back from it exactly", async () => {
    const { back, zero, wide } = await page.evaluate(async () => {
        const { toStep, toX, widen } = await import("./base/axis.js");
        return {
            zero: toX(0, "log"),
            back: [0, 1, 9, 999999, 2 ** 50].map(
                (s) => Math.abs(toStep(toX(s, "log"), "log") - s) / (s + 1),
            ),
            wide: widen([9, 99], "log", 1),
        };
    });

    assert.equal(zero, 0);
    assert.ok(
        back.every((error) => error < 1e-13),
        back,
    );
    assert.deepEqual(wide, [0, 999]);
});

test("ticks stand apart, inside the axis, at round steps", async () => {
    const found = await page.evaluate(async () => {
        const { shortStep, ticks, toStep, toX } = await import("./base/axis.js");
        return [
            [0, 2000],
            [500, 1300],
            [0, 0],
            [0, 3],
            [0, 1e9],
            [999000, 1000000],
        ].map(([from, to]) => {
            const [a, b] = [toX(from, "log"), toX(to, "log") + 1e-9];
            const xs = ticks(a, b, (b - a) / 14, "log");
            return {
                n: xs.length,
                inside: xs.every((x) => x >= a - 1e-9 && x <= b + 1e-9),
                texts: xs.map((x) => shortStep(toStep(x, "log"))),
            };
        });
    });

    for (const { n, inside, texts } of found) {
        assert.ok(inside && n <= 16, JSON.stringify(texts));
        assert.equal(new Set(texts).size, texts.length, JSON.stringify(texts));
    }
    assert.deepEqual(found[0].texts, [
        "0",
        "1",
        "5",
        "10",
        "20",
        "50",
        "100",
        "200",
        "500",
        "1k",
        "2k",
    ]);
});

test("a link keeps every field, leaves out what is as by default, and survives nonsense", async () => {
    const { same, plain, broken } = await page.evaluate(async () => {
        const { decode, encode } = await import("./base/permalink.js");
        const { DEFAULTS } = await import("./base/view.js");
        const state = {
            runs: ["a,b", "c d", "ü%"],
            pins: ["c d"],
            metric: "pr",
            layer: "*",
            scalar: "",
            scalars: ["train/loss", "a,b"],
            scalarSearch: "train/*",
            smoothing: 0.6,
            axis: "elapsed",
            reference: ["a,b", "head", "pr"],
            spacing: "linear",
            from: 0.125,
            to: 12345678901,
            band: false,
            search: "x & y=#",
            regex: true,
            state: "lost",
            hidden: true,
            group: "config.lr",
            lines: "means",
            spread: "range",
            focus: "c d",
            depthPin: 0,
            layerPair: ["a,b", "head"],
            spectrumLayer: "head",
            spectrumStep: 7,
            spectrumAll: true,
            spectrumPins: ["3/a,b/block/1", "0/c d/head"],
            spectrumAgainst: "rho",
            spectrumLogK: false,
            spectrumLogRho: false,
            spectrumSpeed: 10,
            mapLayer: "head",
            mapStep: 0,
            mapWith: "a,b",
            tableColumns: ["config:lr,x", "scalar:loss"],
            tablePins: ["config:lr,x"],
            tableSort: "config:lr",
            tableDescending: false,
            sweepX: "lr",
            sweepY: "scalar:loss",
            sweepColour: "opt",
            sweepRight: "",
            sweepAt: "step",
            sweepStep: 500,
            sweepAs: "axes",
            sweepAxes: ["lr", "scalar:a,b"],
            sweepBrushes: ["lr 0.1 1", "a%20b x y"],
        };
        return {
            same:
                JSON.stringify(decode(`#${encode(state)}`)) ===
                JSON.stringify({ ...DEFAULTS, ...state }),
            plain: encode({ ...DEFAULTS }),
            broken:
                JSON.stringify(
                    decode(
                        "#from=9&to=3&spacing=cubic&runs=%25E0%25A4&nonsense=1&band=maybe&spectrumStep=-1&smoothing=1.5",
                    ),
                ) === JSON.stringify(DEFAULTS),
        };
    });

    assert.ok(same);
    assert.equal(plain, "");
    assert.ok(broken);
});

test("the search box asks for tags, groups and values of the configuration, and quotes keep a text", async () => {
    const found = await page.evaluate(async () => {
        const { listParameters, parseFilter } = await import("./data/filter.js");
        return [
            ...[
                "",
                "wd1 seed0",
                "tag:paper tag:\"two words\" group:x project:mod97 state:open rest",
                "lr=0.1 opt=adam depth=\"12\" nested.on=true",
                "lr=1e-4..1e-2 wd=..0.5 n=3.. v=1..",
                'name="a..b" "lr=0.1" tag: x= =y 1=2 "open',
                "v=..",
            ].map(parseFilter),
            listParameters({ search: "lr=1", regex: true, state: "lost", hidden: true }),
            listParameters({ search: "state:open", regex: false, state: "lost", hidden: false }),
        ];
    });

    assert.deepEqual(found, [
        {},
        { search: "wd1 seed0" },
        { search: "rest", tags: ["paper", "two words"], group: "x", project: "mod97", state: "open" },
        { config: { lr: 0.1, opt: "adam", depth: "12", "nested.on": true } },
        { config: { lr: { min: 1e-4, max: 1e-2 }, wd: { max: 0.5 }, n: { min: 3 }, v: { min: 1 } } },
        { search: "lr=0.1 tag: x= =y 1=2 open", config: { name: "a..b" } },
        { config: { v: ".." } },
        { config: true, state: "lost", hidden: true },
        { config: true, state: "open" },
    ]);
});

test("a live point is added once; one that rewrites the past asks for a reload", async () => {
    const results = await page.evaluate(async () => {
        const { append, emptySeries, nearest } = await import("./data/series.js");
        const s = emptySeries("r", "head", "d_lr", true);
        const said = [
            [1, 5, 0.5],
            [1, 5, 0.5],
            [1, 9, null],
            [1, 9, null],
            [1, 9, 0.2],
            [2, 7, 0.3],
        ].map(([attempt, step, v]) =>
            append(s, { attempt, step, rows_missing: step === 9 ? 3 : 0 }, v, 0.1),
        );
        return {
            said,
            steps: s.steps,
            values: s.values,
            low: s.low,
            gaps: s.gaps,
            nearest: [-1, 5, 6, 8, 99].map((x) => nearest([5, 9], x)),
            none: nearest([], 1),
        };
    });

    assert.deepEqual(results, {
        said: ["added", "known", "known", "known", "added", "reload"],
        steps: [5, 9],
        values: [0.5, 0.2],
        low: [0.3, 0],
        gaps: [9],
        nearest: [0, 0, 0, 1, 1],
        none: -1,
    });
});

test("two measures pass at one point: two events, each a mark of its own plot", async () => {
    const results = await page.evaluate(async () => {
        const { Curves } = await import("./data/curves.js");
        const { ofPlot } = await import("./plot/marks.js");
        const curves = new Curves(null, { on() {} }, null);
        const event = (metric, layer) => ({ run: "r", layer, attempt: 1, step: 990, metric });
        const page = {
            events: [
                event("d_debiased", "head"),
                event("d_lr", "body"),
                event("pr", "head"),
                event("pr", "body"),
            ],
        };

        curves.events.set("r", []);
        curves.takeEvents(page);
        curves.takeEvents(page); // sent again
        const known = curves.events.get("r");
        const marks = (forms, layers) =>
            ofPlot(known, forms, layers).map((e) => `${e.metric} ${e.layer}`);
        return {
            count: known.length,
            ofPr: marks(["pr", "pr_debiased"], ["head", "body"]),
            ofRichness: marks(["d_lr", "d_debiased"], ["head", "body"]),
            ofU: marks(["u", "u_debiased"], ["head"]),
        };
    });

    assert.deepEqual(results, {
        count: 4,
        ofPr: ["pr head", "pr body"],
        ofRichness: ["d_debiased head", "d_lr body"],
        ofU: [],
    });
});

test("one form of a measure is chosen for all that is compared", async () => {
    const { forms, texts, silent } = await page.evaluate(async () => {
        const { chooseForm } = await import("./data/series.js");
        const { references } = await import("./plot/references.js");
        const points = (d_debiased, d_lr) => ({ binned: false, columns: { d_debiased, d_lr } });
        const bins = (last, plain) => ({
            binned: true,
            columns: { d_debiased: { last }, d_lr: { last: plain } },
        });
        const all = ["d_debiased", "d_lr"];
        const names = { title: (run) => run, colour: () => "#000000" };
        const layer = (white, first) => ({ first: { d_debiased: first }, last: { d_white: white } });
        const beside = new Map([
            ["a", { layers: new Map([["head", layer(0.134, 0.537)]]) }],
            ["b", { layers: new Map([["head", layer(0.134, null)]]) }],
            ["old", { layers: new Map([["head", { first: null, last: {} }]]) }],
        ]);
        const curve = (run) => ({ run, layer: "head", name: "d_debiased" });
        const texts = (...runs) => references(runs.map(curve), beside, names).map((r) => r.text);
        return {
            forms: [
                [points([null, 0.1], [0.2, 0.3])],
                [points([null, null], [0.2, 0.3])],
                [bins([0.1], [0.2])],
                [points([0.1], [0.2]), points([null], [0.3])],
                [points([0.1], [0.2]), points([null], [null])],
                [points([], [])],
            ].map((entries) => chooseForm(entries, all)),
            texts: [texts("a"), texts("a", "b")],
            silent: texts("old"),
        };
    });

    assert.deepEqual(forms, ["d_debiased", "d_lr", "d_debiased", "d_lr", "d_debiased", "d_debiased"]);
    assert.deepEqual(texts, [
        ["white noise 0.1340", "began 0.5370"],
        ["white noise 0.1340", "a head began 0.5370"],
    ]);
    assert.deepEqual(silent, []);
});

test("the mean of a group is over the runs that have been at a step, by straight lines between points", async () => {
    const found = await page.evaluate(async () => {
        const { changesOf, meansOf } = await import("./data/groups.js");
        const series = (run, steps, values, more = {}) => ({ run, layer: "head", name: "d_lr", steps, values, ...more });
        const all = [
            series("b1", [0, 10, 20], [0, 1, 3]),
            series("b2", [0, 20, 40], [2, 4, 8]),
            series("b3", [10, 30], [5, 5]),
            series("a1", [5], [0.5]),
            series("empty", [], []),
            series("apart1", [0, 1], [1, 1]),
            series("apart2", [2, 3], [2, 2]),
            series("b2", [0, 20], [7, 9], { layer: "body" }),
        ];
        const group = (run) => ({ b: "10", a: "9", e: "9" })[run[0]] ?? "none";
        const of = (spread, byLayer = true) =>
            meansOf(byLayer ? all : all.slice(0, 3), (run) => (run.startsWith("apart") ? "apart" : group(run)), spread, byLayer);
        const [single, mean, body, apart] = of("sd");
        const many = [0, 1].map((i) => series(`x${i}`, Array.from({ length: 5000 }, (_, k) => 2 * k + i), Array(5000).fill(i)));
        const [thinned] = meansOf(many, () => "x", "se", false);
        return {
            order: of("sd").map((m) => `${m.group} ${m.layer}`),
            single: [single.steps, single.values, single.low, single.n],
            mean: [mean.steps, mean.values, mean.n, mean.runs],
            band: ["sd", "se", "range"].map((spread) => {
                const m = of(spread)[1];
                return [m.low[1], m.high[1]];
            }),
            changes: changesOf(mean),
            body: body.values,
            apart: apart.steps,
            ofFive: meansOf([9, 9, 9, 20, 20].map((end, i) => series(`y${i}`, [0, end], [0, end])), () => "y", "sd", false)[0].steps,
            thinned: [thinned.steps.length <= 1004, thinned.steps[0], thinned.steps.at(-1), thinned.n.every((n) => n === 2)],
        };
    });
    const sd = Math.sqrt(((1 - 3) ** 2 + 0 + (5 - 3) ** 2) / 2);

    assert.deepEqual(found, {
        order: ["9 head", "10 head", "10 body", "apart head"],
        single: [[5], [0.5], [null], [1]],
        mean: [[0, 10, 20, 30], [1, 3, 4, 5.5], [2, 3, 3, 2], ["b1", "b2", "b3"]],
        band: [[3 - sd, 3 + sd], [3 - (2 * sd) / Math.sqrt(3), 3 + (2 * sd) / Math.sqrt(3)], [1, 5]],
        changes: [0, 1, 3],
        body: [7, 9],
        apart: [],
        ofFive: [0, 9],
        thinned: [true, 1, 9998, true],
    });
});

test("values that differ by their rounding alone have an axis with ticks that can be told apart", async () => {
    const found = await page.evaluate(async () => {
        const { numberScale } = await import("./base/scale.js");
        const { valueScale } = await import("./plot/scatter.js");
        const twins = [0.1 + 0.2, 0.3];
        return {
            ticks: numberScale(0.3, 0.1 + 0.2, "linear", 5).ticks.length <= 2,
            axis: valueScale(twins, 5).ticks.length,
            places: twins.map((v) => valueScale(twins, 5).at(v).toFixed(3)),
        };
    });

    assert.deepEqual(found, { ticks: true, axis: 3, places: ["0.500", "0.500"] });
});

test("of many layers evenly chosen ones are lines, and a profile has each layer's nearest point", async () => {
    const found = await page.evaluate(async () => {
        const { evenly, nearestStep, profileAt } = await import("./data/depth.js");
        const layers = [{ steps: [1, 10], values: [0.1, 0.2] }, { steps: [], values: [] }, { steps: [4], values: [0.4] }];
        const list = (n) => Array.from({ length: n }, (_, i) => i);
        return {
            few: evenly(list(8), 8),
            nine: evenly(list(9), 8),
            many: evenly(list(48), 8),
            profile: [profileAt(layers, 0), profileAt(layers, 99)],
            steps: [0, 3, 8, 99].map((step) => nearestStep(layers, step)),
            none: nearestStep([], 1),
        };
    });

    assert.deepEqual(found, {
        few: [0, 1, 2, 3, 4, 5, 6, 7],
        nine: [0, 1, 2, 3, 5, 6, 7, 8],
        many: [0, 7, 13, 20, 27, 34, 40, 47],
        profile: [
            [0.1, null, 0.4],
            [0.2, null, 0.4],
        ],
        steps: [1, 4, 10, 10],
        none: null,
    });
});

test("CSV quotes what has to be quoted, and no cell is a formula", async () => {
    const fields = await page.evaluate(async () => {
        const { csvField, rowsOf } = await import("./panel/export.js");
        return {
            fields: ['a"b', "x,y", "=1+1", "-3", -3, null, 0.1].map(csvField),
            rows: rowsOf({ step: [1], d: { min: [0.1], max: [0.2] }, flags: [["a", "b"]] }),
        };
    });

    assert.deepEqual(fields.fields, ['"a""b"', '"x,y"', "'=1+1", "'-3", "-3", "", "0.1"]);
    assert.deepEqual(fields.rows, [["step", "d_min", "d_max", "flags"], [[1, 0.1, 0.2, "a b"]]]);
});

test("colours follow from the id alone and are spread over the palette", async () => {
    const counts = await page.evaluate(async () => {
        const { colourIndex, N_COLOURS } = await import("./base/palette.js");
        const n = Array(N_COLOURS).fill(0);
        for (let i = 0; i < 4000; i++) n[colourIndex(`wd1-seed${i}`)]++;
        return n;
    });

    // 500 of each are expected, with a standard deviation of 21
    assert.ok(
        counts.every((n) => Math.abs(n - 500) < 105),
        counts.join(),
    );
});
