#include "daemon/core/monitor/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool record_may_come_again(int rc)
{
    return rc == -ENOSPC || rc == -ENOMEM || rc == -EAGAIN;
}

struct record *record_new(enum record_kind kind, const char *run)
{
    struct record *record = calloc(1, sizeof *record);

    if (!record)
        return NULL;
    list_init(&record->link);
    record->kind = kind;
    snprintf(record->run, sizeof record->run, "%s", run);
    return record;
}

void open_result_release(struct open_result *result)
{
    for (size_t i = 0; i < result->n_layers; i++) {
        watch_free(result->layers[i].watch);
        probe_release(&result->layers[i].probe);
    }
    watch_free(result->scalar_watch);
    free(result->layers);
    free(result->members);
    free(result->totals);
    *result = (struct open_result){0};
}

void record_drop_points(struct record *record)
{
    for (size_t i = 0; i < record->n_points; i++) {
        spectrum_free(record->points[i].spectrum);
        probe_release(&record->points[i].probe);
        representation_release(&record->points[i].representation);
    }
    free(record->points);
    record->points = NULL;
    record->n_points = 0;
}

size_t record_size(const struct record *record)
{
    size_t scalar = sizeof *record->scalars + sizeof *record->scalar_feed_seqs;

    return sizeof *record + record->n_points * sizeof *record->points + record->n_scalars * scalar +
           (record->constants ? RUN_CONSTANTS_WEIGHT * strlen(record->constants) : 0);
}

void record_drop_alerts(struct record *record)
{
    for (size_t i = 0; i < record->n_findings; i++) {
        struct finding *finding = &record->findings[i];

        if (!finding->alert)
            continue;
        free((char *)(uintptr_t)finding->alert);
        free((char *)(uintptr_t)finding->metric);
        *finding = (struct finding){.alert = NULL};
    }
    if (record->kind == RECORD_SUMMARY)
        record->n_findings = 0;
}

bool record_projects_have(const char *projects, const char *project)
{
    size_t size = strlen(project);

    for (const char *at = projects; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strcspn(at, ",") == size && strncmp(at, project, size) == 0)
            return true;
    }
    return !projects;
}

void record_free(struct record *record)
{
    if (!record)
        return;
    record_drop_alerts(record);
    free(record->open.name);
    free(record->open.project);
    free(record->open.projects);
    free(record->open.group);
    free(record->open.tags);
    free(record->open.config);
    free(record->open.writer);
    free(record->open.host);
    free(record->open.launch);
    free(record->senders);
    free(record->totals);
    open_result_release(&record->opened);
    record_drop_points(record);
    free(record->constants);
    free(record->scalars);
    free(record->scalar_feed_seqs);
    free(record);
}
