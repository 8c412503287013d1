/* polyak: trains on this machine, evaluates, asks a learner how it is doing, and measures. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "common/program.h"
#include "common/text.h"

static const char help[] =
    "Usage: polyak COMMAND [--key=value ...]\n"
    "Distributed actor-learner DDPG for continuous control.\n"
    "\n"
    "Commands:\n"
    "  train    train a policy with a learner and actors on this machine\n"
    "  eval     run a trained policy without noise\n"
    "  envs     list the environments that can be used here, or describe one\n"
    "  status   ask a running learner how it is doing\n"
    "  set      change a key of a running learner\n"
    "  drain    take actors out of a run, without losing a step\n"
    "  bench    measure update, act, replay, env, ingest or broadcast\n"
    "  rerun    perform a logged training again, and compare it bit for bit\n"
    "  inspect  say what the logs of a run hold, and whether they are sound\n"
    "  keygen   make a key, for runs that others must not join\n"
    "\n"
    "`polyak COMMAND --help` lists the keys of a command. For runs on several machines, start\n"
    "polyak-learner on one and polyak-actor on the others.\n"
    "\n"
    "Exit codes: 0 done, 1 failed at run time, 2 bad usage.\n";

typedef struct Command {
    const char *name;
    int (*run)(int argc, char **argv);
} Command;

static const Command commands[] = {
    {"train", command_train}, {"eval", command_eval},       {"status", command_status},
    {"set", command_set},     {"drain", command_drain},     {"bench", command_bench},
    {"rerun", command_rerun}, {"inspect", command_inspect}, {"keygen", command_keygen},
    {"envs", command_envs},
};
enum { NUM_COMMANDS = sizeof commands / sizeof commands[0] };

static int refuse(const char *word)
{
    const char *nearest = NULL;
    int fewest = 1 + (int)strlen(word) / 2; /* more edits than that make another word */
    for (int i = 0; i < NUM_COMMANDS; i++) {
        int edits = text_distance(word, commands[i].name);
        if (edits <= fewest && (!nearest || edits < fewest)) {
            nearest = commands[i].name;
            fewest = edits;
        }
    }
    char excerpt[48];
    text_excerpt(word, excerpt, sizeof excerpt);
    if (nearest)
        fprintf(stderr, "polyak: unknown command \"%s\"; did you mean \"%s\"?\n", excerpt, nearest);
    else
        fprintf(stderr, "polyak: unknown command \"%s\"; see polyak --help\n", excerpt);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (!program_start("polyak"))
        return EXIT_FAILED;
    if (argc < 2) {
        fprintf(stderr, "polyak: a command is needed, such as train or status; "
                        "see polyak --help\n");
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    for (int i = 0; i < NUM_COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(word, "--help") == 0 || strcmp(word, "help") == 0) {
        fputs(help, stdout);
        return EXIT_DONE;
    }
    if (strcmp(word, "--version") == 0) {
        puts("polyak " POLYAK_VERSION);
        return EXIT_DONE;
    }
    return refuse(word);
}
