# Makes the C table of daemon/format/meaning.h of proto/MEASURES.md: each "### NAME" is a measure, each
# "- Field: text" below it a member. A field that the table has no member for ends the build, so that a
# slip of the pen is not a text that is missing.
#
#     awk -f daemon/format/meaning.awk proto/MEASURES.md

BEGIN {
    member["In words"] = "in_words"
    member["Formula"] = "formula"
    member["Source"] = "source"
    member["Range"] = "range"
    member["Compare"] = "compare"
    member["Rows"] = "rows"
    member["Misleads"] = "misleads"
    print "#include \"daemon/format/meaning.h\"\n\nconst struct meaning metric_meaning[METRIC_COUNT] = {"
}

function end_measure() {
    if (measure != "") print "    },"
    measure = ""
}

/^#/ { end_measure() }

/^### / {
    measure = $2
    printf "    [METRIC_%s] = {\n", toupper(measure)
}

measure != "" && /^- / {
    colon = index($0, ": ")
    field = substr($0, 3, colon - 3)
    if (!(field in member)) {
        printf "proto/MEASURES.md: %s has a field \"%s\", which meaning.awk does not know\n", measure, field | "cat 1>&2"
        failed = 1
        exit 1
    }
    text = substr($0, colon + 2)
    gsub(/`/, "", text)
    gsub(/\\/, "\\\\", text)
    gsub(/"/, "\\\"", text)
    printf "        .%s = \"%s\",\n", member[field], text
}

END {
    if (failed) exit 1
    end_measure()
    print "};"
}
