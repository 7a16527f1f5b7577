/* The token that a daemon asks for. A link brings it behind the #, which no browser sends. It is
 * taken out of the address at once, and stays in this tab: no link that is copied from the page has
 * it. */

const KEY = `richd.token ${location.pathname}`; // several daemons may be behind one proxy

/** The token of a link, or the one that this tab had before; null: none. @returns {string|null} */
export function takeToken() {
    const parameters = new URLSearchParams(location.hash.replace(/^#/, ""));
    const token = parameters.get("token");

    if (token === null) return recall();
    parameters.delete("token");
    const rest = parameters.toString();
    history.replaceState(null, "", rest ? `#${rest}` : location.pathname + location.search);
    keepToken(token);
    return token;
}

/** @param {string} token also after the page is loaded again */
export function keepToken(token) {
    try {
        sessionStorage.setItem(KEY, token);
    } catch {
        // storage is forbidden: it lasts as long as the page
    }
}

function recall() {
    try {
        return sessionStorage.getItem(KEY);
    } catch {
        return null;
    }
}
