#include "common/spec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int spec_check(const Spec *spec, Err *err)
{
    size_t length = strnlen(spec->name, sizeof spec->name);
    if (length == 0 || length > SPEC_NAME_MAX)
        return err_set(err, ERR_SPEC, "an environment's name has 1 to %d bytes", SPEC_NAME_MAX);
    for (size_t i = 0; i < length; i++) {
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:/-",
                    spec->name[i]))
            return err_set(err, ERR_SPEC,
                           "an environment's name has letters, digits and _.:/- only");
    }
    if (spec->obs_dim < 1 || spec->obs_dim > SPEC_OBS_DIM_MAX)
        return err_set(err, ERR_SPEC, "%s: obs_dim %d is not in 1…%d", spec->name, spec->obs_dim,
                       SPEC_OBS_DIM_MAX);
    if (spec->act_dim < 1 || spec->act_dim > SPEC_ACT_DIM_MAX)
        return err_set(err, ERR_SPEC, "%s: act_dim %d is not in 1…%d", spec->name, spec->act_dim,
                       SPEC_ACT_DIM_MAX);
    if (spec->step_limit < 0)
        return err_set(err, ERR_SPEC, "%s: step_limit %d is negative", spec->name,
                       spec->step_limit);
    for (int i = 0; i < spec->act_dim; i++) {
        float low = spec->action_low[i];
        float high = spec->action_high[i];
        if (!isfinite(low) || !isfinite(high) || !(low < high))
            return err_set(err, ERR_SPEC,
                           "%s: action %d has the bounds [%g, %g]; both must be finite, low < high",
                           spec->name, i, (double)low, (double)high);
    }
    return ERR_OK;
}

bool spec_equal(const Spec *a, const Spec *b)
{
    if (strcmp(a->name, b->name) != 0 || a->obs_dim != b->obs_dim || a->act_dim != b->act_dim ||
        a->step_limit != b->step_limit)
        return false;
    for (int i = 0; i < a->act_dim; i++) {
        if (a->action_low[i] != b->action_low[i] || a->action_high[i] != b->action_high[i])
            return false;
    }
    return true;
}

void spec_difference(const Spec *run, const Spec *other, char *text, int text_bytes)
{
    size_t bytes = (size_t)text_bytes;
    if (strcmp(run->name, other->name) != 0)
        snprintf(text, bytes, "the run trains %s, not %s", run->name, other->name);
    else if (run->obs_dim != other->obs_dim || run->act_dim != other->act_dim)
        snprintf(text, bytes, "the run has obs_dim %d and act_dim %d, not %d and %d", run->obs_dim,
                 run->act_dim, other->obs_dim, other->act_dim);
    else if (run->step_limit != other->step_limit)
        snprintf(text, bytes, "the run has a step limit of %d, not %d", run->step_limit,
                 other->step_limit);
    else
        snprintf(text, bytes, "the run has other action bounds");
}
