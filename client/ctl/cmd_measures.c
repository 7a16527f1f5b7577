/* richctl measures [NAME]: what the measures and flags mean, as the daemon has them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/terminal.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/params.h"

/* A page has this many columns where there is no terminal. */
#define PAGE_COLUMNS 80

static size_t page_columns(void)
{
    size_t columns, lines;

    terminal_size(&columns, &lines);
    return isatty(STDOUT_FILENO) ? columns : PAGE_COLUMNS;
}

/* A line of text, folded; nothing for an absent text. */
static void print_line(const char *before, const char *text)
{
    char *line = NULL, *escaped = NULL;

    if (!text)
        return;
    if (asprintf(&line, "%s%s", before, text) >= 0)
        escaped = text_escape(line);
    else
        line = NULL;
    if (escaped)
        text_print_folded(escaped, page_columns(), stdout);
    free(line);
    free(escaped);
}

/* What proto/MEASURES.md says, as metric.list has it. */
static const struct {
    const char *member, *label;
} details[] = {
    {"formula", "  formula:    "}, {"source", "  source:     "}, {"range", "  range:      "},
    {"compare", "  compare:    "}, {"rows", "  rows:       "},   {"misleads", "  misleads:   "},
};
#define N_DETAILS (sizeof details / sizeof details[0])

/* All that is known of a measure, or of a flag, which has a name and a description alone. */
static void print_whole(const cJSON *info)
{
    const char *unit = member_text(info, "unit", NULL);

    print_line("", member_text(info, "name", "?"));
    print_line("  in words:   ", member_text(info, "in_words", NULL));
    print_line("  what it is: ", member_text(info, "description", NULL));
    print_line("  read it as: ", member_text(info, "read_as", NULL));
    print_line("  needs:      ", member_text(info, "needs", NULL));
    print_line("  unit:       ", unit && strcmp(unit, "1") == 0 ? "a pure number" : unit);
    print_line("  corrected for few rows: ", member_text(info, "corrected", NULL));
    print_line("  low:        ", member_text(info, "low_end", NULL));
    print_line("  high:       ", member_text(info, "high_end", NULL));
    for (size_t i = 0; i < N_DETAILS; i++)
        print_line(details[i].label, member_text(info, details[i].member, NULL));
}

static cJSON *find(const cJSON *infos, const char *name)
{
    cJSON *info;

    cJSON_ArrayForEach(info, infos)
    {
        if (strcmp(member_text(info, "name", ""), name) == 0)
            return info;
    }
    return NULL;
}

static int print_one(const cJSON *answer, const struct options *options, struct err *err)
{
    const char *name = options->words[1];
    cJSON *info = find(member(answer, "metrics"), name);

    if (!info)
        info = find(member(answer, "flags"), name);
    if (!info)
        return err_set(err, -ENOENT, "no measure or flag \"%.64s\"; see richctl measures", name);
    if (options->json)
        return jsonline_print(info, stdout, err);
    print_whole(info);
    return 0;
}

/* "nc1: neural collapse 1: tr(S_W S_B^+) / C (needs labels)". */
static void print_brief(const cJSON *info)
{
    const char *needs = member_text(info, "needs", "nothing");
    const char *unit = member_text(info, "unit", "1");
    char text[512];

    snprintf(text, sizeof text, "%.48s: %.300s%s%.48s%s%.48s%s", member_text(info, "name", "?"),
             member_text(info, "description", ""), strcmp(unit, "1") == 0 ? "" : ", in ",
             strcmp(unit, "1") == 0 ? "" : unit, strcmp(needs, "nothing") == 0 ? "" : " (needs ",
             strcmp(needs, "nothing") == 0 ? "" : needs, strcmp(needs, "nothing") == 0 ? "" : ")");
    print_line("", text);
}

static int print_all(const cJSON *answer, const struct options *options, struct err *err)
{
    static const char *const lists[] = {"metrics", "flags"};
    cJSON *info;
    int rc = 0;

    for (size_t i = 0; i < 2; i++) {
        if (i == 1 && !options->json)
            printf("\nFlags of a point:\n");
        cJSON_ArrayForEach(info, member(answer, lists[i]))
        {
            if (!options->json)
                print_brief(info);
            else if (rc == 0)
                rc = jsonline_print(info, stdout, err);
        }
    }
    if (!options->json)
        printf("\n\"richctl measures NAME\" says how to read one.\n");
    return rc;
}

int cmd_measures(struct feedclient *feed, const struct options *options, struct err *err)
{
    cJSON *answer;
    int rc = feedclient_call(feed, "metric.list", params_none(), &answer, err);

    if (rc < 0)
        return rc;
    rc = options->n_words > 1 ? print_one(answer, options, err) : print_all(answer, options, err);
    cJSON_Delete(answer);
    return rc;
}
