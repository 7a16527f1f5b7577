#include "daemon/share/share.h"

#include <errno.h>

/* richd was built without libpq: the Makefile takes this file in the place of the others. */

int share_check(const char *url, struct err *err)
{
    (void)url;
    return err_set(err, -ENOTSUP, "this richd was built without PostgreSQL (libpq)");
}

int share_open(const struct share_config *config, struct share **out, struct err *err)
{
    *out = NULL;
    return share_check(config->url, err);
}

void share_stop(struct share *share)
{
    (void)share;
}

void share_close(struct share *share)
{
    (void)share;
}

void share_status(struct share *share, struct share_status *out)
{
    (void)share;
    *out = (struct share_status){0};
}

void share_tell_reached(struct share *share)
{
    (void)share;
}

bool share_ask(struct share *share, struct share_question *question)
{
    (void)share;
    (void)question;
    return false;
}

int share_migrate(const struct share_migration *migration, struct err *err)
{
    return share_check(migration->url, err);
}
