/* Light, dark, or as the system has it. The choice stays in this browser. */

const KEY = "richd.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SIGN = { auto: "◐", light: "☀", dark: "☾" };

function read() {
    try {
        return NEXT[localStorage.getItem(KEY)] ? localStorage.getItem(KEY) : "auto";
    } catch {
        return "auto"; // storage is forbidden: the system decides
    }
}

function write(theme) {
    try {
        localStorage.setItem(KEY, theme);
    } catch {
        // it lasts as long as the page
    }
}

/**
 * @param {HTMLButtonElement} button @param {() => void} onChange canvases have to be drawn again
 */
export function followTheme(button, onChange) {
    const system = matchMedia("(prefers-color-scheme: dark)");
    let chosen = read();
    const apply = () => {
        const isDark = chosen === "dark" || (chosen === "auto" && system.matches);

        document.documentElement.dataset.theme = isDark ? "dark" : "light";
        button.textContent = SIGN[chosen];
        button.title = `Theme: ${chosen === "auto" ? "as the system" : chosen}`;
        button.setAttribute("aria-label", button.title);
        onChange();
    };

    button.addEventListener("click", () => {
        chosen = NEXT[chosen];
        write(chosen);
        apply();
    });
    system.addEventListener("change", apply);
    apply();
}
