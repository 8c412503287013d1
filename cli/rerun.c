/* polyak rerun: performs a logged training again, and compares it bit for bit. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/report.h"
#include "common/text.h"
#include "learner/agent/libraries.h"
#include "learner/train/rerun.h"

static json_t *report_as_json(const RerunReport *report)
{
    json_t *difference =
        report->differs ? json_integer((json_int_t)report->first_difference) : json_null();
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:b, s:s, s:s, s:o}", "damaged_files",
        (json_int_t)report->damaged_files, "first_update", (json_int_t)report->first_update,
        "updates", (json_int_t)report->updates, "env_steps", (json_int_t)report->env_steps,
        "checkpoints", (json_int_t)report->checkpoints, "checkpoint_files",
        (json_int_t)report->checkpoint_files, "same", !report->differs, "first_difference",
        difference, "complete", report->complete, "stopped", report->stopped, "machine_difference",
        report->machine, "wall_s", report_real(report->wall_s));
}

static void print_report(const RerunReport *report)
{
    char first[TEXT_NUMBER_BYTES], last[TEXT_NUMBER_BYTES], steps[TEXT_NUMBER_BYTES];
    printf("updates %s to %s, %s env steps, in %.1f s; %llu checkpoints compared, %llu of them "
           "with their files\n",
           text_thousands(report->first_update, first), text_thousands(report->updates, last),
           text_thousands(report->env_steps, steps), report->wall_s,
           (unsigned long long)report->checkpoints, (unsigned long long)report->checkpoint_files);
    if (report->differs)
        printf("the run differs first at update %llu\n",
               (unsigned long long)report->first_difference);
    else
        printf("every bit is the same\n");
    if (report->damaged_files > 0)
        printf("damaged checkpoint files, which were not compared: %llu\n",
               (unsigned long long)report->damaged_files);
    if (!report->complete)
        printf("not to the end: %s\n", report->stopped);
}

static int run_again(const Config *config, Err *err)
{
    RerunReport report;
    int code = libraries_install(err);
    if (code == 0)
        code = rerun(config, &report, err);
    if (code != 0)
        return code;
    if (config->json)
        code = report_json(report_as_json(&report), err);
    else
        print_report(&report);
    if (code == 0 && config->verify && report.differs)
        return err_set(err, ERR_CHECKSUM, "the run differs first at update %llu%s%s",
                       (unsigned long long)report.first_difference,
                       report.machine[0] ? "; this is not what it ran on: " : "", report.machine);
    if (code == 0 && config->verify && report.damaged_files > 0)
        return err_set(err, ERR_CHECKSUM, "%llu checkpoint files are damaged: see above",
                       (unsigned long long)report.damaged_files);
    if (code == 0 && config->verify && !report.complete)
        return err_set(err, ERR_MISSING, "the run was not followed to its end: %s", report.stopped);
    return code;
}

int command_rerun(int argc, char **argv)
{
    static Config config;
    Err err = {""};
    bool done = false;
    config_init(&config);
    int code = config_parse_args(&config, CONFIG_RERUN, "polyak rerun",
                                 "Performs a logged training again, without actors.", argc, argv,
                                 &done, &err);
    if (!code && !done)
        code = run_again(&config, &err);
    return code ? report_error("rerun", code, &err) : EXIT_DONE;
}
