#include "cli/report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

int report_error(const char *command, int code, const Err *err)
{
    fprintf(stderr, "polyak %s: %s\n", command, err->text);
    return code == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

json_t *report_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

int report_json(json_t *json, Err *err)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text)
        return err_set(err, ERR_NOMEM, "not enough memory for the JSON line");
    int printed = printf("%s\n", text);
    free(text);
    if (printed < 0 || fflush(stdout) != 0)
        return err_set(err, ERR_IO, "stdout cannot be written: %s", strerror(errno));
    return 0;
}
