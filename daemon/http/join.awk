# Joins the page's modules into one script, so that a browser gets the program by one request and as one
# stream. Each becomes a function's body, which returns what the module exports, in the order in which a
# browser would have run them. Its lines follow the line with its name, one for one, so that an error's line
# is counted from there.
#
#     awk -f join.awk main.js >joined.js      in the page's folder

function fail(why) {
    print "join.awk: " why >"/dev/stderr"
    exit 1
}

# Where a path leads that `from` imports: "../base/dom.js" of "plot/chart.js" is "base/dom.js".
function resolved(from, path) {
    sub(/[^\/]*$/, "", from)
    path = from path
    while (sub(/^\.\//, "", path) || sub(/\/\.\//, "/", path) || sub(/[^\/]+\/\.\.\//, "", path)) {}
    return path
}

function constant_of(file) {
    sub(/\.js$/, "", file)
    gsub(/[^A-Za-z0-9]/, "_", file)
    return "module_" file
}

# What a whole import becomes, over as many lines; the module that it is from comes first.
function imported(file, text,    parts, from, names, i) {
    if (text !~ /^import \{[^}]*\} from "\.[^"]+";\n$/)
        fail(file ": names are imported in braces, from a module of the page: " text)
    split(text, parts, /["{}]/)
    from = resolved(file, parts[4])
    join(from)
    for (i = split(parts[2], names, /,/); i > 0; i--) {
        gsub(/ as .*|[ \n]/, "", names[i])
        if (names[i] != "" && index(exports[from], " " names[i] ",") == 0)
            fail(file ": " from " does not export " names[i])
    }
    gsub(/ as /, ": ", parts[2])
    return "const {" parts[2] "} = " constant_of(from) ";\n"
}

function exported(file, line,    words) {
    sub(/^export /, "", line)
    if (line !~ /^(async function|function|class|const) [A-Za-z]/)
        fail(file ": a function, a class or a constant is exported where it is declared: " line)
    split(line, words, /[^A-Za-z0-9_$]+/)
    exports[file] = exports[file] " " (words[1] == "async" ? words[3] : words[2]) ","
    return line
}

function join(file,    line, got, text, statement) {
    if (file in exports && !(file in done))
        fail(file " imports itself through others")
    if (file in done)
        return
    exports[file] = ""
    while ((got = (getline line <file)) > 0) {
        if (line ~ /^export /)
            line = exported(file, line)
        if (statement == "" && line !~ /^import /)
            text = text line "\n"
        else if ((statement = statement line "\n") ~ /;\n$/) {
            text = text imported(file, statement)
            statement = ""
        }
    }
    if (got < 0 || statement != "")
        fail(file " cannot be read")
    close(file)
    done[file] = 1
    printf "const %s = (() => {\n%sreturn {%s };\n})();\n", constant_of(file), text, exports[file]
}

BEGIN { join(ARGV[1]) }
