"""daemon/http/join.awk: what a module may import and export, and what ends the build."""

import subprocess

import pytest

from harness import ROOT

PARTS = {
    "base/a.js": "export const one = 1;\nexport function two() {}\nexport class Three {}\n",
    "plot/b.js": 'import { one as first, two } from "../base/a.js";\n'
                 'import {\n    Three,\n} from "../base/a.js";\n\n'
                 "export async function four() {}\nconst one = first;\n",
}


def joined(folder, main):
    for name, text in {**PARTS, "main.js": main}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return subprocess.run(["awk", "-f", ROOT / "daemon/http/join.awk", "main.js"], cwd=folder,
                          capture_output=True, text=True)


def test_modules_come_once_before_what_imports_them_and_keep_their_lines(tmp_path):
    done = joined(tmp_path, 'import { four } from "./plot/b.js";\n'
                            'import { two } from "./base/a.js";\nfour(two);\n')
    assert done.stdout == """const module_base_a = (() => {
const one = 1;
function two() {}
class Three {}
return { one, two, Three, };
})();
const module_plot_b = (() => {
const { one: first, two } = module_base_a;
const {
    Three,
} = module_base_a;

async function four() {}
const one = first;
return { four, };
})();
const module_main = (() => {
const { four } = module_plot_b;
const { two } = module_base_a;
four(two);
return { };
})();
"""
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("main, why", [
    ('import { six } from "./base/a.js";', "does not export six"),
    ('import { one, tw } from "./base/a.js";', "does not export tw"),
    ('import { one } from "./base/none.js";', "base/none.js cannot be read"),
    ('import * as all from "./base/a.js";', "in braces"),
    ('import one from "./base/a.js";', "in braces"),
    ('import { one } from "https://elsewhere.example/a.js";', "a module of the page"),
    ('import { main } from "./main.js";', "imports itself"),
    ('import { one', "cannot be read"),
    ("export let n = 0;", "where it is declared"),
    ("export default 3;", "where it is declared"),
    ("export { one };", "where it is declared"),
])
def test_what_cannot_be_joined_ends_the_build(tmp_path, main, why):
    done = joined(tmp_path, main + "\n")
    assert done.returncode != 0 and why in done.stderr
