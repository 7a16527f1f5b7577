#!/bin/sh
# Writes the C file that puts the page's files into the binary: each as it is, but for its comments and
# indentation, and compressed, with its type and the hash of its content; main.js with all modules that it
# imports. `embed.sh PAGE-FOLDER OUTPUT.c`, from the repository's root; beside OUTPUT.c it keeps the copies.
set -eu
page=$1 out=$2 copies=${2%.c} join=$PWD/daemon/http/join.awk
rm -rf "$copies"
mkdir -p "$copies"

type_of() {
    case $1 in
    *.html) echo "text/html; charset=utf-8" ;;
    *.js) echo "text/javascript; charset=utf-8" ;;
    *.css) echo "text/css; charset=utf-8" ;;
    *.json) echo "application/json" ;;
    *.svg) echo "image/svg+xml" ;;
    *.png) echo "image/png" ;;
    *.ico) echo "image/x-icon" ;;
    esac
}

# Comments are a fifth of the page's bytes. A line that is one is sent empty, so that an error's line is
# that of the source, and one within a line (/** ... */, or // before the line's end) is left out; lines
# are sent without their indentation, which a text over several lines loses, too. What is not ours is sent
# whole, with its licence.
uncommented='{ bare = $0; sub(/^ +/, "", bare); begins = bare ~ /^\/\*/; ends = bare ~ /\*\// }
    within || bare ~ /^\/\// || begins && (bare ~ /\*\/$/ || !ends) {
        within = (within || begins) && !ends; print ""; next }
    { gsub(/\/\*\* [^*]*\*\/ ?/, "", bare); sub(/ \/\/ [^"`]*$/, "", bare); print bare }'
served() {
    case $1 in
    vendor/*) cat "$page/$1" ;;
    *.js) (cd "$page" && awk -f "$join" "$1") >"$copies/joined" && awk "$uncommented" "$copies/joined" ;;
    *.css) awk "$uncommented" "$page/$1" ;;
    *.html) sed 's/^ *//' "$page/$1" ;;
    *) cat "$page/$1" ;;
    esac
}

# What has no type here (licences, notes) is not part of the page; the modules in its rooms come by main.js.
files=$(cd "$page" && find . vendor -maxdepth 1 -type f \
    \( -name '*.html' -o -name '*.js' -o -name '*.css' -o -name '*.json' -o -name '*.svg' \
    -o -name '*.png' -o -name '*.ico' \) -print | sed 's|^\./||' | LC_ALL=C sort)

{
    echo '#include "daemon/http/asset.h"'
    n=0
    for file in $files; do
        served "$file" >"$copies/$n"
        gzip -9nc "$copies/$n" >"$copies/$n.gz"
        brotli -q 11 -c "$copies/$n" >"$copies/$n.br"
        for form in "" .gz .br; do
            name=asset_$n$(echo $form | tr . _)
            cat <<END
__asm__(".pushsection .rodata\n"
        "$name: .incbin \"$copies/$n$form\"\n"
        "${name}_end: .byte 0\n"
        ".popsection\n");
extern const unsigned char $name[], ${name}_end[];
END
        done
        n=$((n + 1))
    done
    echo 'const struct http_asset http_assets[] = {'
    n=0
    for file in $files; do
        hash=$(sha256sum <"$copies/$n" | cut -c1-16)
        echo "    {\"$file\", \"$(type_of "$file")\", \"$hash\", {{asset_$n, asset_${n}_end}," \
            "{asset_${n}_gz, asset_${n}_gz_end}, {asset_${n}_br, asset_${n}_br_end}}},"
        n=$((n + 1))
    done
    echo '    {0},'
    echo '};'
} >"$out.new"
mv "$out.new" "$out"
